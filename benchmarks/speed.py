"""How fast a codec is on this machine: `python -m vocable.benchmarks.speed --help`."""

import time
from statistics import median
from typing import Annotated, NamedTuple

import torch
import typer

from vocable.codecs import Codec, load
from vocable.codecs.audio import read, resample, to_channels
from vocable.codecs.cli import clip

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Speed(NamedTuple):
    """Real-time factors: seconds of work for a second of audio."""

    encode: float
    decode: float

    @property
    def both(self) -> float:
        """Of audio to tokens and back."""
        return self.encode + self.decode


def measure_speed(codec: Codec, seconds: float = 10.0, repeats: int = 5) -> Speed:
    """The median of `repeats` runs on `seconds` of speech, after one to warm up."""
    wav, rate = read(clip())
    wav = to_channels(resample(wav, rate, codec.sample_rate), codec.channels)
    samples = max(1, round(seconds * codec.sample_rate))
    wav = wav.repeat(1, -(-samples // wav.shape[-1]))[:, :samples]
    took: tuple[list[float], list[float]] = [], []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        tokens = codec.encode(wav)
        middle = time.perf_counter()
        codec.decode(tokens)
        end = time.perf_counter()
        took[0].append(middle - start)
        took[1].append(end - middle)
    length = samples / codec.sample_rate
    return Speed(median(took[0][1:]) / length, median(took[1][1:]) / length)


@app.command()
def main(
    codec: Annotated[str, typer.Option(help="A built-in's name, a folder or a hub id.")] = "vocable-16khz",
    seconds: Annotated[float, typer.Option(min=0.1, help="Of speech in one go.")] = 10.0,
    threads: Annotated[int, typer.Option(min=1, help="Of the CPU.")] = 2,
) -> None:
    """Print a Markdown table of real-time factors, each the median of 5 runs."""
    torch.set_num_threads(threads)
    try:
        speed = measure_speed(load(codec), seconds)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo("| step | real-time factor | times faster than real time |\n|---|---|---|")
    for name, factor in (("encode", speed.encode), ("decode", speed.decode), ("both", speed.both)):
        typer.echo(f"| {name} | {factor:.4f} | {1 / factor:.0f} |")
    typer.echo(f"\n{codec}, {seconds:g} s, {threads} threads, torch {torch.__version__}.")


if __name__ == "__main__":
    app()
