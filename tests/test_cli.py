"""The command line: what it prints, what it writes, and its exit codes."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner, Result

from vocable.codecs import Codec, Tokens, cli, save
from vocable.codecs.audio import read, write
from vocable.codecs.measure import measure, pesq_wb, si_sdr, snr, stoi


@pytest.fixture
def folder(tmp_path: Path, codec: Codec, node: dict[str, Any]) -> str:
    """A codec folder: 16 kHz, 1600 frames/s, codebooks of 16, 16 and 12."""
    save(codec, node, tmp_path / "tiny")
    (tmp_path / "tiny" / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    return str(tmp_path / "tiny")


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Half a second at 8 kHz."""
    path = tmp_path / "a.wav"
    write(path, torch.randn(4000) * 0.1, 8000)
    return path


def vocable(*args: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def test_reconstruct_the_clip_that_ships(folder: str, tmp_path: Path) -> None:
    for extra in ("matplotlib", "pesq", "pystoi"):
        pytest.importorskip(extra)
    out, png = tmp_path / "out.wav", tmp_path / "out.png"
    result = vocable("reconstruct", "--codec", folder, "--codebooks", "2", "-o", out, "--plot", png)
    assert result.exit_code == 0, result.output
    assert "3200 tokens/s (1600 frames/s x 2)" in result.stdout
    assert "12.80 kbit/s" in result.stdout
    assert "librivox.flac, 7.10 s at 16000 Hz" in result.stdout
    for name in ("encode, real-time factor", "decode, real-time factor", "STOI", "PESQ-WB", "SI-SDR"):
        assert name in result.stdout
    assert "not run" not in result.stdout
    assert soundfile.info(out).frames == 113_600
    assert png.read_bytes().startswith(b"\x89PNG")


def test_reconstruct_keeps_rate_and_length(folder: str, speech: Path, tmp_path: Path) -> None:
    assert vocable("reconstruct", speech, "-o", tmp_path / "b.flac", "--codec", folder).exit_code == 0
    assert soundfile.info(tmp_path / "b.flac").samplerate == 8000
    assert soundfile.info(tmp_path / "b.flac").frames == 4000


def test_reconstruct_without_the_bench_extra(
    folder: str, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pystoi", "pesq", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    result = vocable("reconstruct", speech, "--codec", folder)
    assert result.exit_code == 0
    assert result.stdout.count("not run: pip install 'vocable[bench]'") == 2
    assert "SI-SDR" in result.stdout
    result = vocable("reconstruct", speech, "--codec", folder, "--plot", "x.png")
    assert result.exit_code == 2
    assert "pip install 'vocable[bench]'" in result.stderr


def test_encode_info_decode(folder: str, speech: Path, tmp_path: Path) -> None:
    voc, wav = tmp_path / "a.voc", tmp_path / "back.wav"
    assert vocable("encode", speech, "-o", voc, "--codec", folder, "--codebooks", "2").exit_code == 0
    assert Tokens.load(voc).codes.shape == (1, 2, 800)
    shown = vocable("info", voc)
    assert shown.exit_code == 0
    for text in ("0.50 s", "1 x 2 x 800", "16000 Hz, encoded from 8000 Hz", "12.80 kbit/s", "(not named)"):
        assert text in shown.stdout
    assert Tokens.load(voc).weights in shown.stdout
    assert vocable("decode", voc, "-o", wav, "--codec", folder).exit_code == 0
    assert read(wav)[0].shape == (1, 4000)
    assert soundfile.info(wav).samplerate == 8000
    assert vocable("decode", voc, "-o", wav, "--codec", folder, "--rate", "codec").exit_code == 0
    assert (soundfile.info(wav).samplerate, soundfile.info(wav).frames) == (16000, 8000)


def test_encode_packed_by_entropy(folder: str, speech: Path, tmp_path: Path) -> None:
    pytest.importorskip("constriction")
    voc = tmp_path / "a.voc"
    assert vocable("encode", speech, "-o", voc, "--codec", folder, "--pack", "entropy").exit_code == 0
    assert "entropy-coded, 1 chunks of up to 2730 frames" in vocable("info", voc).stdout
    assert vocable("decode", voc, "-o", tmp_path / "back.wav", "--codec", folder).exit_code == 0


def test_other_weights_only_when_asked(folder: str, codec: Codec, speech: Path, tmp_path: Path) -> None:
    voc, other = tmp_path / "a.voc", tmp_path / "other"
    vocable("encode", speech, "-o", voc, "--codec", folder)
    with torch.no_grad():
        next(iter(codec.decoder.parameters())).add_(1)
    save(codec, json.loads((Path(folder) / "config.json").read_text()), other)
    refused = vocable("decode", voc, "-o", tmp_path / "b.wav", "--codec", other)
    assert refused.exit_code == 1
    assert "tokens were made with the weights" in refused.stderr
    assert not (tmp_path / "b.wav").exists()
    decoded = vocable("decode", voc, "-o", tmp_path / "b.wav", "--codec", other, "--any-weights")
    assert decoded.exit_code == 0


def test_a_file_that_fails_does_not_stop_the_others(folder: str, speech: Path, tmp_path: Path) -> None:
    broken, silent = tmp_path / "broken.wav", tmp_path / "empty.wav"
    broken.write_bytes(b"RIFF, but no more")
    soundfile.write(silent, np.zeros(0), 8000)
    subfolder = tmp_path / "sub.wav"
    subfolder.mkdir()
    inputs = (broken, tmp_path / "absent.wav", silent, subfolder, speech)
    result = vocable("encode", *inputs, "-o", tmp_path / "out", "--codec", folder)
    assert result.exit_code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.voc"]
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    for line, path in zip(lines, inputs, strict=False):
        assert line.startswith(str(path))


def test_a_damaged_or_unnamed_token_file_fails(folder: str, speech: Path, tmp_path: Path) -> None:
    voc, cut = tmp_path / "a.voc", tmp_path / "cut.voc"
    vocable("encode", speech, "-o", voc, "--codec", folder)
    cut.write_bytes(voc.read_bytes()[:-9])
    result = vocable("decode", cut, voc, "-o", tmp_path / "out", "--codec", folder)
    assert result.exit_code == 1
    assert "cut.voc" in result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.wav"]
    assert vocable("info", cut).exit_code == 1
    unnamed = vocable("decode", voc, "-o", tmp_path / "b.wav")
    assert unnamed.exit_code == 1
    assert "--codec" in unnamed.stderr


def test_usage_errors_come_before_any_work(folder: str, speech: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "a.flac"
    write(twin, torch.zeros(1, 100), 8000)
    before = speech.read_bytes()
    (tmp_path / "x.voc").touch()
    for args, why in (
        (("encode", speech, twin, "-o", tmp_path / "out"), "would both become"),
        (("encode", speech, twin, "-o", tmp_path / "x.voc"), "accepted: a folder"),
        (("encode", speech, "-o", tmp_path / "x.wav"), ".voc"),
        (("reconstruct", speech, "-o", speech), "is the input"),
        (("reconstruct", speech, "-o", "b.png", "--plot", "b.png"), "two files"),
        (("encode", speech, "-o", "x.voc", "--codebooks", "4"), "accepted: 1 to 3"),
    ):
        result = vocable(*args, "--codec", folder)
        assert result.exit_code == 2, args
        assert why in " ".join(result.stderr.replace("│", " ").split()), args
    overwriting = vocable("decode", speech, "-o", tmp_path, "--codec", folder)
    assert overwriting.exit_code == 2
    assert speech.read_bytes() == before
    assert not (tmp_path / "out").exists()
    assert vocable("info", "no-such-codec").exit_code == 2
    assert vocable("encode").exit_code == 2
    assert vocable().exit_code == 2


def test_info_of_a_codec(folder: str) -> None:
    result = vocable("info", folder)
    assert result.exit_code == 0
    for text in (
        "16000 Hz, 1 channel",
        "1600 frames/s of 10 samples",
        "3 of 12 or 16 entries",
        "1600 to 4800",
        "mit",
    ):
        assert text in result.stdout


def test_list_has_every_codec_and_its_numbers() -> None:
    from vocable.codecs.catalogue import catalogue

    header, *lines = vocable("list").stdout.splitlines()
    assert header.split()[:3] == ["codec", "kHz", "frames/s"]
    assert [line.split()[0] for line in lines] == [entry.name for entry in catalogue()]
    assert lines[0].split()[:9] == ["vocable-16khz", "16", "50", "12", "1024", "600", "6", "11.3", "M"]


@pytest.mark.parametrize("recipe", ["train", "export"])
def test_recipes_get_their_arguments(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightning")
    pytest.importorskip("hydra")
    calls: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, args: calls.append(args))
    vocable(recipe, "experiment=smoke", "--help", "+a.b=[1,2]")
    assert calls == [
        [sys.executable, "-m", f"vocable.recipes.{recipe}", "experiment=smoke", "--help", "+a.b=[1,2]"]
    ]
    monkeypatch.setitem(sys.modules, "lightning", None)
    result = vocable(recipe, "experiment=smoke")
    assert result.exit_code == 2
    assert "pip install 'vocable[train]'" in result.stderr
    assert len(calls) == 1


def test_benchmarks_get_their_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pesq")
    pytest.importorskip("jiwer")
    pytest.importorskip("scipy")
    calls: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, args: calls.append(args[2:]))
    vocable("bench", "--data", "x", "--codecs", "a,b")
    vocable("bench", "--data", "x", "--speech-tokens", "--codec", "a")
    vocable("compare", "report", "a", "b")
    assert calls == [
        ["vocable.benchmarks.bench", "--data", "x", "--codecs", "a,b"],
        ["vocable.benchmarks.speech_tokens", "--data", "x", "--codec", "a"],
        ["vocable.benchmarks.compare", "report", "a", "b"],
    ]
    monkeypatch.setitem(sys.modules, "pesq", None)
    assert "pip install 'vocable[bench]'" in vocable("bench", "--data", "x").stderr


def test_help_needs_no_extra() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom vocable.codecs.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(*(m for m in ('soundfile', 'soxr', 'matplotlib', 'pystoi', 'pesq', 'lightning', 'hydra')"
        " if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_measures_of_a_known_distortion() -> None:
    for extra in ("pesq", "pystoi", "torchmetrics"):
        pytest.importorskip(extra)
    torch.manual_seed(0)
    wav, _ = read(cli.clip())
    noisy = wav + 0.1 * wav.square().mean().sqrt() * torch.randn_like(wav)
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio as peer

    assert si_sdr(wav[0], 3 * noisy[0]) == pytest.approx(20.0, abs=0.2)
    assert si_sdr(wav[0], noisy[0]) == pytest.approx(peer(noisy[0], wav[0], zero_mean=True).item(), abs=1e-3)
    assert stoi(wav[0], wav[0], 16000) == pytest.approx(1.0, abs=1e-4)
    assert pesq_wb(wav[0], wav[0], 16000) == pytest.approx(4.644, abs=1e-3)
    assert measure(wav, noisy, 16000)["SI-SDR"] == si_sdr(wav[0], noisy[0])
    short = measure(wav[:, :1000], noisy[:, :1000], 16000)
    assert str(short["STOI"]).startswith("not run: too little speech")
    assert str(short["PESQ-WB"]).startswith("not run: too little speech")
    assert str(measure(wav, 0 * wav, 16000)["SI-SDR"]).startswith("not run")
    with pytest.raises(ValueError, match="one length"):
        si_sdr(wav[0], wav[0, 1:])
    assert snr(wav, 1.1 * wav) == pytest.approx(20.0, abs=1e-4)
    assert snr(wav, wav) == math.inf
