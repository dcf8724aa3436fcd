"""How fast a codec is on this machine: `python -m vocable.benchmarks.speed --help`."""

import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Annotated, Any, NamedTuple

import torch
import typer
from rich.progress import track
from torch import Tensor

from vocable.benchmarks.peers import Pair, pairs
from vocable.codecs import Codec, load
from vocable.codecs.audio import read, resample, to_channels
from vocable.codecs.cli import clip
from vocable.codecs.signal import repeated

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Speed(NamedTuple):
    """Real-time factors: seconds of work for a second of audio."""

    encode: float
    decode: float

    @property
    def both(self) -> float:
        """Of audio to tokens and back."""
        return self.encode + self.decode


class Compared(NamedTuple):
    """Ours, its peer's, and the share of the machine's matrix-product rate that each step of ours reaches."""

    ours: Speed
    peer: Speed
    share: Speed


Step = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def measure_speed(codec: Codec, seconds: float = 10.0, repeats: int = 5) -> Speed:
    """The median of `repeats` runs on `seconds` of speech, after one to warm up."""
    return _measure([(codec.encode, codec.decode)], _speech(codec, seconds), seconds, repeats)[0]


def compare(pair: Pair, seconds: float = 5.0, repeats: int = 5) -> Compared:
    """Our codec and its peer in turn, in this process, on the same speech."""
    codec, peer = pair.ours(), pair.peer()
    wav = _speech(codec, seconds)[None]
    steps: list[Step] = [(codec.encode, codec.decode), (peer.encode, peer.decode)]
    with torch.no_grad():
        ours, theirs = _measure(steps, wav, seconds, repeats)
    tokens = codec.encode(wav)
    work = Speed(_operations(codec.encode, wav), _operations(codec.decode, tokens))
    rate = matrix_rate()
    share = Speed(*(count / (rate * seconds * factor) for count, factor in zip(work, ours, strict=True)))
    return Compared(ours, theirs, share)


def matrix_rate(size: int = 2048, repeats: int = 5) -> float:
    """Floating-point operations a second of this machine's product of two square float32 matrices."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    took = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        torch.matmul(a, b)
        took.append(time.perf_counter() - start)
    return 2 * size**3 / min(took)


def _measure(steps: list[Step], wav: Tensor, seconds: float, repeats: int) -> list[Speed]:
    """The speed of each of `steps`, which take turns so that a busy moment of the machine meets them all."""
    took: list[tuple[list[float], list[float]]] = [([], []) for _ in steps]
    for _ in range(repeats + 1):
        for (encode, decode), (encoding, decoding) in zip(steps, took, strict=True):
            start = time.perf_counter()
            codes = encode(wav)
            middle = time.perf_counter()
            decode(codes)
            decoding.append(time.perf_counter() - middle)
            encoding.append(middle - start)
    return [Speed(*(median(times[1:]) / seconds for times in each)) for each in took]


def _speech(codec: Codec, seconds: float) -> Tensor:
    """`seconds` of the package's recording, over and over: (C, T)."""
    wav, rate = read(clip())
    wav = to_channels(resample(wav, rate, codec.sample_rate), codec.channels)
    samples = max(1, round(seconds * codec.sample_rate))
    return repeated(wav, samples)


def _operations(step: Callable[[Any], Any], given: Any) -> float:
    """Floating-point operations of convolutions, products and attention; recurrent layers go uncounted."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step(given)
    return float(counter.get_total_flops())


@app.command()
def main(
    codec: Annotated[str, typer.Option(help="A codec's name, a folder or a hub id.")] = "vocable-16khz",
    seconds: Annotated[float, typer.Option(min=0.1, help="Of speech in one go.")] = 10.0,
    threads: Annotated[int, typer.Option(min=1, help="Of the CPU.")] = 2,
    peers: Annotated[bool, typer.Option("--peers", help="Each codec beside its authors' package.")] = False,
    only: Annotated[str, typer.Option(help="With --peers: names of codecs, with commas between.")] = "",
) -> None:
    """Print a Markdown table of real-time factors, each the median of 5 runs."""
    torch.set_num_threads(threads)
    try:
        if peers:
            _print_peers(_chosen(only), seconds)
        else:
            _print_speed(measure_speed(load(codec), seconds))
    except (ValueError, OSError, ImportError) as error:
        raise typer.BadParameter(str(error)) from error
    what = "random weights" if peers else codec
    typer.echo(f"\n{what}, {seconds:g} s, {threads} threads, torch {torch.__version__}.")


def _chosen(only: str) -> list[Pair]:
    known = {pair.codec: pair for pair in pairs()}
    names = [name.strip() for name in only.split(",")] if only else list(known)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no peer for {', '.join(unknown)}; accepted: {', '.join(known)}")
    return [known[name] for name in names]


def _print_speed(speed: Speed) -> None:
    typer.echo("| step | real-time factor | times faster than real time |\n|---|---|---|")
    for name, factor in (("encode", speed.encode), ("decode", speed.decode), ("both", speed.both)):
        typer.echo(f"| {name} | {factor:.4f} | {1 / factor:.0f} |")


def _print_peers(chosen: list[Pair], seconds: float) -> None:
    typer.echo("| codec | peer | step | peer, s/s | vocable, s/s | times faster | of the matrix rate |")
    typer.echo("|---|---|---|---|---|---|---|")
    for pair in track(chosen, transient=True, disable=len(chosen) < 2):
        found = compare(pair, seconds)
        for step in ("encode", "decode"):
            peer, ours, share = (getattr(speed, step) for speed in (found.peer, found.ours, found.share))
            numbers = f"{peer:.4f} | {ours:.4f} | {peer / ours:.2f} | {share:.0%}"
            typer.echo(f"| {pair.codec} | {pair.package} | {step} | {numbers} |")
        gc.collect()


if __name__ == "__main__":
    app()
