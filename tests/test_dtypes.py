"""Weights in half precision: what stays float32, and how far codes and audio move."""

import copy

import pytest
import torch
from torch import Tensor

from vocable.benchmarks.small import probe, small_codec
from vocable.codecs import load
from vocable.codecs.backbones.istft import ISTFT, STFT
from vocable.codecs.codec import Codec
from vocable.quantizers.codebook import VQ
from vocable.quantizers.multiscale import factorized_multiscale
from vocable.quantizers.rvq import ema_rvq

HALVES = (torch.bfloat16, torch.float16)
NAMES = ("vocable-16khz", "encodec-24khz", "encodec-48khz", "dac-16khz", "snac-24khz", "mimi")
# of a few runs the worst: 0.87 and 23 dB in bfloat16, 0.99 and 41 dB in float16
LEAST = {torch.bfloat16: (0.8, 20.0), torch.float16: (0.95, 37.0)}


def snr(reference: Tensor, found: Tensor) -> float:
    return float(10 * torch.log10(reference.square().sum() / (reference - found).square().sum()))


@pytest.fixture(scope="module")
def made() -> dict[str, Codec]:
    return {name: small_codec(name) for name in NAMES}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_near_float32(name: str, dtype: torch.dtype, made: dict[str, Codec]) -> None:
    codec, half = made[name], copy.deepcopy(made[name]).to(dtype)
    torch.manual_seed(0)
    wav = probe(codec, 3.0)
    tokens = codec.encode(wav)
    codes, least = LEAST[dtype]
    assert (half.encode(wav).codes == tokens.codes).double().mean() >= codes
    out = half.decode(tokens, any_weights=True)
    assert out.dtype == torch.float32
    assert snr(codec.decode(tokens), out) >= least


@pytest.mark.parametrize("dtype", HALVES)
def test_distances_and_residuals_are_float32(dtype: torch.dtype) -> None:
    """The codes are those of the rounded entries in float32, to the last of many stages."""
    torch.manual_seed(0)
    half = ema_rvq(16, 8, 256).eval().to(dtype)
    rounded = copy.deepcopy(half).float()
    z = torch.randn(2, 16, 300)
    assert torch.equal(half.encode(z), rounded.encode(z))
    codes = rounded.encode(z)
    assert torch.equal(half.decode(codes), rounded.decode(codes))


@pytest.mark.parametrize("dtype", HALVES)
def test_directions_are_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    half = factorized_multiscale(16, codebook_size=512).eval().to(dtype)
    rounded = copy.deepcopy(half).float()
    for mine, theirs in zip(half.layers, rounded.layers, strict=True):
        assert isinstance(mine, VQ)
        assert isinstance(theirs, VQ)
        vectors = torch.randn(2, 8, 500).to(dtype)
        assert torch.equal(mine.match(vectors), theirs.match(vectors.float()))


@pytest.mark.parametrize("dtype", HALVES)
def test_fourier_transforms_are_float32(dtype: torch.dtype) -> None:
    wav = torch.randn(2, 640)
    spec = STFT(64, 16)(wav)
    assert torch.equal(STFT(64, 16).to(dtype)(wav), spec)
    assert torch.equal(ISTFT(64, 16).to(dtype)(spec), ISTFT(64, 16)(spec))


def test_load_takes_a_dtype() -> None:
    codec = load("vocable-16khz", dtype=torch.bfloat16)
    assert {weight.dtype for weight in codec.parameters()} == {torch.bfloat16}
    whole = load("vocable-16khz")
    wav = probe(whole, 0.2)
    tokens = whole.encode(wav)
    # the weights are the same ones, rounded: they have one hash
    assert snr(whole.decode(tokens), codec.decode(tokens)) > 15
    with pytest.raises(ValueError, match=r"dtype is torch\.float64; accepted"):
        load("vocable-16khz", dtype=torch.float64)
