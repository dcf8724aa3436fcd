"""EnCodec's .ecdc files against the package that they were published with."""

import io
import json
import struct
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

from vocable.codecs import Tokens, cli, save
from vocable.codecs.audio import info, read, write
from vocable.codecs.formats import ecdc, language_model
from vocable.codecs.formats.arithmetic import Decoder, Encoder, cumulative
from vocable.codecs.formats.ecdc_header import KINDS
from vocable.codecs.formats.language_model import LanguageModel, load_language_model
from vocable.codecs.zoo import encodec

KIND = {kind.sample_rate: kind for kind in KINDS}
BUILD = {24_000: encodec.encodec_24khz, 48_000: encodec.encodec_48khz}
SMALL = {"dim": 16, "num_layers": 2, "num_heads": 2}


def tokens_of(rate: int, length: int, books: int = 4, seed: int = 0) -> Tokens:
    """Random codes, as EnCodec would make of `length` samples."""
    torch.manual_seed(seed)
    kind = KIND[rate]
    frames = kind.frames(length)
    codes = torch.randint(1024, (1, books, sum(frames)))
    scales = torch.rand(1, len(frames)) if kind.segment else None
    counts = torch.tensor([sum(frames)]) if kind.segment else None
    lengths = torch.tensor([length])
    return Tokens(codes, lengths, rate, 320, (1024,) * books, kind.codec, frame_counts=counts, scales=scales)


def alike(a: Tokens, b: Tokens) -> bool:
    same = torch.equal(a.codes, b.codes) and torch.equal(a.frames, b.frames)
    missing = torch.empty(0)
    scales = torch.equal(missing if a.scales is None else a.scales, missing if b.scales is None else b.scales)
    return same and scales and torch.equal(a.lengths, b.lengths) and a.codec == b.codec


@torch.no_grad()
def lively(model: Any, seed: int = 0) -> Any:
    """Distributions far from uniform, so that a code's bits depend on every layer."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.add_(0.3 * torch.randn_like(parameter))
        elif "linears" in name or "heads" in name:
            parameter.mul_(8)
    return model.eval()


def peer_codec(rate: int) -> Any:
    """A small EnCodec of the package, of the real one's rate, codebooks and segments."""
    model = pytest.importorskip("encodec.model")
    from encodec.modules.seanet import SEANetDecoder, SEANetEncoder
    from encodec.quantization.vq import ResidualVectorQuantizer

    torch.manual_seed(1)
    mono = rate == 24_000
    form = {"channels": 1, "norm": "weight_norm"} if mono else {"channels": 2, "norm": "time_group_norm"}
    form |= {"dimension": 8, "n_filters": 4, "causal": mono}
    quantizer = ResidualVectorQuantizer(dimension=8, n_q=KIND[rate].num_codebooks, bins=1024)
    layers: Any = quantizer.vq.layers
    for layer in layers:
        layer._codebook.embed.normal_(std=0.02)
        layer._codebook.inited.fill_(1)
    parts = SEANetEncoder(**form), SEANetDecoder(**form), quantizer
    segment = None if mono else 1.0
    bandwidths = [1.5, 3.0, 6.0, 12.0, 24.0]
    peer = model.EncodecModel(
        *parts, bandwidths, rate, form["channels"], not mono, segment, name=KIND[rate].model
    )
    peer.set_target_bandwidth(3.0)
    return peer.eval()


