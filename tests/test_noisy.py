"""The mixtures that codecs are judged on have the ratio, the texts and the voices that they should."""

import csv
from pathlib import Path

import pytest
import torch

pytest.importorskip("torchaudio")

from typer.testing import CliRunner

from vocable.benchmarks.noisy import app, behind, mixture
from vocable.codecs import audio
from vocable.codecs.manifest import Entry


def power(wav: torch.Tensor) -> float:
    return float(wav.square().mean())


@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0])
@pytest.mark.parametrize("voices", [0, 3])
def test_the_ratio_of_powers_is_the_one_asked_for(snr: float, voices: int) -> None:
    generator = torch.Generator().manual_seed(0)
    wav = 0.01 * torch.randn(1, 8000, generator=generator)
    others = [loudness * torch.randn(1, 3000, generator=generator) for loudness in (1e-3, 1.0, 0.1)[:voices]]
    mixed = mixture(wav, others, snr, seed=0)
    assert 10 * torch.tensor(power(wav) / power(mixed - wav)).log10() == pytest.approx(snr, abs=1e-3)
    assert torch.equal(mixed, mixture(wav, others, snr, seed=0))


def test_what_would_clip_is_scaled() -> None:
    wav = 0.9 * torch.ones(1, 100)
    mixed = mixture(wav, [], 0.0, seed=0)
    assert float(mixed.abs().max()) == pytest.approx(1.0)


def test_babble_is_of_other_speakers() -> None:
    entries = [Entry(Path(f"{i}.wav"), None, {"speaker": "ab"[i % 2]}) for i in range(6)]
    assert behind(entries, 1, 6) == [Path("2.wav"), Path("4.wav"), Path("0.wav")]
    assert behind([entry._replace(fields={}) for entry in entries], 4, 2) == [Path("5.wav"), Path("0.wav")]


def test_the_command_writes_audio_and_a_manifest(tmp_path: Path) -> None:
    rows = ["path,split,speaker,transcript"]
    for i in range(3):
        noise = 0.1 * torch.randn(4000, generator=torch.Generator().manual_seed(i))
        audio.write(tmp_path / f"{i}.wav", noise, 8000)
        rows.append(f"{i}.wav,{'eval' if i else 'train'},{i},text {i}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "noisy"
    command = ["--data", str(tmp_path / "manifest.csv"), "--split", "eval", "--snr", "5", "-o", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    with (out / "manifest.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["transcript"] for row in found] == ["text 1", "text 2"]
    for row, other in zip(found, ("1.wav", "2.wav"), strict=True):
        wav, rate = audio.read(out / row["path"])
        clean, _ = audio.read(tmp_path / other)
        assert rate == 8000
        ratio = 10 * torch.tensor(power(clean) / power(wav - clean)).log10()
        assert float(ratio) == pytest.approx(5, abs=0.05)  # 16 bits
    result = CliRunner().invoke(app, [*command, "--kind", "hum"])
    assert "accepted: babble, white" in " ".join(result.output.split())
