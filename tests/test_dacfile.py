"""Descript's .dac files, and what their package does around DAC, against it; and files made to do harm."""

import io
import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from typer.testing import CliRunner, Result

from vocable.codecs import Codec, cli, save
from vocable.codecs.audio import info, write
from vocable.codecs.formats import dacfile, descript
from vocable.codecs.formats.dacfile import DacFile
from vocable.codecs.loudness import loudness
from vocable.codecs.zoo import dac as zoo

RATE = 16_000
SIZES = {"encoder_dim": 4, "latent_dim": 16, "decoder_dim": 32, "sample_rate": RATE}
BOOKS = {"codebook_size": 64, "codebook_dim": 4}


def file_of(codes: Tensor, **changes: Any) -> DacFile:
    fields = {"chunk_length": codes.shape[2], "original_length": 900, "sample_rate": RATE, "input_db": -20.5}
    return DacFile(codes, **(fields | changes))


@pytest.fixture
def some() -> DacFile:
    torch.manual_seed(0)
    return file_of(torch.randint(1024, (2, 3, 50)), chunk_length=20, padding=False)


def build(*strides: int) -> tuple[Any, Codec]:
    """The package's DAC, small, and ours with its weights."""
    dac = pytest.importorskip("dac")
    torch.manual_seed(0)
    rates = {"encoder_rates": list(strides), "decoder_rates": list(strides[::-1])}
    peer = dac.DAC(n_codebooks=3, **rates, **SIZES, **BOOKS).eval()
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            if name.endswith("weight_g"):  # else the latents are too small to be told apart
                parameter.mul_(1.2 if name.startswith("decoder") else 1.8)
            elif name.endswith("alpha"):
                parameter.uniform_(0.5, 2)
    codec = zoo.dac(strides=strides, num_codebooks=3, **SIZES, **BOOKS).eval()
    codec.load_state_dict(zoo.state({"state_dict": peer.state_dict()}), strict=True)
    return peer, codec


@pytest.fixture(scope="module")
def pair() -> tuple[Any, Codec]:
    return build(2, 4)


def signals(speech: Callable[[int, float], Tensor], channels: int, seconds: float) -> Tensor:
    """Speech (C, T), and another and softer speech in the second channel."""
    wav = speech(RATE, 2 * seconds + 0.5)[0, 0]
    length = round(seconds * RATE) + 3  # no hop divides it
    return torch.stack([wav[:length], 0.3 * wav[-length:]])[:channels]


def their_loudness(wav: Tensor, sample_rate: int) -> float:
    from audiotools import AudioSignal

    return float(AudioSignal(wav[None].clone(), sample_rate).loudness())


