"""Log-mel features as Kaldi computes them (https://kaldi-asr.org/doc/feat.html), for w2v-BERT-2.0."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE, WIDTH, HOP, N_FFT = 16000, 400, 160, 512


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """Kaldi's mel scale."""
    return 1127 * np.log1p(np.asarray(hertz) / 700)


def triangles(bands: int, low: float = 20.0, high: float = RATE / 2) -> Tensor:
    """(N_FFT / 2 + 1, bands) float64: overlapping triangles, evenly spaced in mel and straight in it."""
    edges = np.linspace(mel(low), mel(high), bands + 2)
    bins = mel(np.arange(N_FFT // 2 + 1) * RATE / N_FFT)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.from_numpy(np.minimum(rise, fall).clip(min=0))


class Fbank(nn.Module):
    """Waveform (B, T) at 16 kHz to features (B, M // 2, 2 * bands): M frames, each band scaled, in pairs.

    Frames of 25 ms every 10 ms, only whole ones. Each band of a signal has mean 0 and variance 1. In float64
    throughout: a quiet band beside a loud one loses its digits in float32.
    """

    window: Tensor
    bank: Tensor

    def __init__(self, bands: int = 80):
        super().__init__()
        # "povey": a Hann window to the power of 0.85
        window = torch.hann_window(WIDTH, periodic=False, dtype=torch.float64) ** 0.85
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bank", triangles(bands), persistent=False)

    @torch.no_grad()
    def forward(self, wav: Tensor) -> Tensor:
        # Kaldi's samples are 16-bit integers
        frames = (wav.double() * 2**15).unfold(-1, WIDTH, HOP)
        frames = frames - frames.mean(-1, keepdim=True)
        # pre-emphasis; the sample before the first is taken to equal it
        frames = frames - 0.97 * F.pad(frames, (1, 0), "replicate")[..., :-1]
        power = torch.fft.rfft(frames * self.window, N_FFT).abs().square()
        bands = (power @ self.bank).clamp(min=torch.finfo(torch.float32).eps).log()
        variance, mean = torch.var_mean(bands, dim=1, keepdim=True)
        scaled = (bands - mean) * (variance + 1e-7).rsqrt()
        pairs = scaled[:, : scaled.shape[1] // 2 * 2].unflatten(1, (-1, 2)).flatten(2)
        return pairs.to(wav.dtype)
