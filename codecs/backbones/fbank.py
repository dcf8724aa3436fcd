"""Log-mel features as Kaldi computes them (https://kaldi-asr.org/doc/feat.html), for w2v-BERT-2.0."""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

RATE, WIDTH, HOP, N_FFT, BANDS = 16000, 400, 160, 512, 80


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """Kaldi's mel scale."""
    return 1127 * np.log1p(np.asarray(hertz) / 700)


@cache
def tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """The window (WIDTH,), and of BANDS triangles evenly spaced in mel the weights (N_FFT / 2 + 1, BANDS)."""
    # "povey": a Hann window to the power of 0.85
    window = np.hanning(WIDTH) ** 0.85
    edges = np.linspace(mel(20), mel(RATE / 2), BANDS + 2)
    bins = mel(np.arange(N_FFT // 2 + 1) * RATE / N_FFT)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank = np.minimum(rise, fall).clip(min=0)
    return torch.from_numpy(window).to(device), torch.from_numpy(bank).to(device)


@torch.no_grad()
def fbank(wav: Tensor) -> Tensor:
    """Waveform (B, T) at 16 kHz, T of 560 or more, to features (B, M // 2, 2 * BANDS) of M frames, in pairs.

    Frames of 25 ms every 10 ms, only whole ones. Over the frames each band has mean 0 and variance 1. In
    float64 whatever the model's type: beside a loud band a quiet one would lose its digits.
    """
    window, bank = tables(wav.device)
    # Kaldi's samples are 16-bit integers
    frames = (wav.double() * 2**15).unfold(-1, WIDTH, HOP)
    frames = frames - frames.mean(-1, keepdim=True)
    # pre-emphasis; what comes before a frame is taken to equal its first sample
    frames = frames - 0.97 * F.pad(frames, (1, 0), "replicate")[..., :-1]
    power = torch.fft.rfft(frames * window, N_FFT).abs().square()
    bands = (power @ bank).clamp(min=torch.finfo(torch.float32).eps).log()
    variance, mean = torch.var_mean(bands, dim=1, keepdim=True)
    scaled = (bands - mean) * (variance + 1e-7).rsqrt()
    return scaled[:, : scaled.shape[1] // 2 * 2].unflatten(1, (-1, 2)).flatten(2).to(wav.dtype)