CASES = [(1, 0.3, None), (2, 0.9, None), (1, 0.9, 0.25), (2, 1.1, 0.4)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("channels", "seconds", "chunk"), CASES)
@torch.no_grad()
def test_compress_and_decompress_are_the_package_s(
    channels: int,
    seconds: float,
    chunk: float | None,
    pair: Any,
    tmp_path: Path,
    speech: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    audiotools = pytest.importorskip("audiotools")
    base = pytest.importorskip("dac.model.base")
    peer, codec = pair
    wav = signals(speech, channels, seconds)
    theirs = peer.compress(audiotools.AudioSignal(wav[None].clone(), RATE), win_duration=chunk)
    rough = descript.compress(codec, wav, RATE, chunk_seconds=chunk)
    assert rough.input_db == pytest.approx(float(theirs.input_db), abs=1e-3)
    assert (rough.codes == theirs.codes).float().mean() > 0.99
    # their meter filters in float32, and its rounding moves the gain by some 1e-5, which may tip a code
    monkeypatch.setattr(descript, "loudness", their_loudness)
    mine = descript.compress(codec, wav, RATE, chunk_seconds=chunk)
    assert torch.equal(mine.codes, theirs.codes)
    assert len(mine.codes.unique()) > 30
    assert (mine.chunk_length, mine.padding) == (theirs.chunk_length, theirs.padding)
    assert (mine.padding, mine.channels) == (chunk is None, channels)
    # their file read here
    read = dacfile.read(theirs.save(tmp_path / "theirs.dac"))
    assert torch.equal(read.codes, theirs.codes)
    assert {**vars(read), "codes": 0} == {**vars(mine), "codes": 0}
    expected = peer.decompress(tmp_path / "theirs.dac").audio_data[0]
    made = descript.decompress(codec, read)
    assert made.shape == wav.shape
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert loudness(made[-1:], RATE) == pytest.approx(read.input_db, abs=0.2)
    # and ours read there
    dacfile.write(tmp_path / "mine.dac", read)
    again = base.DACFile.load(tmp_path / "mine.dac")
    assert torch.equal(again.codes, theirs.codes)
    assert torch.equal(peer.decompress(again).audio_data[0], expected)


@torch.no_grad()
def test_fewer_codebooks_another_rate_and_loud_signals(
    pair: Any, speech: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    audiotools = pytest.importorskip("audiotools")
    peer, codec = pair
    wav = signals(speech, 2, 0.6)
    wav[0, 100:104] = 20.0  # after normalising it still exceeds 1: the channel is scaled down
    signal = audiotools.AudioSignal(wav[None].clone(), RATE)
    theirs = peer.compress(signal, win_duration=0.3, n_quantizers=2)
    monkeypatch.setattr(descript, "loudness", their_loudness)
    mine = descript.compress(codec, wav, RATE, num_codebooks=2, chunk_seconds=0.3)
    assert mine.codes.shape[1] == 2
    assert torch.equal(mine.codes, theirs.codes)
    low = descript.compress(codec, speech(8_000, 0.51)[0], 8_000)
    assert (low.original_length, low.sample_rate) == (4_080, 8_000)
    made = descript.decompress(codec, low)
    assert made.shape == (1, 4_080)


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_odd_strides_in_chunks(speech: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    audiotools = pytest.importorskip("audiotools")
    peer, codec = build(2, 5)
    monkeypatch.setattr(descript, "loudness", their_loudness)
    wav = signals(speech, 1, 0.9)
    file = peer.compress(audiotools.AudioSignal(wav[None].clone(), RATE), win_duration=0.2)
    assert torch.equal(descript.compress(codec, wav, RATE, chunk_seconds=0.2).codes, file.codes)
    made = descript.decompress(codec, dacfile.read(file.save(tmp_path / "a.dac")))
    expected = peer.decompress(file).audio_data[0]
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    # whole, the package's decoder falls short of the input and it fails; ours does not
    whole = descript.compress(codec, wav, RATE)
    assert descript.decompress(codec, whole).shape == wav.shape


@torch.no_grad()
def test_unpadded_chunks_are_the_whole_away_from_seams(pair: Any) -> None:
    peer, codec = pair
    assert descript.delay(codec) == peer.delay
    assert descript.output_length(codec, 1200) == peer.get_output_length(1200)
    big = zoo.dac(strides=(2, 4, 5, 8), num_codebooks=1, **SIZES, **BOOKS)
    assert descript.delay(big) == 5264
    z = torch.randn(1, 16, 60)
    whole, _ = codec.decoder(z)
    chunk = descript.unpadded(codec.decoder.layers, z)
    halo = (whole.shape[-1] - chunk.shape[-1]) // 2
    inside = slice(60, -60)
    expected = whole[..., halo : whole.shape[-1] - halo][..., inside]
    torch.testing.assert_close(chunk[..., inside], expected, rtol=0, atol=1e-6)


def test_only_a_dac_opens_them(codec: Codec, pair: Any, some: DacFile) -> None:
    conv: Any = torch.nn.Identity()
    conv.hop_length = codec.hop_length
    with pytest.raises(ValueError, match="Identity and DACDecoder of 1 channels; accepted: a DAC"):
        descript.decompress(Codec(conv, codec.quantizer, codec.decoder, RATE), some)
    _, small = pair
    with pytest.raises(ValueError, match=r"0\.\.V-1|codes"):
        descript.decompress(small, some)
    short = file_of(torch.zeros(1, 2, 10, dtype=torch.int64), original_length=89)
    with pytest.raises(ValueError, match="original_length is 89 for codes of 80 samples"):
        descript.decompress(small, short)
    with pytest.raises(ValueError, match="chunks are 24 samples"):
        descript.compress(small, torch.randn(1, 900).clamp(-1, 1), RATE, chunk_seconds=0.0015)


def test_written_files_are_read(some: DacFile, tmp_path: Path) -> None:
    dacfile.write(tmp_path / "a.dac", some)
    read = dacfile.read(tmp_path / "a.dac")
    assert torch.equal(read.codes, some.codes)
    assert {**vars(read), "codes": 0} == {**vars(some), "codes": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["a.dac"]


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_older_pickles_and_orders_are_read(protocol: int, some: DacFile, tmp_path: Path) -> None:
    dacfile.write(tmp_path / "a.dac", some)
    content = np.load(tmp_path / "a.dac", allow_pickle=True)[()]
    content["codes"] = np.asfortranarray(content["codes"].astype(">u4" if protocol < 5 else "<u2"))
    content["metadata"]["original_length"] = np.int64(900)
    data = array_file(content, protocol if protocol < 5 else 4)
    (tmp_path / "b.dac").write_bytes(data.replace(b"numpy._core", b"numpy.core") if protocol == 3 else data)
    read = dacfile.read(tmp_path / "b.dac")
    assert torch.equal(read.codes, some.codes)
    assert read.original_length == 900


def array_file(content: Any, protocol: int = 4) -> bytes:
    """An .npy file of one object."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|O", "fortran_order": False, "shape": ()})
    array = np.array(None, dtype=object)
    array[()] = content
    pickle.dump(array, out, protocol)
    return out.getvalue()


class Run:
    """Pickles as a call, here of whatever would show that it ran."""

    def __init__(self, function: Callable[..., Any], *args: Any):
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


def sound(**changes: Any) -> dict[str, Any]:
    codes = changes.pop("codes", np.zeros((1, 2, 3), np.uint16))
    metadata = {"input_db": np.array([-20.0], np.float32), "original_length": 9, "sample_rate": 16000}
    metadata |= {"chunk_length": 3, "channels": 1, "padding": True, "dac_version": "1.0.0"}
    return {"codes": codes, "metadata": metadata | changes}


def nested() -> list[Any]:
    """Little to store, and 2 ** 60 items to print."""
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    return value


def objects(value: Any) -> np.ndarray:
    array = np.empty((1, 2, 3), dtype=object)
    array[:] = value
    return array


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Run(os.system, "touch ran"), "names 'posix system'"),
        (sound(chunk_length=Run(os.system, "touch ran")), "names 'posix system'"),
        (sound(codes=objects(Run(eval, "open('ran', 'w')"))), "names 'builtins eval'"),
        (sound(codes=Run(np.load, "ran")), "names 'numpy load'"),
        (sound(codes=Run(np.zeros, 10**15)), "names 'numpy zeros'"),
        (sound(codes=objects(1)), "an array of another type"),
        (sound(codes=np.zeros((1, 2, 3), [("a", "u2")])), "not an array|another type"),
        (sound(codes=np.zeros((1, 2, 3), np.float32)), "accepted: an array of integers"),
        (sound(codes=np.zeros((1, 2), np.uint16)), r"\(1, 2\); accepted: torch.int64"),
        (sound(codes=np.zeros((1, 0, 3), np.uint16)), r"\(1, 0, 3\)"),
        (sound(codes=np.full((1, 2, 3), -1)), r"-1\.\.-1; accepted: 0\.\.65535"),
        (sound(codes=[1]), "codes are a list"),
        (sound(chunk_length=0), "chunk_length is 0; accepted: 1 to 3"),
        (sound(chunk_length=True), "chunk_length is True"),
        (sound(chunk_length=nested()), "chunk_length is a list"),
        (sound(original_length=10**30), "original_length is a int"),
        (sound(sample_rate=10), "sample_rate is 10"),
        (sound(channels=2), "channels is 2"),
        (sound(input_db=np.array([math.nan], np.float32)), "input_db is nan"),
        (sound(input_db=np.zeros(2, np.float32)), "input_db is a ndarray"),
        (sound(input_db=-20.0), "input_db is a float"),
        (sound(padding=1), "padding is 1"),
        (sound(dac_version="2.0.0"), "dac_version is '2.0.0'; accepted: '1.0.0'"),
        ({"codes": np.zeros(3)}, "no 'metadata' in a dict"),
        ([1, 2], "no 'metadata' in a list"),
        ({(1, 2): 3}, "a tuple; accepted: a str"),
        ({1.5 + 2j: 3}, "names 'builtins complex'"),
        ({"codes": {1, 2}}, "the instruction EMPTY_SET"),
    ],
)
def test_harmful_and_false_files_are_refused(
    content: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.dac").write_bytes(array_file(content))
    with pytest.raises(ValueError, match=message) as error:
        dacfile.read("a.dac")
    assert str(error.value).startswith("a.dac: ")
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"x.", "bytes8"),
        (b"\x80\x04Nr\xff\xff\xff\xff.", "no 'metadata' in a NoneType"),  # a memo of 2 ** 32 places
        (b"\x80\x04cos\nsystem\n\x8c\x02ls\x85R.", "names 'os system'"),
        (b"\x80\x04ios\nsystem\n.", "instruction INST"),
        (b"\x80\x04cnumpy\ndtype\n\x8c\x01O\x85R.", "numpy.dtype; accepted: arrays and numbers"),
        (b"\x80\x04.", "unpack"),
        (b"\x80\x04t.", "pop"),
        (b"\x80\x04", "exhausted"),
        (b"", "exhausted"),
        (b"\x80\x04(((((N.", "no 'metadata' in a NoneType"),
    ],
)
def test_pickles_that_numpy_never_writes(pickled: bytes, message: str, tmp_path: Path) -> None:
    start = array_file(None)[:128]
    (tmp_path / "a.dac").write_bytes(start + pickled)
    with pytest.raises(ValueError, match=message):
        dacfile.read(tmp_path / "a.dac")


@pytest.mark.parametrize("data", [b"", b"RIFF", b"\x93NUMPY\x01\x00\xff\xff{", b"\x93NUMPY\x09\x00"])
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.dac").write_bytes(data)
    with pytest.raises(ValueError, match=r"not an \.npy file"):
        dacfile.read(tmp_path / "a.dac")
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"an .npy file of float64 \(3,\)"):
        dacfile.read(tmp_path / "b.npy")


@settings(max_examples=200, deadline=1000)
@given(data=st.data())
def test_any_damage_is_a_value_error_or_other_codes(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(array_file(sound()))
    for _ in range(data.draw(st.integers(0, 6))):
        # the pickle's instructions, half of the time one of those that are known
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(
            st.integers(0, 255) | st.sampled_from(b"(.]}KJMC\x8c\x94tuabRhjqrsNc\x93\x8e")
        )
    del content[data.draw(st.integers(0, len(content)) | st.just(len(content))) :]
    path = tmp_path_factory.getbasetemp() / "damaged.dac"
    path.write_bytes(bytes(content))
    try:
        file = dacfile.read(path)
    except ValueError:
        return
    assert file.codes.numel() <= len(content)


def vocable(*args: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def test_commands_write_read_and_describe_them(tmp_path: Path) -> None:
    sizes = {"strides": [2, 4], "num_codebooks": 3, **SIZES, **BOOKS}
    save(zoo.dac(**sizes), {"_target_": "vocable.codecs.zoo.dac.dac", **sizes}, tmp_path / "tiny")
    write(tmp_path / "a.wav", torch.randn(2, 8_000) * 0.1, 8_000)
    target = tmp_path / "a.dac"
    result = vocable("encode", tmp_path / "a.wav", "-o", target, "--codec", tmp_path / "tiny")
    assert result.exit_code == 0, result.output
    for rate, found in (("source", 8_000), ("codec", RATE)):
        wav = tmp_path / f"{rate}.wav"
        result = vocable("decode", target, "-o", wav, "--codec", tmp_path / "tiny", "--rate", rate)
        assert result.exit_code == 0, result.output
        assert info(wav) == (found, 2, found)
    said = vocable("info", target).stdout
    assert "2 x 3 x 2000 (channels x codebooks x frames)" in said
    assert "LUFS" in said
    result = vocable("decode", target, "-o", tmp_path / "b.wav")
    assert result.exit_code == 1
    assert "names no codec; tell it by --codec" in result.output
    result = vocable("encode", tmp_path / "a.wav", "-o", tmp_path / "b.dac")
    assert result.exit_code == 1
    assert "accepted: a DAC" in result.output
