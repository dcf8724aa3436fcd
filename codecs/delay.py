"""How much later than the original a reconstruction is."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.codecs.audio import read, resample
from vocable.codecs.codec import Codec

REACH = 250.0  # ms


class Delay(NamedTuple):
    """Milliseconds, and how alike the signals are when the later is moved by so much, -1 to 1."""

    ms: float
    likeness: float


def codec_delay(codec: Codec, seconds: float = 3.0) -> Delay:
    """How much later the codec's reconstruction of `seconds` of the package's recording is than that."""
    from vocable.codecs.cli import clip

    wav, rate = read(clip(), offset=8000, frames=round(16_000 * seconds))
    wav = resample(wav, rate, codec.sample_rate)[0]
    made = codec.decode(codec.encode(wav.expand(codec.channels, -1)))[0, 0].cpu()
    ms = delay(wav, made, codec.sample_rate)
    lag = round(ms * codec.sample_rate / 1000)
    one, other = wav[max(0, -lag) : len(wav) - max(0, lag)], made[max(0, lag) : len(wav) - max(0, -lag)]
    return Delay(ms, float(F.cosine_similarity(one, other, dim=0)))


def delay(reference: Tensor, estimate: Tensor, sample_rate: int) -> float:
    """Milliseconds by which `estimate` (T,) comes after `reference` (T,), below 0 where it comes before.

    Where their cross-correlation is highest, to a fraction of a sample, within 250 ms. Of a vocoder, which
    makes its own phase, this is no more than a guess. ValueError for silence.
    """
    if reference.ndim != 1 or reference.shape != estimate.shape or not reference.is_floating_point():
        found = f"{tuple(reference.shape)} and {tuple(estimate.shape)}"
        raise ValueError(f"signals are {found}; accepted: two float (T,) of one length")
    if not reference.any() or not estimate.any():
        raise ValueError("the delay of silence; accepted: a signal")
    reach = min(int(REACH * sample_rate / 1000), len(reference) - 1)
    size = len(reference) + reach
    size += size % 2
    spectra = (torch.fft.rfft(F.pad(wav.double(), (0, size - len(wav)))) for wav in (reference, estimate))
    cross = next(spectra).conj() * next(spectra)
    correlation = torch.fft.irfft(cross, size)
    lags = torch.arange(-reach, reach + 1)
    best = float(lags[correlation[lags].argmax()])
    return 1000 * _refine(cross, best, size) / sample_rate


def _refine(cross: Tensor, lag: float, size: int, steps: int = 6) -> float:
    """The top between samples of the correlation whose spectrum is `cross`, by Newton's method from `lag`.

    The correlation is known exactly between its samples, as a sum of cosines.
    """
    angle = torch.linspace(0, torch.pi, size // 2 + 1, dtype=torch.float64)
    start = lag
    for _ in range(steps):
        terms = cross * torch.exp(1j * angle * lag)
        slope, curve = -(terms.imag * angle).sum(), -(terms.real * angle.square()).sum()
        if curve >= 0:
            break
        lag = min(max(lag - float(slope / curve), start - 1), start + 1)
    return lag
