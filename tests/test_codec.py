"""Codec: lengths, batches, rates, channels, refusals."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vocable.codecs import Codec, Tokens, audio
from vocable.codecs.build import build

HOP = 10
shared = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.8


def test_numbers(codec: Codec) -> None:
    assert (codec.num_codebooks, codec.codebook_sizes, codec.hop_length) == (3, (16, 16, 12), 10)
    assert codec.frame_rate == 1600.0
    assert (codec.token_rate(), codec.token_rate(2)) == (4800.0, 3200.0)
    assert codec.bit_rate(2) == 12800.0
    assert codec.bit_rate() == pytest.approx(1600 * (8 + np.log2(12)))


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 1603])
def test_any_length_comes_back(codec: Codec, samples: int) -> None:
    wav = noise(1, 1, samples)
    tokens = codec.encode(wav)
    assert tokens.codes.shape == (1, 3, -(-samples // HOP))
    assert codec.decode(tokens).shape == (1, 1, samples)


@pytest.mark.parametrize("samples", [1, HOP, 95])
def test_an_encoder_may_pad_further_than_to_whole_frames(
    codec: Codec, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pad(wav: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(wav, (0, 2 * HOP - wav.shape[-1] % HOP))

    monkeypatch.setattr(codec.encoder, "pad", pad, raising=False)
    wav = noise(1, 1, samples)
    tokens = codec.encode(wav)
    frames = 2 + samples // HOP
    assert (tokens.codes.shape[2], tokens.frames.tolist()) == (frames, [frames])
    assert torch.equal(tokens.codes, codec.quantizer.encode(codec.encoder(pad(wav))[0]))
    assert codec.decode(tokens).shape == codec(wav).wav.shape == wav.shape
    both = codec.encode(noise(2, 1, 95), lengths=[95, 20])
    assert both.frames.tolist() == [11, 4]
    assert codec.decode(both).shape == (2, 1, 95)


def test_decode_of_encode_is_forward(codec: Codec) -> None:
    wav = noise(2, 1, 203)
    out = codec(wav)
    assert torch.equal(out.codes, codec.encode(wav).codes)
    torch.testing.assert_close(codec.decode(codec.encode(wav)), out.wav, rtol=0, atol=1e-6)
    fewer = codec(wav, num_codebooks=1).wav
    torch.testing.assert_close(codec.decode(codec.encode(wav, num_codebooks=1)), fewer, rtol=0, atol=1e-6)


def test_forward_carries_gradient_to_both_ends(codec: Codec) -> None:
    out = codec.train()(noise(2, 1, 203))
    (out.wav.square().mean() + out.loss).backward()
    for part in (codec.encoder, codec.decoder):
        assert sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None) > 0


@shared
@given(st.lists(st.integers(1, 200), min_size=1, max_size=5), st.sampled_from([8000, 16000, 44100]))
def test_batch_gives_what_each_item_gives_alone(codec: Codec, lengths: list[int], rate: int) -> None:
    wav = noise(len(lengths), 1, 230, seed=sum(lengths))  # past its length an item holds noise, not zeros
    tokens = codec.encode(wav, sample_rate=rate, lengths=torch.tensor(lengths))
    back = codec.decode(tokens, sample_rate=rate)
    assert back.shape == (len(lengths), 1, max(lengths))
    for i, length in enumerate(lengths):
        alone = codec.encode(wav[i, :, :length], sample_rate=rate)
        assert torch.equal(alone.codes, tokens[i].codes)
        assert not tokens.codes[i, :, alone.codes.shape[2] :].any()
        torch.testing.assert_close(codec.decode(alone, rate)[0], back[i, :, :length], rtol=0, atol=1e-5)
        assert not back[i, :, length:].any()


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rates_and_channels(codec: Codec, rate: int, channels: int) -> None:
    wav = noise(channels, 3001)
    tokens = codec.encode(wav, sample_rate=rate)
    mono = audio.resample(wav.mean(0, keepdim=True), rate, 16000)
    assert torch.equal(tokens.codes, codec.encode(mono).codes)
    assert tokens.lengths.tolist() == [int(3001 * 16000 / rate + 0.5)]
    assert codec.decode(tokens, sample_rate=rate).shape == (1, 1, 3001)
    assert codec.decode(tokens).shape == (1, 1, mono.shape[-1])


def test_one_signal_in_every_form(codec: Codec, tmp_path: Path) -> None:
    pcm = (noise(400) * 32768).to(torch.int16)
    wav = pcm.float() / 32768
    audio.write(tmp_path / "a.wav", wav, 8000)
    want = codec.encode(wav, sample_rate=8000).codes
    forms: list[Any] = [pcm, pcm.numpy(), wav[None], wav[None, None], wav.double(), wav.numpy().astype(">f4")]
    for form in forms:
        assert torch.equal(codec.encode(form, sample_rate=8000).codes, want)
    for path in (tmp_path / "a.wav", str(tmp_path / "a.wav")):
        tokens = codec.encode(path)
        assert torch.equal(tokens.codes, want)
        assert tokens.source_rate == 8000
    with pytest.raises(ValueError, match="16000 for a file of 8000 Hz; accepted: None, 8000"):
        codec.encode(tmp_path / "a.wav", sample_rate=16000)


def test_decode_takes_bare_codes_and_fewer_codebooks(codec: Codec) -> None:
    tokens = codec.encode(noise(1, 1, 95))
    assert codec.decode(tokens.codes).shape == (1, 1, 100)
    torch.testing.assert_close(codec.decode(tokens.codes)[..., :95], codec.decode(tokens))
    fewer = codec.encode(noise(1, 1, 95), num_codebooks=2)
    assert torch.equal(fewer.codes, tokens.first(2).codes)
    torch.testing.assert_close(codec.decode(fewer), codec.decode(tokens.first(2)))


def test_encode_is_outside_gradient_and_autocast(codec: Codec) -> None:
    wav = noise(1, 1, 100).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = codec.encode(wav)
        back = codec.decode(tokens)
    assert torch.equal(tokens.codes, codec.encode(wav).codes)
    assert not back.requires_grad
    assert back.dtype == torch.float32


@pytest.mark.parametrize(
    ("wav", "options", "message"),
    [
        (torch.tensor([0.0, float("nan")]), {}, "NaN or infinite samples, 1 of 2"),
        (torch.tensor([float("inf")]), {}, "NaN or infinite"),
        (torch.zeros(1, 1, 0), {}, "one sample or more"),
        (torch.tensor(0.5), {}, "one sample or more"),
        (torch.zeros(1, 1, 1, 9), {}, r"\(B, C, T\)"),
        (torch.zeros(9, dtype=torch.int64), {}, "torch.int64"),
        (torch.zeros(9, dtype=torch.complex64), {}, "torch.complex64"),
        (np.zeros(9, dtype=np.uint64), {}, "uint64"),
        (np.array(["a"]), {}, "array of <U1"),
        ([0.0, 0.1], {}, "wav is a list"),
        (torch.zeros(2, 9), {}, "wav has 2 channels; accepted: 1, or others with sample_rate"),
        (torch.zeros(900, 2), {"sample_rate": 16000}, "wav has 900 channels"),
        (torch.zeros(9), {"sample_rate": 0}, "sample_rate is 0"),
        (torch.zeros(9), {"sample_rate": -8000}, "sample_rate is -8000"),
        (torch.zeros(9), {"sample_rate": 16000.0}, "sample_rate is 16000.0"),
        (torch.zeros(9), {"sample_rate": True}, "sample_rate is True"),
        (torch.zeros(9), {"sample_rate": "16k"}, "sample_rate is '16k'"),
        (torch.zeros(9), {"sample_rate": 10**9}, "accepted: an integer, 1000 to 768000 Hz"),
        (torch.zeros(9), {"lengths": [0]}, r"lengths are \[0\]; accepted: 1 integers, 1 to 9"),
        (torch.zeros(9), {"lengths": [10]}, "1 to 9"),
        (torch.zeros(9), {"lengths": torch.tensor([1.0])}, "integers"),
        (torch.zeros(9), {"lengths": [1, 2]}, "1 integers"),
        (torch.zeros(9), {"num_codebooks": 0}, "num_codebooks is 0; accepted: 1 to 3"),
        (torch.zeros(9), {"num_codebooks": 4}, "num_codebooks is 4; accepted: 1 to 3"),
    ],
)
def test_encode_refuses(codec: Codec, wav: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codec.encode(wav, **options)


def test_decode_refuses(codec: Codec) -> None:
    codes = torch.zeros(1, 3, 2, dtype=torch.int64)
    lengths = torch.tensor([20])
    others = [(8000, 10, (16, 16, 12)), (16000, 20, (16, 16, 12)), (16000, 10, (16, 16, 16))]
    for rate, hop, sizes in others:
        with pytest.raises(ValueError, match="accepted: this codec's"):
            codec.decode(Tokens(codes, lengths * hop // 10, rate, hop, sizes))
    bad: list[Any] = [
        codes + 12,
        codes - 1,
        codes.int(),
        codes[0],
        codes[..., :0],
        codes.repeat(1, 2, 1),
        "a",
    ]
    for tokens in bad:
        with pytest.raises(ValueError, match="accepted"):
            codec.decode(tokens)
    with pytest.raises(ValueError, match="sample_rate is 0"):
        codec.decode(codes, sample_rate=0)


def test_parts_must_agree(node: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="hop_length is 10 in the encoder, 20 in the decoder"):
        build(node | {"decoder": node["decoder"] | {"strides": [5, 4]}})
    with pytest.raises(ValueError, match="sample_rate is 0"):
        build(node | {"sample_rate": 0})


def test_import_is_light() -> None:
    """`from vocable import codecs` needs the core's dependencies alone, and little time beyond torch's."""
    code = """
import sys, time, torch
start = time.perf_counter()
from vocable import codecs
print(time.perf_counter() - start)
print([name for name in sys.argv[1:] if name in sys.modules])
"""
    heavy = ["lightning", "hydra", "torchaudio", "transformers", "vector_quantize_pytorch", "matplotlib"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    seconds, found = done.stdout.splitlines()
    assert float(seconds) < 0.3
    assert found == "[]"
