"""The residual block of latent diffusion (https://arxiv.org/abs/2112.10752), of its UNet and its VAE."""

from torch import Tensor, nn
from torch.nn import functional as F

GROUPS = 32


class ResBlock(nn.Module):
    """(B, C_in, H, W) to (B, C_out, H, W): two times GroupNorm, swish and convolution, added to the input.

    time_dim: width of a vector (B, time_dim) that is added, projected, between the two; 0: there is none.
    """

    def __init__(self, in_channels: int, out_channels: int, time_dim: int = 0, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, in_channels, eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time_dim, out_channels) if time_dim else None
        self.norm2 = nn.GroupNorm(GROUPS, out_channels, eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Identity()
        if in_channels != out_channels:
            self.skip = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        if self.time is not None and time is not None:
            y = y + self.time(F.silu(time))[..., None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(y)))


class Upsample(nn.Module):
    """Each value twice in both directions, then a convolution: (B, C, H, W) to (B, C, 2 H, 2 W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
