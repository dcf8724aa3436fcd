"""Loudness by ITU-R BS.1770-4 (https://www.itu.int/rec/R-REC-BS.1770-4-201510-I)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

SILENCE = -70.0  # LUFS, the least that is measured
_BLOCK, _STEP = 0.4, 0.25  # seconds; the step in blocks
_WEIGHTS = (1.0, 1.0, 1.0, 1.41, 1.41)  # left, right, centre, the two surrounds
_OFFSET = -0.691

Biquad = tuple[tuple[float, float, float], tuple[float, float, float]]


def loudness(wav: Tensor, sample_rate: int) -> float:
    """Integrated loudness of wav (C, T), C up to 5, in LUFS, -70 and up.

    Blocks that the signal's end cuts count, filled up with zeros, and what is shorter than half a second is
    measured as half a second: as Descript's audiotools measure.
    """
    if len(wav) > len(_WEIGHTS):
        raise ValueError(f"wav has {len(wav)} channels; accepted: 1 to {len(_WEIGHTS)}")
    short = 0.5 - wav.shape[-1] / sample_rate
    filled = F.pad(wav.double(), (0, max(0, int(short * sample_rate))))
    size, step = int(_BLOCK * sample_rate), int(_BLOCK * sample_rate * _STEP)
    weighted = F.pad(k_weighting(filled, sample_rate), (0, -(filled.shape[-1] - size) % step))
    energies = weighted.square().unfold(-1, size, step).sum(-1) / (_BLOCK * sample_rate)
    power = energies.new_tensor(_WEIGHTS[: len(wav)]) @ energies  # of each block
    heard = power[_level(power) > SILENCE]
    gated = heard[_level(heard) > _level(heard.mean()) - 10] if heard.numel() else heard
    return max(SILENCE, _level(gated.mean()).item()) if gated.numel() else SILENCE


def k_weighting(wav: Tensor, sample_rate: int) -> Tensor:
    """wav (..., T) float64 as the ear weighs it: a shelf of 4 dB above 1.5 kHz, and nothing below 38 Hz."""
    return filtered(wav, k_filters(sample_rate), sample_rate)


def filtered(wav: Tensor, biquads: tuple[Biquad, ...], tail: int) -> Tensor:
    """wav (..., T) float64 through recursive filters whose responses fade within `tail` samples.

    In the frequency domain, with that many zeros behind the signal, they are products.
    """
    length = wav.shape[-1]
    size = -(-(length + tail) // 2**14) * 2**14  # a length that the transform likes
    delay = torch.exp(
        -2j * math.pi * torch.arange(size // 2 + 1, dtype=torch.float64, device=wav.device) / size
    )
    response = torch.ones_like(delay)
    for above, below in biquads:
        response = response * _polynomial(above, delay) / _polynomial(below, delay)
    return torch.fft.irfft(torch.fft.rfft(wav, size) * response, size)[..., :length]


def k_filters(sample_rate: int) -> tuple[Biquad, Biquad]:
    """The two filters of `k_weighting`, in their order; each is its numerator and denominator."""
    return _shelf(1500, sample_rate), _high_pass(38, sample_rate)


def _level(power: Tensor) -> Tensor:
    return _OFFSET + 10 * power.log10()


def _polynomial(coefficients: tuple[float, float, float], x: Tensor) -> Tensor:
    return coefficients[0] + coefficients[1] * x + coefficients[2] * x**2


def _shelf(frequency: float, sample_rate: int) -> Biquad:
    """Numerator and denominator of a high shelf of 4 dB (https://www.w3.org/TR/audio-eq-cookbook)."""
    angle = 2 * math.pi * frequency / sample_rate
    cosine, alpha = math.cos(angle), math.sin(angle) / math.sqrt(2)
    a = 10 ** (4 / 40)
    root = 2 * math.sqrt(a) * alpha
    above = (
        a + 1 + (a - 1) * cosine + root,
        -2 * (a - 1 + (a + 1) * cosine),
        a + 1 + (a - 1) * cosine - root,
    )
    below = (a + 1 - (a - 1) * cosine + root, 2 * (a - 1 - (a + 1) * cosine), a + 1 - (a - 1) * cosine - root)
    return (a * above[0], a * above[1], a * above[2]), below


def _high_pass(frequency: float, sample_rate: int) -> Biquad:
    """Numerator and denominator of a high pass of quality 1/2, of the same cookbook."""
    angle = 2 * math.pi * frequency / sample_rate
    cosine, alpha = math.cos(angle), math.sin(angle)
    above = ((1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2)
    return above, (1 + alpha, -2 * cosine, 1 - alpha)