def peer_lm(rate: int, **sizes: int) -> tuple[Any, LanguageModel]:
    """The package's language model with random weights, and ours with the same."""
    peer_model = pytest.importorskip("encodec.model")
    books, past = KIND[rate].num_codebooks, sizes.pop("past_context")
    peer = lively(peer_model.LMModel(books, 1024, past_context=past, **sizes))
    mine = LanguageModel(books, past, **sizes).eval()
    mine.load_state_dict(language_model.state(peer.state_dict()), strict=True)
    return peer, mine


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize(("rate", "length"), [(24_000, 5_000), (48_000, 47_520 + 3_000)])
@torch.no_grad()
def test_files_are_those_of_the_package(
    rate: int,
    length: int,
    coded: bool,
    tmp_path: Path,
    speech: Callable[[int, float], Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compress = pytest.importorskip("encodec.compress")
    peer = peer_codec(rate)
    # the past is shorter than the signal
    theirs, mine = peer_lm(rate, past_context=7, **SMALL)
    peer.get_lm_model = lambda: theirs
    wav = speech(rate, 3.0)[0, :, 10_000 : 10_000 + length].repeat(peer.channels, 1)
    wav[-1].mul_(0.5)
    data = compress.compress(peer, wav, use_lm=coded)
    (tmp_path / "theirs.ecdc").write_bytes(data)
    tokens = ecdc.read(tmp_path / "theirs.ecdc", mine if coded else None)
    frames = peer.encode(wav[None])
    assert torch.equal(tokens.codes, torch.cat([codes for codes, _ in frames], -1))
    assert len(tokens.codes.unique()) > 15
    assert tokens.lengths.tolist() == [length]
    if rate == 48_000:
        assert tokens.scales is not None
        assert torch.equal(tokens.scales[0], torch.stack([scale for _, scale in frames]).flatten())
    ecdc.write(tmp_path / "mine.ecdc", tokens, mine if coded else None)
    assert (tmp_path / "mine.ecdc").read_bytes() == data
    # and the package decodes ours to the same audio
    monkeypatch.setitem(compress.MODELS, peer.name, lambda: peer)
    wav_hat, found = compress.decompress((tmp_path / "mine.ecdc").read_bytes())
    assert found == rate
    torch.testing.assert_close(wav_hat, peer.decode(frames)[0, :, :length], rtol=0, atol=0)
    # as our codec does from theirs
    codec = BUILD[rate](dim=4, latent_dim=8).eval()
    codec.load_state_dict(encodec.state(peer.state_dict()), strict=True)
    made = codec.decode(tokens)[0]
    torch.testing.assert_close(made, wav_hat, rtol=0, atol=1e-5 * float(wav_hat.abs().max()))


@pytest.mark.parametrize("rate", [24_000, 48_000])
@torch.no_grad()
def test_language_model_is_the_package_s_to_the_last_bit(rate: int) -> None:
    coder = pytest.importorskip("encodec.quantization.ac")
    peer, mine = peer_lm(rate, past_context=6, dim=200)
    books = 5
    before = torch.zeros(1, books, 1, dtype=torch.int64)
    theirs = states = past = None
    offset = 0
    for _ in range(9):
        theirs, states, offset = peer(before, states, offset)
        ours, past = mine(before, past)
        assert torch.equal(ours, theirs)
        ends = cumulative(ours[0, :, :, 0].T)
        for k in range(books):
            expected = coder.build_stable_quantized_cdf(theirs[0, :, k, 0], 24)
            assert np.array_equal(ends[k], expected.numpy())
        before = 1 + torch.randint(1024, (1, books, 1))
    assert theirs is not None
    assert theirs.amax() > 0.02  # twenty times an even share


@torch.no_grad()
def test_language_model_in_steps_is_the_model_at_once() -> None:
    mine = lively(LanguageModel(3, 5, **SMALL)).double()
    before = torch.randint(1025, (2, 3, 12))
    whole, _ = mine(before)
    past, parts = None, []
    for chunk in before.split(1, dim=-1):
        part, past = mine(chunk, past)
        parts.append(part)
    # whole, the frames beyond the past's end are masked; step by step they are gone
    torch.testing.assert_close(torch.cat(parts, -1), whole, rtol=0, atol=1e-12)


def test_arithmetic_coder_is_the_package_s() -> None:
    coder = pytest.importorskip("encodec.quantization.ac")
    torch.manual_seed(0)
    # peaked ones, whose ranges shrink little, and flat ones of one to 2,000 symbols
    pdfs = [
        torch.softmax(torch.randn(size) * spread, 0)
        for size in (1, 2, 1000, 2000)
        for spread in (0.1, 3.0, 50.0)
        for _ in range(20)
    ]
    symbols = [int(torch.multinomial(pdf, 1)) for pdf in pdfs]
    symbols[10:20] = [len(pdf) - 1 for pdf in pdfs[10:20]]
    out, mine = io.BytesIO(), Encoder()
    theirs = coder.ArithmeticCoder(out)
    for pdf, symbol in zip(pdfs, symbols, strict=True):
        ends = coder.build_stable_quantized_cdf(pdf, 24, check=False)
        assert np.array_equal(cumulative(pdf), ends.numpy())
        theirs.push(symbol, ends)
        mine.push(symbol, cumulative(pdf))
    theirs.flush()
    data = mine.finish()
    assert data == out.getvalue()
    decoder = Decoder(b"???" + data, 3)
    assert [decoder.pull(cumulative(pdf)) for pdf in pdfs] == symbols
    assert decoder.position == 3 + len(data)


def test_one_second_at_6_kbit_is_816_bytes(tmp_path: Path) -> None:
    tokens = tokens_of(24_000, 24_000, books=8)
    ecdc.write(tmp_path / "a.ecdc", tokens)
    data = (tmp_path / "a.ecdc").read_bytes()
    assert len(data) == 9 + 57 + 750
    assert alike(ecdc.read(tmp_path / "a.ecdc"), tokens)


@pytest.mark.parametrize(("rate", "length"), [(24_000, 1), (24_000, 6_720), (48_000, 1), (48_000, 47_521)])
@pytest.mark.parametrize("coded", [False, True])
def test_round_trip_at_any_length(rate: int, length: int, coded: bool, tmp_path: Path) -> None:
    lm = lively(LanguageModel(2, 4, **SMALL)) if coded else None
    tokens = tokens_of(rate, length, books=2)
    ecdc.write(tmp_path / "a.ecdc", tokens, lm)
    assert alike(ecdc.read(tmp_path / "a.ecdc", lm), tokens)


def test_another_language_model_is_an_error(tmp_path: Path) -> None:
    one, other = (lively(LanguageModel(4, 4, **SMALL), seed) for seed in (0, 1))
    ecdc.write(tmp_path / "a.ecdc", tokens_of(24_000, 16_000), one)
    with pytest.raises(ValueError, match=r"language model|follow"):
        ecdc.read(tmp_path / "a.ecdc", other)
    with pytest.raises(ValueError, match="4 or more of 1024"):
        ecdc.read(tmp_path / "a.ecdc", LanguageModel(3, 4, **SMALL))


def header(**changes: Any) -> bytes:
    fields = {"m": "encodec_24khz", "al": 640, "nc": 2, "lm": False} | changes
    text = json.dumps(fields).encode()
    return struct.pack("!4sBI", b"ECDC", 0, len(text)) + text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes"),
        (b"RIFF" + header()[4:], "magic"),
        (header()[:4] + b"\x01" + header()[5:], "version"),
        (header()[:5] + b"\xff\xff\xff\xff" + header()[9:], "a header of 4294967295 bytes"),
        (struct.pack("!4sBI", b"ECDC", 0, 3000) + b"[" * 3000, "not JSON"),
        (struct.pack("!4sBI", b"ECDC", 0, 2) + b"[]", "a list"),
        (header(m="encodec_32khz") + bytes(5), "'encodec_32khz'; accepted: encodec_24khz, encodec_48khz"),
        (header(m=["encodec_24khz"]) + bytes(5), "the model is"),
        (header(al=0) + bytes(5), "al is 0"),
        (header(al=10**15) + bytes(5), "al is 10"),
        (header(al=10**15, lm=True) + bytes(5), "al is 10"),
        (header(al=10**8, lm=True, m="encodec_48khz") + bytes(5), "al is 10"),
        (header(al=True) + bytes(5), "al is True"),
        (header(nc=33) + bytes(5), "nc is 33; accepted: 1 to 32"),
        (header(lm=0) + bytes(5), "lm is 0"),
        (header() + bytes(4), "32 bits for 2 frames of codes; accepted: 40"),
        (header() + bytes(6), "1 bytes follow"),
        (header(m="encodec_48khz", al=320) + struct.pack("!f", float("nan")) + bytes(3), "a scale is nan"),
        (header(m="encodec_48khz", al=320) + struct.pack("!f", -1.0) + bytes(3), "a scale is -1"),
        (header(m="encodec_48khz", al=320)[:-1] + b" }"[1:] + bytes(2), "within a scale"),
    ],
)
def test_damaged_files_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.ecdc").write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        ecdc.read(tmp_path / "a.ecdc", LanguageModel(2, 4, **SMALL))
    assert str(tmp_path / "a.ecdc") in str(error.value)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LanguageModel, list[bytes]]:
    """A folder, a language model, and files that are whole: of both rates, packed and coded."""
    folder = tmp_path_factory.mktemp("ecdc")
    lm = lively(LanguageModel(2, 4, **SMALL))
    files = []
    for rate, length, used in ((24_000, 2_000, None), (48_000, 47_900, None), (24_000, 2_000, lm)):
        ecdc.write(folder / "a.ecdc", tokens_of(rate, length, books=2), used)
        files.append((folder / "a.ecdc").read_bytes())
    return folder, lm, files


