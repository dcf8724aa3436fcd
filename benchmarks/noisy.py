"""Recordings with others talking, or noise, behind them, to judge codecs on:
`python -m vocable.benchmarks.noisy --help`."""

import csv
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.progress import track
from torch import Tensor

from vocable.codecs import audio
from vocable.codecs.files import replacing
from vocable.codecs.manifest import Entry, find_entries
from vocable.codecs.signal import repeated

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

KINDS = ("babble", "white")
VOICES = 6  # other recordings in a babble


def mixture(wav: Tensor, others: list[Tensor], snr: float, seed: int) -> Tensor:
    """wav (1, T) with the sum of `others`, or white noise where there are none, at a ratio of powers in dB.

    Others are brought to one power, repeated and cut to length. What would clip is scaled down.
    """
    from torchaudio.functional import add_noise

    if others:
        parts = [repeated(other, wav.shape[-1]) for other in others]
        noise = torch.stack([part / part.square().mean().sqrt().clamp(min=1e-8) for part in parts]).sum(0)
    else:
        noise = torch.randn(wav.shape, generator=torch.Generator().manual_seed(seed))
    mixed = add_noise(wav, noise, torch.full((1,), snr))
    return mixed / mixed.abs().max().clamp(min=1.0)


def behind(entries: list[Entry], index: int, voices: int) -> list[Path]:
    """The recordings that babble behind number `index`: the next ones of other speakers."""
    speaker = entries[index].fields.get("speaker")
    turned = entries[index + 1 :] + entries[:index]
    others = [entry for entry in turned if speaker is None or entry.fields.get("speaker") != speaker]
    return [entry.path for entry in others[:voices]]


@lru_cache(2 * VOICES)  # each is behind several
def _mono(path: Path, rate: int) -> Tensor:
    return audio.to_channels(audio.read(path, rate)[0], 1)


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="A manifest, or a folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the mixtures and their manifest.")],
    split: Annotated[str | None, typer.Option(help="Of the manifest.")] = None,
    source: Annotated[str | None, typer.Option(help="Of the manifest.")] = None,
    kind: Annotated[
        str, typer.Option(help="babble: six other recordings; white: Gaussian noise.")
    ] = "babble",
    snr: Annotated[float, typer.Option(help="dB")] = 10.0,
) -> None:
    """Write each recording with noise behind it, as FLAC of its own rate, and a manifest with its texts."""
    if kind not in KINDS:
        raise typer.BadParameter(f"kind is {kind!r}; accepted: {', '.join(KINDS)}")
    entries = find_entries(data, {"split": split, "source": source})
    if kind == "babble" and len(entries) < 2:
        raise typer.BadParameter(f"{len(entries)} recording; accepted: 2 or more for babble")
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for i, entry in enumerate(track(entries, "Mixing")):
        wav, rate = audio.read(entry.path)
        paths = behind(entries, i, VOICES) if kind == "babble" else []
        others = [_mono(path, rate) for path in paths]
        file = f"{i:04d}-{entry.path.stem}.flac"
        audio.write(out / file, mixture(audio.to_channels(wav, 1), others, snr, i), rate)
        texts = {name: entry.fields.get(name, "") for name in ("speaker", "transcript", "consensus")}
        rows.append({"path": file, **texts})
    with replacing(out / "manifest.csv") as part, part.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    app()
