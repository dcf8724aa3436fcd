"""What a training step costs beside the same in its authors' package:
`python -m vocable.benchmarks.train_speed --help`."""

import gc
import time
import warnings
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor

from vocable.benchmarks.train_peers import their_dac, their_encodec
from vocable.benchmarks.train_profile import Share, peak_memory, shares
from vocable.benchmarks.train_steps import (
    DAC_RATE,
    ENCODEC_RATE,
    Recipe,
    Side,
    Training,
    dac_recipe,
    encodec_recipe,
    our_dac,
    our_encodec,
)
from vocable.codecs.audio import read, resample, to_channels
from vocable.codecs.cli import clip
from vocable.codecs.signal import repeated

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Match(NamedTuple):
    """A published training step, ours and its peer's, of codecs of `dim` channels in their first layer."""

    package: str
    sample_rate: int
    recipe: Callable[[], Recipe]
    ours: Callable[[int], Side]
    peer: Callable[[int], Side]


MATCHES = {
    "dac": Match("descript-audio-codec", DAC_RATE, dac_recipe, our_dac, their_dac),
    "encodec": Match("encodec", ENCODEC_RATE, encodec_recipe, our_encodec, their_encodec),
}


class Cost(NamedTuple):
    """Of a step: seconds, seconds of all cores together, and the most bytes of tensors at a time."""

    seconds: float
    cpu: float
    memory: int


def compare(match: Match, dim: int, wav: Tensor, rounds: int = 7) -> tuple[Cost, Cost, Cost]:
    """The peer's, ours in its order, and ours of one pass: medians of `rounds` steps on wav (B, 1, T), taken
    in turn in this process, after one."""
    sides = ((match.peer, False), (match.ours, False), (match.ours, True))
    makes = [partial(_stepper, match, side, dim, one_pass) for side, one_pass in sides]
    memory = []
    for make in makes:
        memory.append(peak_memory(make, wav))
        gc.collect()
    steps = [make() for make in makes]
    took: list[list[tuple[float, float]]] = [[] for _ in steps]
    for _ in range(rounds + 1):
        for step, times in zip(steps, took, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            step(wav)
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
    walls, cpus = ([median(time[i] for time in times[1:]) for times in took] for i in range(2))
    peer, same, one_pass = map(Cost, walls, cpus, memory)
    return peer, same, one_pass


def profiled(match: Match, side: Callable[[int], Side], dim: int, wav: Tensor) -> list[Share]:
    """Where one step's time goes, after one to warm up."""
    made = side(dim)
    training = Training(made, match.recipe(), one_pass=made.both is not None)
    training.step(wav)
    return shares(training.step, training.side.parts, wav)


def speech(rate: int, batch: int, seconds: float) -> Tensor:
    """Crops (B, 1, T) of the package's recording, one after another."""
    wav, own = read(clip())
    wav, samples = to_channels(resample(wav, own, rate), 1), max(1, round(seconds * rate))
    return repeated(wav, batch * samples).view(batch, 1, samples)


def _stepper(
    match: Match, side: Callable[[int], Side], dim: int, one_pass: bool
) -> Callable[[Tensor], dict[str, Tensor]]:
    return Training(side(dim), match.recipe(), one_pass).step


@app.command()
def main(
    codec: Annotated[str, typer.Option(help="dac, encodec, or both with a comma.")] = "dac,encodec",
    dim: Annotated[int, typer.Option(min=1, help="Channels of the codec's first layer.")] = 16,
    batch: Annotated[int, typer.Option(min=1)] = 2,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each crop.")] = 0.38,
    rounds: Annotated[int, typer.Option(min=1, help="Steps of each, in turn.")] = 7,
    threads: Annotated[int, typer.Option(min=1, help="Of the CPU.")] = 2,
    profile: Annotated[bool, typer.Option("--profile", help="Where the time goes, instead.")] = False,
) -> None:
    """Print a Markdown table of training steps a second and their peak memory, ours and the peer's."""
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore", category=FutureWarning)  # of the peers' weight norm
    names = [name.strip() for name in codec.split(",")]
    if unknown := [name for name in names if name not in MATCHES]:
        raise typer.BadParameter(f"no match for {', '.join(unknown)}; accepted: {', '.join(MATCHES)}")
    if not profile:
        typer.echo(
            "| step | peer | order | peer, steps/s | vocable, steps/s | times faster | less CPU time "
            "| memory |"
        )
        typer.echo("|---|---|---|---|---|---|---|---|")
    for name in names:
        torch.manual_seed(0)
        match = MATCHES[name]
        wav = speech(match.sample_rate, batch, seconds)
        if profile:
            _print_shares(name, match, dim, wav)
        else:
            _print_costs(name, match, *compare(match, dim, wav, rounds))
        gc.collect()
    typer.echo(
        f"\n{batch} crops of {seconds:g} s, {dim} channels, {threads} threads, torch {torch.__version__}."
    )


def _print_costs(name: str, match: Match, peer: Cost, same: Cost, one_pass: Cost) -> None:
    for order, ours in (("discriminator first", same), ("one pass, codec first", one_pass)):
        speeds = f"{1 / peer.seconds:.3f} | {1 / ours.seconds:.3f}"
        ratios = f"{peer.seconds / ours.seconds:.2f} | {peer.cpu / ours.cpu:.2f}"
        memory = f"{ours.memory / 2**20:.0f} of {peer.memory / 2**20:.0f} MiB"
        typer.echo(f"| {name} | {match.package} | {order} | {speeds} | {ratios} | {memory} |")


def _print_shares(name: str, match: Match, dim: int, wav: Tensor) -> None:
    found = [profiled(match, side, dim, wav) for side in (match.peer, match.ours)]
    typer.echo(
        f"\n{name}, ms\n\n| part | {match.package}: forward | backward | vocable: forward | backward |"
    )
    typer.echo("|---|---|---|---|---|")
    for peer, ours in zip(*found, strict=True):
        times = (peer.forward, peer.backward, ours.forward, ours.backward)
        typer.echo(f"| {ours.part} | " + " | ".join(f"{1e3 * value:.0f}" for value in times) + " |")


if __name__ == "__main__":
    app()
