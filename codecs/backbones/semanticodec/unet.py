"""The UNet of latent diffusion with cross-attention (https://arxiv.org/abs/2112.10752), AudioLDM's way."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.semanticodec.attention import Memory, SpatialTransformer
from vocable.codecs.backbones.semanticodec.resnet import GROUPS, ResBlock, Upsample

EPS = 1e-5
BLOCKS = 2  # a level, on the way down; one more on the way up


class UNet(nn.Module):
    """Noisy latents (B, latent, H, W), their times and a context to what is to be predicted, of that shape.

    multipliers: of `channels`, level by level, each half as high and wide as the one before; all levels but
    the first attend, to themselves and to the context (B, M, context_dim), by heads of `head_dim`.
    H and W are multiples of 2 ** (levels - 1).
    """

    def __init__(
        self,
        channels: int = 64,
        multipliers: tuple[int, ...] = (1, 2, 3, 5),
        latent: int = 8,
        context_dim: int = 1728,
        head_dim: int = 32,
    ) -> None:
        super().__init__()
        self.channels, self.context_dim, self.head_dim = channels, context_dim, head_dim
        self.time_dim = 4 * channels
        self.time = nn.Sequential(
            nn.Linear(channels, self.time_dim), nn.SiLU(), nn.Linear(self.time_dim, self.time_dim)
        )
        width, widths = channels, [channels]
        self.down = nn.ModuleList([Stage(nn.Conv2d(latent, channels, 3, padding=1))])
        for level, multiplier in enumerate(multipliers):
            for _ in range(BLOCKS):
                self.down.append(Stage(*self._block(width, multiplier * channels, level > 0)))
                width = multiplier * channels
                widths.append(width)
            if level < len(multipliers) - 1:
                self.down.append(Stage(nn.Conv2d(width, width, 3, stride=2, padding=1)))
                widths.append(width)
        self.middle = Stage(*self._block(width, width, True), ResBlock(width, width, self.time_dim, EPS))
        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for index in range(BLOCKS + 1):
                layers = self._block(width + widths.pop(), multiplier * channels, level > 0)
                width = multiplier * channels
                if level > 0 and index == BLOCKS:
                    layers.append(Upsample(width))
                self.up.append(Stage(*layers))
        self.out = nn.Sequential(
            nn.GroupNorm(GROUPS, width, EPS), nn.SiLU(), nn.Conv2d(width, latent, 3, padding=1)
        )

    def _block(self, in_channels: int, channels: int, attends: bool) -> list[nn.Module]:
        block: list[nn.Module] = [ResBlock(in_channels, channels, self.time_dim, EPS)]
        if attends:
            heads = channels // self.head_dim
            block += [
                SpatialTransformer(channels, heads),
                SpatialTransformer(channels, heads, self.context_dim),
            ]
        return block

    def read(self, context: Tensor) -> list[Memory]:
        """What forward needs of a context (B, M, context_dim), once for all steps of a diffusion."""
        layers = (layer for layer in self.modules() if isinstance(layer, SpatialTransformer))
        return [layer.attn2.read(context) for layer in layers if layer.context_dim]

    def forward(self, x: Tensor, time: Tensor, memories: list[Memory]) -> Tensor:
        """x (B, latent, H, W), time (B,) in steps of the noise schedule, memories as `read` gives them."""
        embedded = self.time(time_embedding(time, self.channels).to(x.dtype))
        memory = iter(memories)
        skips = []
        for stage in self.down:
            x = stage(x, embedded, memory)
            skips.append(x)
        x = self.middle(x, embedded, memory)
        for stage in self.up:
            x = stage(torch.cat([x, skips.pop()], dim=1), embedded, memory)
        return self.out(x)


class Stage(nn.Module):
    """Layers one after another, each given of time and context what it takes."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, time: Tensor, memory: Iterator[Memory]) -> Tensor:
        for layer in self.layers:
            if isinstance(layer, ResBlock):
                x = layer(x, time)
            elif isinstance(layer, SpatialTransformer) and layer.context_dim:
                x = layer(x, next(memory))
            else:
                x = layer(x)
        return x


def time_embedding(time: Tensor, dim: int) -> Tensor:
    """Cosines and sines (B, dim) of times (B,) at dim / 2 rates from 1 down to 1 in 10,000."""
    rates = torch.exp(-math.log(10_000.0) * torch.arange(dim // 2, device=time.device) / (dim // 2))
    angles = time[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
