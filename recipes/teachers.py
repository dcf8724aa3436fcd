"""Speech models that teach a codec: frozen, without gradients, and not in its checkpoints."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Teacher(nn.Module):
    """`model`, waveforms (B, 1, T) at `sample_rate` to features (B, dim, N) at `frame_rate`, as a teacher."""

    def __init__(self, model: nn.Module, dim: int, frame_rate: float, sample_rate: int = 16000) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.dim, self.frame_rate, self.sample_rate = dim, frame_rate, sample_rate

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.model.eval()
        return self

    @torch.no_grad()
    def forward(self, wav: Tensor) -> Tensor:
        """wav (B, C, T) at `sample_rate` to features (B, dim, N)."""
        return self.model(wav.mean(1, keepdim=True))

    @torch.no_grad()
    def features(self, wav: Tensor, sample_rate: int, frames: int) -> Tensor:
        """wav (B, C, T) at any rate to features (B, dim, frames), evenly spread over it."""
        if sample_rate != self.sample_rate:
            from torchaudio.functional import resample  # stays on the wave's device

            wav = resample(wav, sample_rate, self.sample_rate)
        # linear, and where frames get fewer a triangle wide enough to hear all of them
        size = (1, frames)
        return F.interpolate(self(wav)[:, :, None], size, mode="bilinear", antialias=True)[:, :, 0]
