"""The encoder of AudioMAE (https://arxiv.org/abs/2207.06405): a vision transformer over a spectrogram."""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 16  # frames and bands


class Block(nn.Module):
    """Attention and an MLP, each behind a LayerNorm and added to its input; (B, L, D)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm1(x))
        q, k, v = rearrange(qkv, "b l (three h d) -> three b h l d", three=3, h=self.heads)
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(rearrange(y, "b h l d -> b l (h d)"))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class AudioMAE(nn.Module):
    """Spectrograms (B, frames, bands) to (B, L, D), one vector for each patch of 16 frames and 16 bands.

    Patches go from low bands to high, then on in time. A vector is the mean of what the last `averaged` of
    the `depth` blocks give, each normalised.
    """

    def __init__(
        self,
        dim: int = 768,
        heads: int = 12,
        depth: int = 12,
        averaged: int = 3,
        patches: int = 512,
    ) -> None:
        super().__init__()
        self.averaged = averaged
        self.patch = nn.Conv2d(1, dim, PATCH, PATCH)
        self.first = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.position = nn.Parameter(0.02 * torch.randn(1, patches + 1, dim))
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = self.patch(spectrogram[:, None]).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1) + self.position
        outputs = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index >= len(self.blocks) - self.averaged:
                outputs.append(self.norm(x[:, 1:]))
        return torch.stack(outputs).mean(0)
