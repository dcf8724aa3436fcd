"""How well a codec's tokens tell what is said: `python -m vocable.benchmarks.phonetic --help`.

What is said are k-means units of a speech model's features, as in HuBERT (https://arxiv.org/abs/2106.07447).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs import Codec, audio, load
from vocable.codecs.backbones.frames import spread
from vocable.codecs.backbones.whisper import RATE, whisper_tiny_en
from vocable.codecs.manifest import find_files
from vocable.quantizers.clusters import kmeans, nearest

LAYER = 2  # of Whisper tiny.en, the one that tells phones best
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Heard(NamedTuple):
    """An utterance: its file, and what the speech model hears in it, (1, D, N)."""

    path: Path
    features: Tensor


class Frames(NamedTuple):
    """Of M frames: the units said (M,), the first codebook's codes (M,) and latents (M, D), all's latents."""

    units: Tensor
    codes: Tensor
    first: Tensor
    latents: Tensor

    def draw(self, count: int) -> "Frames":
        """At most `count` of them, at random."""
        picked = torch.randperm(len(self.units))[:count]
        return Frames(*(part[picked] for part in self))


class Score(NamedTuple):
    """Of a codec, on speech of held-out speakers.

    told: the share of the units' entropy that the first codebook's codes tell, below 0 where they mislead.
    first, latents: the share of frames whose unit a linear probe of the first codebook's latents, or of all
    codebooks', finds. chance: that of always guessing the most frequent unit.
    """

    codec: str
    told: float
    first: float
    latents: float
    chance: float


def hear(paths: Iterable[Path], model: nn.Module) -> list[Heard]:
    """What a speech model that takes (B, 1, T) at 16 kHz hears in files."""
    return [Heard(path, model(audio.to_channels(audio.read(path, RATE)[0], 1)[None])) for path in paths]


def fit_units(heard: list[Heard], count: int, frames: int) -> Tensor:
    """Centres (count, D) of at most so many frames, drawn at random."""
    features = torch.cat([utterance.features[0].T for utterance in heard])
    features = features[torch.randperm(len(features))[:frames]]
    return kmeans(features, features.new_ones(len(features)), count, iterations=50)[0]


def frames_of(codec: Codec, heard: list[Heard], centres: Tensor) -> Frames:
    """Every frame that a codec makes of some utterances."""
    found = []
    for path, features in heard:
        wav = audio.to_channels(audio.read(path, codec.sample_rate)[0], codec.channels)
        codes = codec.encode(wav).codes
        with torch.no_grad():
            latents = codec.quantizer.decode(codes)
            first = codec.quantizer.decode(codes[:, :1])
        units = nearest(spread(features, codes.shape[2])[0].T, centres)
        found.append(Frames(units, codes[0, 0], first[0].T, latents[0].T))
    return Frames(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def told(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], classes: int) -> float:
    """The share of the entropy of `test`'s units that its codes tell, each a pair of codes and units (M,).

    The mutual information over the units' entropy, of frequencies in `train`: those of `test` itself would
    tell of any codebook with as many entries as there are frames that it knows everything.
    """
    (codes, units), (codes_test, units_test) = train, test
    size = int(max(codes.max(), codes_test.max())) + 1
    joint = torch.zeros(size, classes, dtype=torch.float64)
    joint.index_put_((codes, units), joint.new_ones(()), accumulate=True)
    prior = (joint.sum(0) + 1) / (joint.sum() + classes)
    posterior = (joint + prior) / (joint.sum(1, keepdim=True) + 1)  # a code never seen tells nothing
    entropy = -prior.log()[units_test].mean()
    return float(1 + posterior.log()[codes_test, units_test].mean() / entropy)


def probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], classes: int) -> float:
    """Accuracy on `test` of logistic regression fitted to `train`, each inputs (M, D) and units (M,)."""
    (x, y), (x_test, y_test) = train, test
    deviation, mean = torch.std_mean(x, dim=0)
    scale = deviation.clamp(min=1e-6)
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")
    x = (x - mean) / scale

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(x, weight, bias), y) + 1e-4 * weight.square().sum() / 2
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    with torch.no_grad():
        guess = F.linear((x_test - mean) / scale, weight, bias).argmax(1)
    return float((guess == y_test).float().mean())


def score(name: str, train: Frames, test: Frames, classes: int, drawn: int) -> Score:
    """A codec's score from its frames of speech to fit on, the probes on `drawn` of them, and to test on."""
    informed = told((train.codes, train.units), (test.codes, test.units), classes)
    few = train.draw(drawn)
    first = probe((few.first, few.units), (test.first, test.units), classes)
    latents = probe((few.latents, few.units), (test.latents, test.units), classes)
    frequent = train.units.bincount(minlength=classes).argmax()
    return Score(name, informed, first, latents, float((test.units == frequent).float().mean()))


def markdown(scores: list[Score]) -> str:
    """The scores as a Markdown table."""
    lines = [
        "| codec | told by the first codes | found in the first codebook | in all | by chance |",
        "|---|---|---|---|---|",
    ]
    return "\n".join(lines + [f"| {s.codec} | {' | '.join(f'{x:.3f}' for x in s[1:])} |" for s in scores])


@app.command()
def main(
    codec: Annotated[list[str], typer.Option(help="A built-in's name, a folder or a hub id; once for each.")],
    data: Annotated[Path, typer.Option(help="A manifest: CSV with columns path and split.")],
    train: Annotated[str, typer.Option(help="The split to fit units and probes on.")] = "train",
    test: Annotated[str, typer.Option(help="The split to score, of other speakers.")] = "eval",
    source: Annotated[str | None, typer.Option(help="Only the manifest's files of this source.")] = None,
    units: Annotated[int, typer.Option(min=2, help="How many.")] = 100,
    frames: Annotated[
        int, typer.Option(min=1000, help="At most so many to fit units and probes on.")
    ] = 60_000,
    seed: int = 0,
) -> None:
    """Print a Markdown table of what each codec's tokens tell of units in Whisper tiny.en's features."""
    errors = Console(stderr=True, soft_wrap=True)
    try:
        codecs = {name: load(name) for name in codec}
        paths = [find_files(data, {"split": split, "source": source}) for split in (train, test)]
        whisper = whisper_tiny_en(layer=LAYER)
        fitted, tested = (hear(track(split, "listening", console=errors), whisper) for split in paths)
        torch.manual_seed(seed)
        centres = fit_units(fitted, units, frames)
        scores = []
        for name, model in track(codecs.items(), "codecs", console=errors):
            torch.manual_seed(seed)
            to_fit, to_test = frames_of(model, fitted, centres), frames_of(model, tested, centres)
            scores.append(score(name, to_fit, to_test, units, frames))
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(markdown(scores))
    typer.echo(f"\n{units} units, fitted on {len(paths[0])} files; means over the frames of {len(paths[1])}.")


if __name__ == "__main__":
    app()
