"""What entropy coding saves in token files: `python -m vocable.benchmarks.token_files --help`."""

import io
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor

from vocable.codecs import Codec, load
from vocable.codecs.manifest import find_files
from vocable.codecs.voc import Header, TokenReader, TokenWriter
from vocable.codecs.voc.layout import Packing

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
HEAD = ("codebooks", "kept in", "bits, kbit/s", "entropy, kbit/s", "saved", "written", "read")


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="A folder of audio, or a manifest: CSV with a column path.")],
    split: Annotated[str | None, typer.Option(help="Only the manifest's files of this split.")] = None,
    source: Annotated[str | None, typer.Option(help="Only the manifest's files of this source.")] = None,
    codec: Annotated[str, typer.Option(help="A name, a folder or a hub id.")] = "vocable-16khz",
    codebooks: Annotated[str, typer.Option(help="How many to keep, with commas, two rows each.")] = "1,4,12",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many files.")] = None,
) -> None:
    """Print a Markdown table: whole files with headers, checksums and index, in one file each and all in one.

    written, read: seconds of audio a second of an entropy-coded file, without the codec's own work.
    """
    try:
        model = load(codec)
        counts = [model.quantizer.check_num_codebooks(int(count)) for count in codebooks.split(",")]
        paths = find_files(data, {"split": split, "source": source})[:limit]
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    console = Console(stderr=True)
    tokens = [model.encode(path) for path in track(paths, "encoding", console=console, transient=True)]
    seconds = sum(int(each.lengths[0]) for each in tokens) / model.sample_rate
    lines = [HEAD, ("---",) * len(HEAD)]
    for count in counts:
        codes = [each.codes[0, :count] for each in tokens]
        lines.append(row(model, f"{len(codes)} files", [[each] for each in codes], seconds))
        lines.append(row(model, "one file", [codes], seconds))
    typer.echo("\n".join(f"| {' | '.join(line)} |" for line in lines))
    typer.echo(f"\n{codec}, {len(tokens)} recordings, {seconds:.0f} s.")


def row(codec: Codec, kept: str, files: list[list[Tensor]], seconds: float) -> tuple[str, ...]:
    """One line of the table: these files, each the codes (K, N) of its items."""
    books = len(files[0][0])
    packed = [write(codec, items, "bits") for items in files]
    start = time.perf_counter()
    coded = [write(codec, items, "entropy") for items in files]
    middle = time.perf_counter()
    frames = sum(chunk.codes.shape[1] for file in coded for chunk in TokenReader(io.BytesIO(file)))
    end = time.perf_counter()
    if frames != sum(item.shape[1] for items in files for item in items):
        raise RuntimeError("what was read is not what was written")
    rates = [sum(map(len, each)) * 8 / seconds / 1000 for each in (packed, coded)]
    speeds = (seconds / (middle - start), seconds / (end - middle))
    saved = f"{100 * (1 - rates[1] / rates[0]):.1f} %"
    return (str(books), kept, *(f"{rate:.3f}" for rate in rates), saved, *(f"{each:.0f}" for each in speeds))


def write(codec: Codec, items: list[Tensor], packing: Packing) -> bytes:
    """A token file of items' codes (K, N)."""
    file = io.BytesIO()
    with TokenWriter(file, Header.of(codec, len(items[0]), packing)) as writer:
        for i, codes in enumerate(items):
            writer.write(codes, i)
            writer.end(i)
    return file.getvalue()


if __name__ == "__main__":
    app()
