"""What a frame takes in a stream, for one and for many at once: `python -m vocable.benchmarks.streaming`.

Mimi's steps take turns with those of moshi's own streaming model: a busy moment meets both.
"""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Annotated, Any, NamedTuple

import torch
import typer
from torch import Tensor

from vocable.benchmarks.peers import Pair, pairs
from vocable.codecs import Codec, load
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.build import build
from vocable.codecs.hub import builtin
from vocable.codecs.sliding import SlidingStream
from vocable.codecs.streams import Streams
from vocable.codecs.zoo import table

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
CODECS = ("mimi", "encodec-24khz", "soundstream-16khz")


class Latency(NamedTuple):
    """Seconds of encoding and of decoding a frame of every stream, step after step."""

    encode: list[float]
    decode: list[float]


class Steps(NamedTuple):
    """One frame of B streams (B, 1, hop) to codes, and codes to audio."""

    encode: Callable[[Tensor], Any]
    decode: Callable[[Any], Any]


def full_size(name: str) -> Codec:
    """A built-in codec, or a published one as `load` gives it with random weights: a frame takes as long."""
    if name in builtin():
        return load(name)
    codec = build(table.published()[name].config).eval()
    fold_weight_norm(codec)
    return codec


def ours(codec: Codec, count: int) -> Steps:
    """`count` streams in a `Streams`, or in step in one stream where the codec looks ahead."""
    stream = codec.stream(context=0.0)
    if isinstance(stream, SlidingStream):
        if not stream.exact:
            raise typer.BadParameter("a codec without an exact stream; accepted: one whose layers go on")
        return Steps(stream.encode, stream.decode)
    streams = Streams(codec)
    members = [streams.join() for _ in range(count)]
    return Steps(
        lambda wav: streams.encode(dict(zip(members, wav, strict=True))), lambda codes: streams.decode(codes)
    )


def moshis(model: Any, count: int, stack: ExitStack) -> Steps:
    """moshi's Mimi, streaming a batch of `count` until `stack` closes."""
    stack.enter_context(model.streaming(count))
    return Steps(model.encode, model.decode)


@torch.no_grad()
def measure(ways: list[Steps], frames: Iterator[Tensor], steps: int) -> list[Latency]:
    """`steps` frames through each way, in turn."""
    took = [Latency([], []) for _ in ways]
    for _, frame in zip(range(steps), frames, strict=False):
        for way, found in zip(ways, took, strict=True):
            start = time.perf_counter()
            codes = way.encode(frame)
            middle = time.perf_counter()
            way.decode(codes)
            found.decode.append(time.perf_counter() - middle)
            found.encode.append(middle - start)
    return took


def noise(codec: Codec, count: int) -> Iterator[Tensor]:
    """Frames (count, C, hop) without end."""
    generator = torch.Generator().manual_seed(0)
    while True:
        yield 0.1 * torch.randn(count, codec.channels, codec.hop_length, generator=generator)


def percentile(times: list[float], share: float) -> float:
    """Of sorted times the one that `share` of them do not exceed."""
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def latencies(
    codec: Codec, count: int, steps: int, warm: int, peer: Any = None
) -> Iterator[tuple[str, Latency]]:
    """Of `codec`, and of `peer`, moshi's model: after `warm` frames, which fill what is kept."""
    with ExitStack() as stack:
        ways, frames = {"vocable": ours(codec, count)}, noise(codec, count)
        before = torch.cat([frame for _, frame in zip(range(warm), frames, strict=False)], -1)
        for chunk in before.split(16 * codec.hop_length, -1):  # chunks fill it as well as frames, and sooner
            measure(list(ways.values()), iter([chunk]), 1)
        if peer is not None:  # it works on all of its context from the first frame on
            ways["moshi"] = moshis(peer, count, stack)
            measure([ways["moshi"]], frames, 3)
        yield from zip(ways, measure(list(ways.values()), frames, steps), strict=True)


@app.command()
def main(
    counts: Annotated[str, typer.Option(help="Streams in one batch, with commas between.")] = "1,8,32",
    codecs: Annotated[str, typer.Option(help="With commas between.")] = ",".join(CODECS),
    steps: Annotated[int, typer.Option(min=2, help="Frames that are measured.")] = 100,
    warm: Annotated[int, typer.Option(min=1, help="Frames before. Mimi's context is full after 125.")] = 130,
    threads: Annotated[int, typer.Option(min=1, help="Of the CPU.")] = 1,
) -> None:
    """Print a Markdown table: milliseconds a frame of all streams, and times faster than real time each."""
    torch.set_num_threads(threads)
    head = "codec | streams | frame, ms | encode, median | 99 % | decode, median | 99 % | real time / work"
    typer.echo(f"| {head} |\n{'|---' * 8}|")
    for name in codecs.split(","):
        moshi = _moshi() if name == "mimi" else None
        codec = full_size(name)
        frame = 1000 * codec.hop_length / codec.sample_rate
        for count in map(int, counts.split(",")):
            for who, found in latencies(codec, count, steps, warm, moshi):
                cells = [
                    f"{1000 * f(times):.1f}"
                    for times in found
                    for f in (median, partial(percentile, share=0.99))
                ]
                speed = frame / 1000 / (median(found.encode) + median(found.decode))
                label = f"moshi {name}" if who == "moshi" else name
                typer.echo(f"| {label} | {count} | {frame:.1f} | {' | '.join(cells)} | {speed:.2f} |")
            gc.collect()
    typer.echo(
        f"\nRandom weights but for built-in ones, {steps} frames after {warm}, {threads} threads, "
        f"torch {torch.__version__}."
    )


def _moshi() -> Any:
    pair = next(pair for pair in pairs() if pair.codec == "mimi")
    assert isinstance(pair, Pair)
    return pair.peer().model


if __name__ == "__main__":
    app()
