"""The phonetic benchmark: its measures against scikit-learn's, and codecs that know all and nothing."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from vocable.benchmarks import phonetic
from vocable.benchmarks.phonetic import Frames, Heard, fit_units, frames_of, hear, probe, score, told
from vocable.codecs import Codec, audio, save
from vocable.codecs.backbones.frames import spread
from vocable.codecs.backbones.whisper import WhisperEncoder


def labels(size: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (M,) of 20 that tell units (M,) of 8, but for a share of noise."""
    torch.manual_seed(0)
    units = torch.randint(8, (size,))
    codes = torch.where(torch.rand(size) < noise, torch.randint(20, (size,)), 2 * units)
    return codes, units


def test_told_is_mutual_information_over_the_units_entropy() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    codes, units = labels(40_000, 0.5)
    halves = (codes[:20_000], units[:20_000]), (codes[20_000:], units[20_000:])
    share = units.bincount() / len(units)
    entropy = float(-(share * share.log()).sum())
    expected = metrics.mutual_info_score(codes, units) / entropy
    assert 0.2 < expected < 0.8
    assert told(*halves, 8) == pytest.approx(expected, abs=0.01)


def test_told_does_not_reward_a_large_codebook() -> None:
    torch.manual_seed(0)
    codes, units = torch.randint(1000, (4000,)), torch.randint(50, (4000,))
    halves = (codes[:2000], units[:2000]), (codes[2000:], units[2000:])
    assert told(*halves, 50) < 0.01
    assert told((units[:2000], units[:2000]), (units[2000:], units[2000:]), 50) > 0.95
    assert told((codes[:9], units[:9]), (codes[9:] + 1000, units[9:]), 50) < 0.01  # never seen


def test_probe_is_logistic_regression() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    torch.manual_seed(0)
    x, centres = torch.randn(600, 10), torch.randn(5, 10)
    y = (x @ centres.T + torch.randn(600, 5)).argmax(1)
    found = probe((x[:400], y[:400]), (x[400:], y[400:]), 5)
    model = linear_model.LogisticRegression(C=25, max_iter=500).fit(x[:400], y[:400])
    assert found == pytest.approx(model.score(x[400:], y[400:]), abs=0.03)
    assert found > 0.5


def test_score_of_one_who_knows_and_one_who_does_not() -> None:
    codes, units = labels(2000, 0.0)
    known = torch.nn.functional.one_hot(units).float()
    train, test = (
        Frames(units[part], codes[part], known[part], torch.randn(1000, 8))
        for part in (slice(1000), slice(1000, 2000))
    )
    found = score("x", train, test, 8, 1000)
    assert (found.told, found.first) == (pytest.approx(1, abs=0.02), 1)
    assert abs(found.latents - 1 / 8) < 0.05
    assert abs(found.chance - 1 / 8) < 0.05


def test_frames_are_a_codecs_and_units_follow_them(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    audio.write(path, 0.1 * torch.randn(1, 3200), 16000)
    heard = hear([path], WhisperEncoder(8, 2, 1, 10))
    assert heard[0].features.shape == (1, 8, 10)
    torch.manual_seed(0)
    centres = fit_units(heard, 4, 1000)
    frames = frames_of(codec, heard, centres)
    codes = codec.encode(path).codes
    assert torch.equal(frames.codes, codes[0, 0])
    torch.testing.assert_close(frames.latents.T[None], codec.quantizer.decode(codes))
    assert frames.units.shape == (320,)
    nearest = torch.cdist(spread(heard[0].features, 320)[0].T, centres).argmin(1)
    assert torch.equal(frames.units, nearest)
    assert len(frames.draw(50).units) == 50


def test_units_are_the_clusters() -> None:
    torch.manual_seed(1)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    features = (centres.repeat(100, 1) + 0.1 * torch.randn(300, 2)).T[None]
    found = fit_units([Heard(Path("x"), features)], 3, 1000)
    assert torch.cdist(found, centres).amin(0).max() < 0.5


def test_command(codec: Codec, node: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(codec, node, tmp_path / "codec")
    rows: list[dict[str, str]] = [
        {"path": f"{i}.wav", "split": "train" if i < 2 else "eval"} for i in range(3)
    ]
    for row in rows:
        audio.write(tmp_path / row["path"], 0.1 * torch.randn(1, 8000), 16000)
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    torch.manual_seed(0)
    monkeypatch.setattr(phonetic, "whisper_tiny_en", lambda layer: WhisperEncoder(8, 2, 2, 10, layer))
    command = ["--codec", str(tmp_path / "codec"), "--data", str(tmp_path / "manifest.csv"), "--units", "5"]
    result = CliRunner().invoke(phonetic.app, command)
    assert result.exit_code == 0, result.output
    header, _, row, *_ = result.output.strip().splitlines()[-5:]
    assert header.startswith("| codec | told")
    assert all(-1 <= float(value) <= 1 for value in row.split("|")[2:-1])
    assert "5 units, fitted on 2 files; means over the frames of 1." in result.output
    result = CliRunner().invoke(phonetic.app, [*command, "--source", "nobody"])
    assert result.exit_code == 2
    assert "source" in result.output
