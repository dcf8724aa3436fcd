"""Audio files, resampling, channels, integer samples."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocable.codecs import audio, signal


def sine(rate: int, samples: int, hz: float = 440.0) -> torch.Tensor:
    return 0.5 * torch.sin(2 * torch.pi * hz * torch.arange(samples, dtype=torch.float64) / rate).float()


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sixteen_bits_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    pcm = torch.arange(-32768, 32768, dtype=torch.int32).to(torch.int16).reshape(2, -1)
    audio.write(tmp_path / f"a{suffix}", pcm, 22050)
    wav, rate = audio.read(tmp_path / f"a{suffix}")
    assert rate == 22050
    assert torch.equal((wav * 32768).to(torch.int16), pcm)
    assert audio.info(tmp_path / f"a{suffix}") == (22050, 2, 32768)
    assert soundfile.info(tmp_path / f"a{suffix}").subtype == "PCM_16"
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


def test_float_comes_back_exactly_and_sixteen_bits_clip(tmp_path: Path) -> None:
    wav = sine(16000, 100)
    audio.write(tmp_path / "a.wav", wav * 4, 16000, subtype="FLOAT")
    assert torch.equal(audio.read(tmp_path / "a.wav")[0], wav[None] * 4)
    audio.write(tmp_path / "b.wav", torch.tensor([2.0, -2.0]), 16000)
    assert audio.read(tmp_path / "b.wav")[0].tolist() == [[32767 / 32768, -1.0]]


@pytest.mark.parametrize("suffix", [".ogg", ".mp3", ".opus", ".aif", ".AU"])
def test_other_formats(tmp_path: Path, suffix: str) -> None:
    audio.write(tmp_path / f"a{suffix}", sine(48000, 48000), 48000)
    wav, rate = audio.read(tmp_path / f"a{suffix}")
    assert rate == 48000
    assert wav.shape == (1, 48000)
    assert float(wav.square().mean().sqrt()) == pytest.approx(0.5 / 2**0.5, rel=0.02)


@settings(max_examples=25, deadline=None)
@given(offset=st.integers(0, 999), frames=st.integers(1, 1200))
def test_a_part_is_that_part(tmp_path_factory: pytest.TempPathFactory, offset: int, frames: int) -> None:
    path = tmp_path_factory.getbasetemp() / "part.flac"
    if not path.exists():
        audio.write(path, torch.randint(-999, 999, (2, 1000)).to(torch.int16), 16000)
    whole, _ = audio.read(path)
    part, _ = audio.read(path, offset=offset, frames=frames)
    assert torch.equal(part, whole[:, offset : offset + frames])


def test_read_resamples(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", sine(48000, 4801), 48000, subtype="FLOAT")
    wav, rate = audio.read(tmp_path / "a.wav", sample_rate=16000)
    assert (rate, wav.shape) == (16000, (1, 1600))
    torch.testing.assert_close(wav[0, 200:-200], sine(16000, 1600)[200:-200], rtol=0, atol=1e-3)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "nothing.wav").touch()
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1)), 16000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "slow.wav", np.zeros(10), 500)
    cases = {
        "text.wav": "not an audio file",
        "nothing.wav": "not an audio file",
        "empty.wav": "holds 0 samples",
        "nan.wav": "NaN",
        "slow.wav": "sample_rate is 500",
    }
    for name, message in cases.items():
        with pytest.raises(ValueError, match=rf"{name}.*{message}"):
            audio.read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"no\.wav"):
        audio.read(tmp_path / "no.wav")
    with pytest.raises(ValueError, match="not an audio file"):
        audio.info(tmp_path)
    (tmp_path / "a.raw").touch()
    with pytest.raises(ValueError, match="not an audio file"):
        audio.read(tmp_path / "a.raw")


def test_a_cut_flac_is_refused_or_gives_its_start(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.flac", torch.randint(-9999, 9999, (20000,)).to(torch.int16), 16000)
    content, (whole, _) = (tmp_path / "a.flac").read_bytes(), audio.read(tmp_path / "a.flac")
    (tmp_path / "b.flac").write_bytes(content[: len(content) // 2])
    part, _ = audio.read(tmp_path / "b.flac", frames=1000)
    assert torch.equal(part, whole[:, :1000])
    (tmp_path / "b.flac").write_bytes(content[:20])
    with pytest.raises(ValueError, match=r"b\.flac"):
        audio.read(tmp_path / "b.flac")


@pytest.mark.parametrize(("offset", "frames"), [(-1, None), (10, None), (0, 0), (0, -5)])
def test_parts_outside_are_refused(tmp_path: Path, offset: int, frames: int | None) -> None:
    audio.write(tmp_path / "a.wav", torch.zeros(10), 16000)
    with pytest.raises(ValueError, match="accepted"):
        audio.read(tmp_path / "a.wav", offset=offset, frames=frames)


def test_write_refuses_and_leaves_the_old_file(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", sine(16000, 10), 16000)
    before = (tmp_path / "a.wav").read_bytes()
    bad: list[tuple[str, Any, int, str | None, str]] = [
        ("a.wav", torch.tensor([float("nan")]), 16000, None, "NaN"),
        ("a.wav", torch.zeros(0), 16000, None, "one sample or more"),
        ("a.wav", torch.zeros(1, 2, 3), 16000, None, r"\(C, T\)"),
        ("a.wav", torch.zeros(3), 0, None, "sample_rate is 0"),
        ("a.wav", torch.zeros(3), 16000, "VORBIS", "accepted: PCM_16"),
        ("a.xyz", torch.zeros(3), 16000, None, r"suffix is '\.xyz'; accepted"),
        ("a.mp3", torch.zeros(3), 7999, None, "can't be written"),
    ]
    for name, wav, rate, subtype, message in bad:
        with pytest.raises(ValueError, match=message):
            audio.write(tmp_path / name, wav, rate, subtype)
    assert (tmp_path / "a.wav").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3000),
    st.sampled_from([8000, 11025, 16000, 22050, 24000, 44100, 48000, 96000]),
    st.sampled_from([8000, 16000, 24000, 44100, 48000]),
)
def test_resampled_length_is_rounded_half_up(samples: int, from_rate: int, to_rate: int) -> None:
    out = audio.resample(torch.zeros(2, 1, samples), from_rate, to_rate)
    exact = samples * to_rate / from_rate
    assert out.shape == (2, 1, max(1, int(exact + 0.5)))
    assert audio.resample(torch.zeros(samples), from_rate, to_rate, length=7).shape == (7,)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(16000, 48000), (48000, 16000), (44100, 16000)])
def test_resampled_sine_is_the_sine(from_rate: int, to_rate: int) -> None:
    wav = torch.stack([sine(from_rate, from_rate), sine(from_rate, from_rate, 3000.0)])
    want = torch.stack([sine(to_rate, to_rate), sine(to_rate, to_rate, 3000.0)])
    out = audio.resample(wav, from_rate, to_rate)
    torch.testing.assert_close(out[:, 1000:-1000], want[:, 1000:-1000], rtol=0, atol=1e-3)
    peer = soxr.resample(wav[0].numpy(), from_rate, to_rate, quality="VHQ")
    torch.testing.assert_close(out[0, : len(peer)], torch.from_numpy(peer), rtol=0, atol=1e-5)


def test_resample_to_the_same_rate_is_the_same() -> None:
    wav = sine(16000, 100)
    assert torch.equal(audio.resample(wav, 16000, 16000), wav)
    with pytest.raises(ValueError, match="to_rate is 1"):
        audio.resample(wav, 16000, 1)


def test_channels() -> None:
    wav = torch.tensor([[1.0, 0.0], [0.5, -1.0]])
    assert audio.to_channels(wav, 1).tolist() == [[0.75, -0.5]]
    assert audio.to_channels(wav[:1], 3).tolist() == [[1.0, 0.0]] * 3
    assert audio.to_channels(wav, 2) is wav
    with pytest.raises(ValueError, match="2 channels; accepted: 1 or 6"):
        audio.to_channels(wav, 6)


@pytest.mark.parametrize(
    ("wav", "want"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1.0, 0.0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1.0, 0.0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([0.5, -0.5], np.float64), [0.5, -0.5]),
        (np.array([0.5, -0.5], np.float16), [0.5, -0.5]),
        (np.array([0, 16384], ">i2"), [0.0, 0.5]),
        (np.array([0.5, 0.0])[::-1], [0.0, 0.5]),
        (torch.tensor([0.5], dtype=torch.bfloat16), [0.5]),
    ],
)
def test_full_scale(wav: Any, want: list[float]) -> None:
    out = signal.to_float(wav)
    assert out.dtype == torch.float32
    assert out.tolist() == want


def test_a_double_beyond_float32_is_refused() -> None:
    with pytest.raises(ValueError, match="finite float32"):
        signal.to_float(np.array([1e300]))
