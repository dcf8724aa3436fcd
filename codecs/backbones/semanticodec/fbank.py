"""Kaldi's log mel filterbank of 16 kHz audio, a whole batch at once (https://kaldi-asr.org/doc/feat.html)."""

import math

import torch
from torch import Tensor, nn

RATE, WINDOW, SHIFT, POINTS = 16_000, 400, 160, 512  # Hz, then samples: frames of 25 ms every 10 ms
LOWEST = 20.0  # Hz
PREEMPHASIS = 0.97
FLOOR = torch.finfo(torch.float32).eps


def triangles(bands: int) -> Tensor:
    """(POINTS / 2 + 1, bands): the weight of each bin of a spectrum in each band, triangles in mel."""
    first, last = (math.log1p(frequency / 700.0) for frequency in (LOWEST, RATE / 2))
    edges = torch.linspace(first, last, bands + 2, dtype=torch.float64)
    bins = torch.log1p(torch.arange(POINTS // 2 + 1, dtype=torch.float64) * (RATE / POINTS / 700.0))[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    weights = torch.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clamp(min=0)
    weights[-1] = 0  # Kaldi leaves out the bin at half the sampling rate
    return weights.float()


class Fbank(nn.Module):
    """wav (B, T) at 16 kHz to log energies (B, M, bands).

    M = 1 + (T - 400) // 160: no frame hangs over the end. Each is freed of its mean, then its highs raised.
    """

    window: Tensor
    weights: Tensor

    def __init__(self, bands: int = 128) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=False), persistent=False)
        self.register_buffer("weights", triangles(bands), persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        frames = wav.unfold(-1, WINDOW, SHIFT)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        spectrum = torch.fft.rfft((frames - PREEMPHASIS * before) * self.window, POINTS)
        return (spectrum.abs().square() @ self.weights).clamp(min=FLOOR).log()
