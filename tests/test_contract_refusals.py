"""What the contract refuses: ValueError, with the value found and the values accepted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vocable.codecs import Codec, Tokens, audio, load, save

RATE, HOP = 16000, 10  # of the fixture `codec`: 3 codebooks, of 16, 16 and 12
WAV = torch.zeros(1, 1, 95)
CODES = torch.zeros(1, 3, 10, dtype=torch.int64)
NAN = torch.tensor([0.0, float("nan")])


def tokens(**change: Any) -> Tokens:
    fields: dict[str, Any] = {"codes": CODES, "lengths": torch.tensor([95]), "sample_rate": RATE}
    return Tokens(**fields | {"hop_length": HOP, "codebook_sizes": (16, 16, 12)} | change)


def refused(call: Callable[[], Any], found: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){found}.*accepted: "):
        call()


@pytest.mark.parametrize(
    ("wav", "options", "found"),
    [
        pytest.param(NAN, {}, "NaN or infinite samples, 1 of 2", id="NaN"),
        pytest.param(-NAN.double() / 0, {}, "NaN or infinite samples, 2 of 2", id="infinite"),
        pytest.param(torch.full((2,), 3e4), {}, "peaks at 30000", id="cast integers"),
        pytest.param(np.array([1e39]), {}, "1 of 1", id="beyond float32"),
        pytest.param(WAV[None], {}, r"wav is \(1, 1, 1, 95\)", id="four dimensions"),
        pytest.param(WAV.repeat(1, 2, 1), {}, "2 channels", id="stereo of no rate"),
        pytest.param(torch.zeros(16000, 2), {"sample_rate": RATE}, "16000 channels", id="time first"),
        pytest.param(WAV.long(), {}, "torch.int64", id="int64"),
        pytest.param(WAV > 0, {}, "torch.bool", id="bool"),
        pytest.param(np.zeros(9, np.complex64), {}, "torch.complex64", id="complex"),
        pytest.param(np.array(["a"]), {}, "array of <U1", id="strings"),
        pytest.param([0.0], {}, "wav is a list", id="list"),
        pytest.param(None, {}, "wav is a NoneType", id="None"),
        pytest.param(WAV, {"sample_rate": 0}, "sample_rate is 0", id="rate 0"),
        pytest.param(WAV, {"sample_rate": 999}, "sample_rate is 999", id="rate too low"),
        pytest.param(WAV, {"sample_rate": 44.1}, "sample_rate is 44.1", id="rate in kHz"),
        pytest.param(WAV, {"sample_rate": "16000"}, "sample_rate is '16000'", id="rate as text"),
        pytest.param(WAV[..., :0], {}, r"wav is \(1, 1, 0\)", id="empty"),
        pytest.param(WAV[:0], {}, r"wav is \(0, 1, 95\)", id="no items"),
        pytest.param(torch.tensor(0.0), {}, r"wav is \(\)", id="scalar"),
        pytest.param(WAV, {"lengths": [0]}, r"lengths are \[0\]", id="length 0"),
        pytest.param(WAV, {"lengths": [96]}, r"lengths are \[96\]", id="length past the end"),
        pytest.param(WAV, {"lengths": [95, 95]}, r"lengths are \[95, 95\]", id="a length too many"),
        pytest.param(WAV, {"lengths": [9.5]}, r"lengths are \[9.5\]", id="half a sample"),
        pytest.param(WAV, {"num_codebooks": 0}, "num_codebooks is 0", id="no codebooks"),
        pytest.param(WAV, {"num_codebooks": 4}, "num_codebooks is 4", id="too many codebooks"),
    ],
)
def test_encode(codec: Codec, wav: Any, options: dict[str, Any], found: str) -> None:
    refused(lambda: codec.encode(wav, **options), found)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        pytest.param(CODES + 12, r"codes lie in 12\.\.12", id="code past the last book's end"),
        pytest.param(CODES - 1, r"codes lie in -1\.\.-1", id="negative code"),
        pytest.param(CODES.int(), "codes are torch.int32", id="int32"),
        pytest.param(CODES.float(), "codes are torch.float32", id="float"),
        pytest.param(CODES[0], r"codes are torch.int64 \(3, 10\)", id="no batch"),
        pytest.param(CODES[..., :0], r"codes are torch.int64 \(1, 3, 0\)", id="no frames"),
        pytest.param(CODES[:, :0], "num_codebooks is 0", id="no codebooks"),
        pytest.param(CODES.repeat(1, 2, 1), "num_codebooks is 6", id="too many codebooks"),
        pytest.param(CODES.numpy(), "tokens are a ndarray", id="array"),
        pytest.param(tokens(codes=CODES + 12), r"codes lie in 12\.\.12", id="tokens out of range"),
        pytest.param(tokens(sample_rate=8000), r"are \(8000, 10,", id="tokens of another rate"),
        pytest.param(tokens(hop_length=12, lengths=torch.tensor([120])), "16000, 12,", id="another hop"),
        pytest.param(tokens(codebook_sizes=(16, 16, 16)), r"\(16, 16, 16\)", id="another codebook"),
    ],
)
def test_decode(codec: Codec, given: Any, found: str) -> None:
    refused(lambda: codec.decode(given), found)
    refused(lambda: codec.decode(CODES, sample_rate=100), "sample_rate is 100")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"codes": [[[0]]]}, "codes are a list"),
        ({"codes": CODES.numpy()}, "codes are a ndarray"),
        ({"lengths": [95]}, "lengths are a list"),
        ({"lengths": None}, "lengths are a NoneType"),
        ({"source_rate": 8000, "source_lengths": [48]}, "source_lengths are a list"),
        ({"codebook_sizes": [16, 16, 12]}, r"codebook_sizes are \[16, 16, 12\]"),
        ({"codebook_sizes": None}, "codebook_sizes are None"),
        ({"codec": None}, "codec is None"),
    ],
)
def test_tokens(change: dict[str, Any], found: str) -> None:
    refused(lambda: tokens(**change), found)


def test_tokens_of_numpy_rates_are_saved(tmp_path: Path) -> None:
    source = {"source_rate": np.int64(32000), "source_lengths": torch.tensor([190])}
    tokens(sample_rate=np.int64(RATE), **source).save(tmp_path / "a.voc")
    loaded = Tokens.load(tmp_path / "a.voc")
    assert (loaded.sample_rate, loaded.source_rate) == (RATE, 32000)


@pytest.mark.parametrize("books", [0, 4, 1.5, "1", None])
def test_first(books: Any) -> None:
    refused(lambda: tokens().first(books), f"num_codebooks is {books!r}")


def test_damaged_files(codec: Codec, node: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.voc"
    replace(tokens(), codec="x").save(path)
    whole = path.read_bytes()
    for content in (b"", whole[:-1], whole + b"\0", b"RIFF" + whole[4:], whole[:-5] + b"\xff" + whole[-4:]):
        path.write_bytes(content)
        refused(lambda: Tokens.load(path), r"a\.voc: ")
    (tmp_path / "a.wav").write_text("not audio")
    refused(lambda: codec.encode(tmp_path / "a.wav"), r"a\.wav: not an audio file")
    audio.write(tmp_path / "b.wav", WAV[0], 8000)
    refused(lambda: codec.encode(tmp_path / "b.wav", 16000), "16000 for a file of 8000 Hz")
    save(codec, node, tmp_path / "c")
    weights = tmp_path / "c" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    refused(lambda: load(tmp_path / "c"), "is damaged")


def test_load_takes_a_revision_of_a_hub_id_alone(codec: Codec, node: dict[str, Any], tmp_path: Path) -> None:
    save(codec, node, tmp_path)
    refused(lambda: load(tmp_path, revision="v1"), "revision is 'v1'")


def test_the_empty_name_is_not_the_working_directory(
    codec: Codec, node: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(codec, node, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert load(".").num_codebooks == 3
    refused(lambda: load(""), "no codec ''")


@pytest.mark.parametrize(
    ("wav", "length", "found"),
    [(WAV.short(), None, "torch.int16"), (WAV[..., :0], None, r"\(1, 1, 0\)"), (WAV, 0, "length 0")],
)
def test_resample(wav: torch.Tensor, length: int | None, found: str) -> None:
    refused(lambda: audio.resample(wav, 8000, RATE, length), found)


def test_write_takes_arrays(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", np.array([0.5, -0.25]), RATE)
    assert audio.read(tmp_path / "a.wav")[0].tolist() == [[0.5, -0.25]]
    not_audio: Any = "text"
    refused(lambda: audio.write(tmp_path / "a.wav", not_audio, RATE), "wav is a str")
