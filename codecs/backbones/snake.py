"""Snake, a periodic activation (https://arxiv.org/abs/2006.08195)."""

import torch
from torch import Tensor, nn


class Snake(nn.Module):
    """x + sin^2(alpha x) / alpha with one learned alpha a channel, as in DAC; (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return x + (self.alpha * x).sin().square() / (self.alpha + 1e-9)
        # one buffer instead of four: on long signals this layer is bound by memory
        wave = (self.alpha * x).sin_().square_()
        return wave.mul_((self.alpha + 1e-9).reciprocal()).add_(x)


class SnakeBeta(nn.Module):
    """x + sin^2(e^alpha x) / e^beta, one learned alpha and beta a channel, as in BigVGAN
    (https://arxiv.org/abs/2206.04658); (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def rates(self) -> tuple[Tensor, Tensor]:
        """What x is multiplied by within the sine, and the sine's square is, each (C, 1)."""
        return self.alpha.exp()[:, None], (self.beta.exp() + 1e-9).reciprocal()[:, None]

    def forward(self, x: Tensor) -> Tensor:
        frequency, gain = self.rates()
        return x + gain * (frequency * x).sin().square()
