"""Fourier transforms of real frames: by FFT, or in a program by a product of matrices.

ONNX's own transform rounds too coarsely for codes to stay the same, and few runtimes have it.
"""

import math

import torch
from torch import Tensor


def rfft(frames: Tensor) -> Tensor:
    """Real frames (..., n), n even, to spectra (..., n / 2 + 1), complex."""
    if not _in_program():
        return torch.fft.rfft(frames)
    cos, sin = _basis(frames.shape[-1], frames.device)
    return torch.complex(frames @ cos, -(frames @ sin))


def irfft(spec: Tensor, n: int) -> Tensor:
    """Spectra (..., n / 2 + 1), complex, to real frames (..., n), n even; the inverse of `rfft`."""
    if not _in_program():
        return torch.fft.irfft(spec, n)
    cos, sin = _basis(n, spec.device)
    bins = torch.arange(n // 2 + 1, device=spec.device)
    weights = torch.where((bins == 0) | (bins == n // 2), 1 / n, 2 / n)  # but two, each stands for two
    return (spec.real * weights) @ cos.T - (spec.imag * weights) @ sin.T


def _in_program() -> bool:
    """Whether a graph is made to be used; one that is compiled to train keeps the usual transform."""
    return torch.compiler.is_compiling() and not torch.is_grad_enabled()


def _basis(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (n, n / 2 + 1) of 2 pi t k / n."""
    turns = torch.arange(n, device=device)[:, None] * torch.arange(n // 2 + 1, device=device)
    # as integers within half a turn: large angles would lose digits
    angle = ((turns + n // 2) % n - n // 2).float() * (2 * math.pi / n)
    return angle.cos(), angle.sin()
