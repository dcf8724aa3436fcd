"""Recordings from file to file: what is read, told, refused, and left where something goes wrong."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocable.benchmarks.small import small_codec
from vocable.codecs import Codec, Tokens, audio, blocks
from vocable.codecs.backbones import pieces
from vocable.codecs.backbones.wavtokenizer import WavTokenizerDecoder
from vocable.codecs.normalizing import normalizing_gain
from vocable.codecs.report import long_row

made = cache(small_codec)
Same = Callable[[Tokens, Tokens], None]
RATE = 22050


@pytest.fixture(scope="module")
def recording(stereo: Callable[[int, float], Path]) -> Path:
    return stereo(RATE, 3)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SAMPLES", 2**12)


@pytest.mark.usefixtures("small_pieces")
def test_windows_are_the_same_from_a_file(recording: Path, tmp_path: Path) -> None:
    codec = small_codec("wavtokenizer-small-600")
    assert isinstance(codec.decoder, WavTokenizerDecoder)
    codec.decoder.window = 700
    tokens = codec.encode(*audio.read(recording))
    codec.decode_file(tokens, tmp_path / "a.wav")
    wav = codec.decode(tokens)[0]
    torch.testing.assert_close(audio.read(tmp_path / "a.wav")[0], wav.clamp(-1, 1), rtol=0, atol=1.01 / 2**15)
    codec.decoder.window = None
    assert not torch.allclose(codec.decode(tokens)[0], wav, atol=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 9000),
    block=st.integers(1, 4000),
    rates=st.tuples(st.sampled_from([8000, 16000, 44100, 48000]), st.sampled_from([16000, 24000, 44100])),
    channels=st.integers(1, 2),
    more=st.none() | st.integers(1, 5),
)
def test_blocks_are_resampled_as_the_whole(
    length: int, block: int, rates: tuple[int, int], channels: int, more: int | None
) -> None:
    wav = torch.randn(channels, length, generator=torch.Generator().manual_seed(length))
    end = None if more is None else audio.resampled_length(length, *rates) + more - 2
    end = None if end is not None and (end < 1 or rates[0] == rates[1]) else end
    found = list(blocks.resampled(iter(pieces.Tiles(wav, block)), *rates, end))
    assert torch.equal(torch.cat([part for part, _ in found], -1), audio.resample(wav, *rates, end))
    assert found[-1][1]


def test_the_blocks_of_a_file_are_its_samples(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 50_000)
    found = list(blocks.read(recording))
    assert [final for _, final in found] == [False, True]
    assert torch.equal(torch.cat([part for part, _ in found], -1), audio.read(recording)[0])


@pytest.mark.usefixtures("small_pieces")
def test_progress_is_told_in_seconds(recording: Path, tmp_path: Path) -> None:
    codec, told = made("vocable-16khz"), list[tuple[float, float]]()
    codec.encode_file(recording, tmp_path / "a.voc", told=lambda *at: told.append(at))
    seconds = audio.info(recording).frames / RATE
    assert [total for _, total in told] == [seconds] * len(told)
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1][0] == pytest.approx(seconds, abs=1e-4)
    told.clear()
    codec.decode_file(tmp_path / "a.voc", tmp_path / "a.wav", told=lambda *at: told.append(at))
    assert len(told) > 5
    assert told[-1][0] == told[-1][1] == pytest.approx(seconds, abs=1e-4)


def test_first_codebooks_and_entropy(recording: Path, tmp_path: Path, check_same: Same) -> None:
    pytest.importorskip("constriction")
    codec = made("dac-16khz")
    codec.encode_file(recording, tmp_path / "a.voc", num_codebooks=2, packing="entropy")
    check_same(Tokens.load(tmp_path / "a.voc"), codec.encode(recording, num_codebooks=2))


def test_what_was_there_stays_where_a_recording_ends_badly(recording: Path, tmp_path: Path) -> None:
    codec, out = made("vocable-16khz"), tmp_path / "a.voc"
    out.write_text("as it was")
    samples = np.zeros((200_000, 1), np.float32)
    samples[199_000] = np.nan
    soundfile.write(tmp_path / "bad.wav", samples, RATE, "FLOAT")
    with pytest.raises(
        ValueError, match=r"bad.wav: holds NaN or infinite samples, 1 of .*; accepted: finite"
    ):
        codec.encode_file(tmp_path / "bad.wav", out)
    assert out.read_text() == "as it was"
    codec.encode_file(recording, tmp_path / "good.voc")
    whole = (tmp_path / "good.voc").read_bytes()
    (tmp_path / "cut.voc").write_bytes(whole[:-30])
    (tmp_path / "odd.voc").write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
    for name in ("cut.voc", "odd.voc"):
        with pytest.raises(ValueError, match=name):
            codec.decode_file(tmp_path / name, tmp_path / "a.wav")
    assert {path.name for path in tmp_path.iterdir()} == {
        "a.voc",
        "bad.wav",
        "good.voc",
        "cut.voc",
        "odd.voc",
    }


def test_refusals(recording: Path, tmp_path: Path) -> None:
    codec, other = made("dac-16khz"), made("vocable-16khz")
    tokens = codec.encode(torch.randn(2, 1, 5000))
    tokens.save(tmp_path / "two.voc")
    for two in (tokens, tmp_path / "two.voc"):
        with pytest.raises(ValueError, match=r"2 signals.*accepted: 1"):
            codec.decode_file(two, tmp_path / "a.wav")
    tokens[0].save(tmp_path / "one.voc")
    with pytest.raises(ValueError, match="accepted: this codec's"):
        other.decode_file(tmp_path / "one.voc", tmp_path / "a.wav")
    again = small_codec("dac-16khz", seed=1)
    with pytest.raises(ValueError, match="made with the weights"):
        again.decode_file(tmp_path / "one.voc", tmp_path / "a.wav")
    again.decode_file(tmp_path / "one.voc", tmp_path / "a.wav", any_weights=True)
    with pytest.raises(ValueError, match="num_codebooks is 4; accepted: 1 to 3"):
        codec.encode_file(recording, tmp_path / "a.voc", num_codebooks=4)
    with pytest.raises(ValueError, match="sample_rate is 16000 for a file of 22050 Hz"):
        codec.encode(recording, 16000)
    with pytest.raises(FileNotFoundError, match="no audio file"):
        codec.encode_file(tmp_path / "none.wav", tmp_path / "a.voc")


def test_a_signal_s_loudness_does_not_depend_on_its_pieces() -> None:
    generator = torch.Generator().manual_seed(0)
    wav = torch.randn(2, 1, 40_000, generator=generator) * torch.tensor([0.02, 0.5])[:, None, None]
    wav[..., 20_000:] *= 0.01  # a gate leaves this out
    whole = normalizing_gain([wav], 16000, -20)
    for size in (6399, 6400, 17_000):
        found = normalizing_gain(wav.split(size, -1), 16000, -20)
        torch.testing.assert_close(found, whole, rtol=1e-6, atol=0)


def test_a_segment_s_codes_do_not_depend_on_the_pieces() -> None:
    codec: Codec = made("encodec-48khz")
    wav = torch.randn(1, 2, 30_001, generator=torch.Generator().manual_seed(0))
    wanted = codec.encode(wav)
    for size in (77, 2376, 2400, 9999):
        parts = list(codec._analyse(pieces.Tiles(wav, size), 3))
        assert torch.equal(torch.cat([part.codes for part in parts], -1), wanted.codes)


def test_info_says_what_becomes_of_long_signals() -> None:
    assert long_row(made("snac-24khz")) == "in pieces, which give what the whole gives"
    wavtokenizer = small_codec("wavtokenizer-small-600")
    assert isinstance(wavtokenizer.decoder, WavTokenizerDecoder)
    wavtokenizer.decoder.window = 1200
    assert long_row(wavtokenizer) == "decoded in windows of 2.0 s, where they are longer"
    wavtokenizer.decoder.window = None
    assert long_row(wavtokenizer) == "decoded at once, however long"
