"""What a codec promises, on a small spectral one: exact lengths back, through a token file, in any form."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vocable.codecs import Codec, Tokens, audio
from vocable.codecs.backbones.convnext import ISTFTDecoder, STFTEncoder
from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.rvq import ema_rvq

RATE, HOP, BOOKS = 16000, 320, 3
RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000]
DTYPES = [torch.float32, torch.float64, torch.int16]
drawn = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def small() -> Codec:
    """16 kHz, hop 320, 3 codebooks of 16, random weights."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"latent_dim": 16, "dim": 16, "fine_blocks": 1, "blocks": 1}
    return Codec(STFTEncoder(**shape), ema_rvq(16, BOOKS, 16), ISTFTDecoder(**shape), RATE).eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Noise that 16 bits hold exactly."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(-20000, 20000, shape, generator=random).float() / 2**15


def check_round_trip(
    codec: Codec, wav: Any, rate: int | None, source: int, samples: int, path: Path
) -> Tokens:
    """`wav` of `samples` at `source` Hz to a token file and back: exactly its samples, at either rate."""
    tokens = codec.encode(wav, rate)
    tokens.save(path)
    loaded = Tokens.load(path)
    assert torch.equal(loaded.codes, tokens.codes)
    own = max(1, int(samples * RATE / source + 0.5))
    assert loaded.codes.shape == (1, BOOKS, -(-own // HOP))
    assert loaded.source_rate == (None if source == RATE else source)
    assert codec.decode(loaded, sample_rate=loaded.source_rate).shape == (1, 1, samples)
    back = codec.decode(loaded)
    assert back.shape == (1, 1, own)
    assert bool(back.isfinite().all())
    return tokens


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_lengths_come_back(small: Codec, tmp_path: Path, rate: int, channels: int) -> None:
    frame = HOP * rate // RATE
    for samples in (1, frame - 1, frame, frame + 1, 10 * rate):
        wav = noise(channels, samples)
        check_round_trip(small, wav, rate, rate, samples, tmp_path / "a.voc")


@pytest.mark.parametrize(("rate", "channels", "dtype"), [(8000, 1, torch.int16), (48000, 2, torch.float32)])
def test_five_minutes_come_back(
    small: Codec, tmp_path: Path, rate: int, channels: int, dtype: torch.dtype
) -> None:
    wav = noise(channels, rate).repeat(1, 300)
    given = wav if dtype.is_floating_point else (wav * 2**15).to(dtype)
    check_round_trip(small, given, rate, rate, 300 * rate, tmp_path / "a.voc")


@drawn
@given(samples=st.integers(1, 5000), rate=st.sampled_from(RATES), channels=st.integers(1, 3))
def test_any_length_comes_back(small: Codec, tmp_path: Path, samples: int, rate: int, channels: int) -> None:
    check_round_trip(small, noise(channels, samples), rate, rate, samples, tmp_path / "a.voc")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_every_form_gives_the_same_codes(
    small: Codec, tmp_path: Path, rate: int, channels: int, dtype: torch.dtype
) -> None:
    wav = noise(channels, rate // 2 + 1)
    want = small.encode(wav, rate).codes
    tensor = wav.to(dtype) if dtype.is_floating_point else (wav * 2**15).to(dtype)
    subtype = {torch.float32: "FLOAT", torch.float64: "DOUBLE", torch.int16: "PCM_16"}[dtype]
    audio.write(tmp_path / "a.wav", wav, rate, subtype)
    forms: list[tuple[Any, int | None]] = [(tensor, rate), (tensor[None], rate), (tensor.numpy(), rate)]
    forms += [(tmp_path / "a.wav", None), (str(tmp_path / "a.wav"), rate)]
    for form, told in forms:
        tokens = check_round_trip(small, form, told, rate, wav.shape[-1], tmp_path / "a.voc")
        assert torch.equal(tokens.codes, want)


@drawn
@given(st.lists(st.integers(1, 2000), min_size=1, max_size=5), st.sampled_from([8000, 16000, 44100]))
def test_batch_gives_the_codes_of_each_alone(
    small: Codec, tmp_path: Path, lengths: list[int], rate: int
) -> None:
    wav = noise(len(lengths), 2, max(lengths) + 7)
    tokens = small.encode(wav, rate, lengths)
    tokens.save(tmp_path / "a.voc")
    back = small.decode(Tokens.load(tmp_path / "a.voc"), rate)
    assert back.shape == (len(lengths), 1, max(lengths))
    for i, length in enumerate(lengths):
        alone = small.encode(wav[i, :, :length], rate)
        assert torch.equal(tokens[i].codes, alone.codes)
        torch.testing.assert_close(back[i, :, :length], small.decode(alone, rate)[0], rtol=0, atol=1e-6)
        assert not back[i, :, length:].any()


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, 5 * HOP + 3])
@pytest.mark.parametrize("books", [None, 1, 2])
def test_decode_of_encode_is_forward(small: Codec, samples: int, books: int | None) -> None:
    wav = noise(3, 1, samples)
    tokens = small.encode(wav, num_codebooks=books)
    with torch.no_grad():
        out = small(wav, num_codebooks=books)
    assert torch.equal(out.codes, tokens.codes)
    assert out.wav.shape == wav.shape
    torch.testing.assert_close(small.decode(tokens), out.wav, rtol=0, atol=1e-6)


def test_threads_share_a_codec(small: Codec) -> None:
    signals = [noise(1, 1, 3000 + 999 * i, seed=i) for i in range(8)]

    def both(wav: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = small.encode(wav, 24000)
        return tokens.codes, small.decode(tokens, 24000)

    want = [both(wav) for wav in signals]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(both, signals * 4))
    for (codes, wav), (own_codes, own_wav) in zip(found, want * 4, strict=True):
        assert torch.equal(codes, own_codes)
        torch.testing.assert_close(wav, own_wav, rtol=0, atol=1e-6)


class Frames(torch.nn.Module):
    """Samples to frames and back, as they are: with `PCM`, a codec that loses nothing but the half bit."""

    hop_length = 8

    def __init__(self, decode: bool) -> None:
        super().__init__()
        self.decode = decode
        self.register_buffer("device", torch.zeros(()))

    def forward(self, x: torch.Tensor, state: None = None) -> tuple[torch.Tensor, None]:
        batch, _, length = x.shape
        if self.decode:
            return x.transpose(1, 2).reshape(batch, 1, -1), state
        return x.reshape(batch, length // self.hop_length, -1).transpose(1, 2), state


class PCM(Quantizer):
    """Sixteen bits a sample, a codebook for each sample of a frame."""

    dim = Frames.hop_length
    codebook_sizes = (2**16,) * Frames.hop_length

    def encode(self, z: torch.Tensor, num_codebooks: int | None = None) -> torch.Tensor:
        return (z * 2**15).round().clamp(-(2**15), 2**15 - 1).long() + 2**15

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        return (codes - 2**15).float() / 2**15

    def forward(self, z: torch.Tensor, num_codebooks: int | None = None) -> Quantized:
        codes = self.encode(z)
        return Quantized(self.decode(codes), codes, z.new_zeros(()), {})


def tone(rate: int, samples: int) -> torch.Tensor:
    """440 Hz under a Hann window, at any rate the same signal in time."""
    time = np.arange(samples) / rate
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / (samples - 1))
    return torch.from_numpy(0.5 * shape * np.sin(2 * np.pi * 440 * time)).float()


@pytest.mark.parametrize("rate", RATES)
def test_a_lossless_codec_gives_the_signal_itself(tmp_path: Path, rate: int) -> None:
    """Neither resampling nor padding nor the file shifts, scales or ends the signal early."""
    codec = Codec(Frames(decode=False), PCM(), Frames(decode=True), RATE)
    wav = tone(rate, rate // 2 + 3)
    tokens = codec.encode(torch.stack([wav, wav]), rate)
    tokens.save(tmp_path / "a.voc")
    back = codec.decode(Tokens.load(tmp_path / "a.voc"), rate)[0, 0]
    torch.testing.assert_close(back, wav, rtol=0, atol=1e-4)


def test_a_lossless_codec_gives_every_sixteen_bit_sample(tmp_path: Path) -> None:
    codec = Codec(Frames(decode=False), PCM(), Frames(decode=True), RATE)
    pcm = torch.arange(-(2**15), 2**15 - 5, dtype=torch.int32).to(torch.int16)
    codec.encode(pcm).save(tmp_path / "a.voc")
    back = codec.decode(Tokens.load(tmp_path / "a.voc"))[0, 0]
    assert torch.equal((back * 2**15).to(torch.int16), pcm)


def test_short_chunks_stream_under_autocast(codec: Codec) -> None:
    """A chunk short of a frame gives no codes and no samples; precision is the stream's own affair."""
    wav, stream = noise(1, 1, 63), codec.stream()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        codes = [*map(stream.encode, wav.split(7, dim=-1)), stream.flush()]
        back = [stream.decode(part) for part in codes]
    assert codes[0].shape[-1] == back[0].shape[-1] == 0
    tokens = codec.encode(wav)
    assert torch.equal(torch.cat(codes, dim=-1), tokens.codes)
    torch.testing.assert_close(torch.cat(back, dim=-1)[..., :63], codec.decode(tokens), rtol=0, atol=1e-5)
