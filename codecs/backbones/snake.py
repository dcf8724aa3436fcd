"""Snake, a periodic activation (https://arxiv.org/abs/2006.08195)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def snake(x: Tensor, alpha: Tensor) -> Tensor:
    """x + sin^2(alpha x) / alpha, of (B, C, T) and (1, C, 1)."""
    # one buffer instead of four: on long signals this layer is bound by memory
    wave = (alpha * x).sin_().square_()
    return wave.mul_((alpha + 1e-9).reciprocal()).add_(x)


class SnakeWithGradient(torch.autograd.Function):
    """`snake`, of which training keeps x alone: the sine is computed a second time for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor) -> Tensor:
        ctx.save_for_backward(x, alpha)
        return snake(x, alpha)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        x, alpha = ctx.saved_tensors
        gain = (alpha + 1e-9).reciprocal()
        angle = alpha * x
        sine = angle.sin()
        slope = angle.cos_().mul_(sine).mul_(2 * gain)
        by_alpha = sine.square_().mul_(-gain.square()).addcmul_(slope, x).mul_(grad)
        return slope.mul_(alpha).add_(1).mul_(grad), by_alpha.sum((0, 2), keepdim=True)


class Snake(nn.Module):
    """x + sin^2(alpha x) / alpha with one learned alpha a channel, as in DAC; (B, C, T) -> (B, C, T)."""

    def __init__(self, channels: int):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return SnakeWithGradient.apply(x, self.alpha)
        return snake(x, self.alpha)


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
