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
    """Of a codec; each between 0 and 1. `chance` is always to guess the most frequent unit."""

    codec: str
    pnmi: float
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


def pnmi(codes: Tensor, units: Tensor) -> float:
    """The share of the units' entropy that codes (M,) tell: mutual information over H(units), units (M,)."""
    joint = torch.zeros(int(codes.max()) + 1, int(units.max()) + 1, dtype=torch.float64)
    joint.index_put_((codes, units), joint.new_ones(len(codes)) / len(codes), accumulate=True)
    entropy = [-torch.special.xlogy(p, p).sum() for p in (joint.sum(1), joint.sum(0), joint)]
    return float((entropy[0] + entropy[1] - entropy[2]) / entropy[1])


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


def score(name: str, train: Frames, test: Frames, classes: int) -> Score:
    """A codec's score from its frames of speech to fit the probes on, and of speech to test them on."""
    accuracies = [
        probe((fitted, train.units), (tested, test.units), classes)
        for fitted, tested in ((train.first, test.first), (train.latents, test.latents))
    ]
    frequent = train.units.bincount(minlength=classes).argmax()
    chance = float((test.units == frequent).float().mean())
    return Score(name, pnmi(test.codes, test.units), *accuracies, chance)


def markdown(scores: list[Score]) -> str:
    """The scores as a Markdown table."""
    lines = [
        "| codec | PNMI of the first codes | probe of the first codebook | of all | chance |",
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
    frames: Annotated[int, typer.Option(min=1000, help="At most so many to fit on.")] = 60_000,
    seed: int = 0,
) -> None:
    """Print a Markdown table of what each codec's tokens tell of units in Whisper tiny.en's features."""
    errors = Console(stderr=True, soft_wrap=True)
    try:
        codecs = {name: load(name) for name in codec}
        paths = [find_files(data, {"split": split, "source": source}) for split in (train, test)]
        whisper = whisper_tiny_en()
        fitted, tested = (hear(track(split, "listening", console=errors), whisper) for split in paths)
        torch.manual_seed(seed)
        centres = fit_units(fitted, units, frames)
        scores = []
        for name, model in track(codecs.items(), "codecs", console=errors):
            torch.manual_seed(seed)
            drawn = frames_of(model, fitted, centres).draw(frames)
            scores.append(score(name, drawn, frames_of(model, tested, centres), units))
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(markdown(scores))
    typer.echo(f"\n{units} units, fitted on {len(paths[0])} files; means over the frames of {len(paths[1])}.")


if __name__ == "__main__":
    app()
