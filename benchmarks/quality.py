"""The quality of a codec at each of its rates beside Opus: `python -m vocable.benchmarks.quality --help`."""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor

from vocable.benchmarks import table
from vocable.benchmarks.baselines import Opus, align
from vocable.benchmarks.table import Row
from vocable.codecs import Codec, audio, load
from vocable.codecs.manifest import find_files
from vocable.codecs.measure import pesq_wb, si_sdr, stoi

RATE = 16_000  # Hz, PESQ-WB's: every model gets its audio at this rate and gives it back so
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def compare(path: Path, codec: str, codebooks: list[int], opus: list[float]) -> list[Row]:
    """One file, as one channel, through `codec` by each number of codebooks and Opus at each kbit/s."""
    wav = audio.to_channels(audio.read(path, RATE)[0], 1)[0]
    rows = []
    for count in codebooks:
        tokens = _codec(codec).encode(wav, RATE, num_codebooks=count)
        made = _codec(codec).decode(tokens, RATE)[0].mean(0)
        name = f"{codec}, {count} codebook{'s' if count > 1 else ''}"
        rows.append(_row(name, tokens.bit_rate, tokens.token_rate, wav, made))
    for rate in opus:
        coder = Opus(round(1000 * rate), RATE)
        packets = coder.encode(wav)
        made = align(wav, coder.decode(packets))
        rows.append(_row(f"Opus, set to {rate:g} kbit/s", packets.bit_rate, None, wav, made))
    return rows


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="A folder of audio, or a manifest: CSV with a column path.")],
    split: Annotated[str | None, typer.Option(help="Only the manifest's files of this split.")] = None,
    source: Annotated[str | None, typer.Option(help="Only the manifest's files of this source.")] = None,
    codec: Annotated[str, typer.Option(help="A built-in's name, a folder or a hub id.")] = "vocable-16khz",
    codebooks: Annotated[
        str, typer.Option(help="How many to use, with commas, one row each.")
    ] = "1,2,4,8,12",
    opus: Annotated[str, typer.Option(help="Opus's rates in kbit/s, with commas.")] = "6,8,12",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write .csv or .json.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=2)] = 2,
) -> None:
    """Print a Markdown table of quality, each number a mean over the files."""
    errors = Console(stderr=True, soft_wrap=True)
    try:
        counts = [int(count) for count in codebooks.split(",")]
        rates = [float(rate) for rate in opus.split(",") if rate]
        paths = find_files(data, {"split": split, "source": source})
        for count in counts:
            _codec(codec).quantizer.check_num_codebooks(count)
        for rate in rates:
            Opus(round(1000 * rate), RATE)
        if output is not None:
            table.check_suffix(output)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    work = functools.partial(compare, codec=codec, codebooks=counts, opus=rates)
    found = []
    jobs = track(_each(work, paths, processes), "files", len(paths), console=errors, transient=True)
    for path, result in jobs:
        try:
            found.append(result())
        except (ValueError, OSError) as error:  # out of all rows, so that all are means over the same files
            errors.print(f"left out: {path}: {error}", style="red", markup=False, highlight=False)
    if not found:
        raise typer.Exit(1)
    rows = table.mean(found)
    typer.echo(table.markdown(rows))
    typer.echo(f"\nMeans over {len(found)} files, judged at {RATE // 1000} kHz by pystoi and pesq.")
    if output is not None:
        table.save(output, rows)
    raise typer.Exit(int(len(found) < len(paths)))


def _each(
    work: Callable[[Path], list[Row]], paths: list[Path], processes: int
) -> Iterator[tuple[Path, Callable[[], list[Row]]]]:
    """Each path with what gives its rows, or raises."""
    if processes == 1:
        yield from ((path, functools.partial(work, path)) for path in paths)
        return
    # spawn: a fork would carry torch's locks along
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures: list[Future[list[Row]]] = [pool.submit(work, path) for path in paths]
        for path, future in zip(paths, futures, strict=True):
            future.exception()  # wait here, so that the progress bar moves when a file is done
            yield path, future.result


@functools.cache
def _codec(name: str) -> Codec:
    return load(name)


def _row(model: str, bit_rate: float, token_rate: float | None, wav: Tensor, made: Tensor) -> Row:
    return Row(
        model=model,
        kbit_s=bit_rate / 1000,
        tokens_s=token_rate,
        stoi=stoi(wav, made, RATE),
        pesq_wb=pesq_wb(wav, made, RATE),
        si_sdr=si_sdr(wav, made),
    )


if __name__ == "__main__":
    app()