@settings(max_examples=120, deadline=2000)
@given(data=st.data())
def test_any_damage_is_a_value_error_or_other_codes(data: st.DataObject, sound: Any) -> None:
    folder, lm, files = sound
    content = bytearray(data.draw(st.sampled_from(files)))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(content) - 1) if data.draw(st.booleans()) else st.integers(0, 70))
        content[at] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content)) | st.just(len(content))) :]
    path = folder / "damaged.ecdc"
    path.write_bytes(bytes(content))
    try:
        tokens = ecdc.read(path, lm)
    except ValueError:
        return
    assert 0 <= int(tokens.codes.min()) <= int(tokens.codes.max()) < 1024


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codec": "dac-24khz"}, "'dac-24khz'"),
        ({"hop_length": 319}, "hop 319"),
        ({"codebook_sizes": (1024, 512)}, "entries"),
        ({"scales": torch.ones(1, 1)}, "no scales"),
        ({"codes": torch.full((1, 2, 4), 1024)}, "1024..1024; accepted: 0..1023"),
        (
            {"codes": torch.zeros(2, 2, 4, dtype=torch.int64), "lengths": torch.tensor([1200, 1280])},
            "2 signals",
        ),
    ],
)
def test_only_encodec_s_tokens_are_written(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    fields = vars(tokens_of(24_000, 1_280, books=2)) | change
    if "hop_length" in change:
        fields["lengths"] = torch.tensor([1276])
    with pytest.raises(ValueError, match=message):
        ecdc.write(tmp_path / "a.ecdc", Tokens(**fields))
    assert list(tmp_path.iterdir()) == []


def test_official_language_model_is_loaded_from_its_checkpoint(tmp_path: Path) -> None:
    mine = LanguageModel()
    names = {"embeddings": "emb", "heads": "linears", "norm": "transformer.norm_in"}
    official = {}
    for key, tensor in mine.state_dict().items():
        first, _, rest = key.partition(".")
        rest = rest.replace("attention", "self_attn").replace("up.", "linear1.").replace("down.", "linear2.")
        official[f"{names.get(first, f'transformer.{first}')}.{rest}"] = tensor
    torch.save(official, tmp_path / "lm.th")
    loaded = load_language_model("encodec-24khz", tmp_path / "lm.th")
    assert not loaded.training
    assert all(
        torch.equal(a, b)
        for a, b in zip(loaded.state_dict().values(), mine.state_dict().values(), strict=True)
    )
    with pytest.raises(ValueError, match="not the language model of 'encodec-48khz'"):
        load_language_model("encodec-48khz", tmp_path / "lm.th")
    torch.save(official | {"extra": torch.ones(1)}, tmp_path / "lm.th")
    with pytest.raises(ValueError, match="extra"):
        load_language_model("encodec-24khz", tmp_path / "lm.th")
    with pytest.raises(ValueError, match="accepted: encodec-24khz, encodec-48khz"):
        load_language_model("encodec-32khz")


def vocable(*args: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(arg) for arg in args])


