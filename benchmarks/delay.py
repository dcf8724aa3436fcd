"""How much later than the original a reconstruction is."""

import torch
from torch import Tensor
from torch.nn import functional as F

REACH = 250.0  # ms


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