def test_commands_write_read_and_describe_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[str, Any] = {"dim": 4, "latent_dim": 8, "num_codebooks": 3}
    torch.manual_seed(0)
    codec = encodec.encodec_24khz(**sizes).eval()
    folder = tmp_path / "tiny"
    save(codec, {"_target_": "vocable.codecs.zoo.encodec.encodec_24khz", **sizes}, folder)
    lm = lively(LanguageModel(3, 4, **SMALL))
    asked = []
    for module in (language_model, ecdc):
        monkeypatch.setattr(module, "load_language_model", lambda name: asked.append(name) or lm)
    write(tmp_path / "a.wav", torch.randn(4_000) * 0.1, 24_000)
    made = []
    for extra in ((), ("--lm",)):
        target, wav = tmp_path / f"a{len(extra)}.ecdc", tmp_path / f"a{len(extra)}.wav"
        result = vocable(
            "encode", tmp_path / "a.wav", "-o", target, "--codec", folder, "--codebooks", "2", *extra
        )
        assert result.exit_code == 0, result.output
        result = vocable("decode", target, "-o", wav, "--codec", folder)
        assert result.exit_code == 0, result.output
        assert info(wav) == (24_000, 1, 4_000)
        made.append(read(wav)[0])
        said = vocable("info", target).stdout
        assert "encodec-24khz" in said
        assert "1 x 2 x 13 (signals x codebooks x frames)" in said
        assert ("language model" if extra else "packed") in said
    assert torch.equal(*made)
    assert set(asked) == {"encodec-24khz"}
    assert vocable("encode", tmp_path / "a.wav", "-o", tmp_path / "a.voc", "--lm").exit_code == 2
    (tmp_path / "bad.ecdc").write_bytes(b"ECDC")
    assert vocable("info", tmp_path / "bad.ecdc").exit_code == 1
    assert vocable("decode", tmp_path / "bad.ecdc", "-o", tmp_path / "b.wav").exit_code == 1
