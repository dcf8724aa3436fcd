"""Attention inside the UNet of latent diffusion (https://arxiv.org/abs/2112.10752)."""

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.semanticodec.resnet import GROUPS

Memory = tuple[Tensor, Tensor]  # keys and values, each (B, heads, L, d)


class Attention(nn.Module):
    """Queries from x (B, L, D), keys and values from a context (B, M, E)."""

    def __init__(self, dim: int, heads: int, context_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim, bias=False)
        self.k, self.v = nn.Linear(context_dim, dim, bias=False), nn.Linear(context_dim, dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def read(self, context: Tensor) -> Memory:
        """Its keys and values: the same at every step of a diffusion."""
        return self._split(self.k(context)), self._split(self.v(context))

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        y = F.scaled_dot_product_attention(self._split(self.q(x)), *memory)
        return self.out(rearrange(y, "b h l d -> b l (h d)"))

    def _split(self, x: Tensor) -> Tensor:
        return rearrange(x, "b l (h d) -> b h l d", h=self.heads)


class SpatialTransformer(nn.Module):
    """(B, C, H, W), every place attending to all of them, then to a context of `context_dim` values.

    context_dim: 0 for none: it attends to the places once more.
    """

    def __init__(self, channels: int, heads: int, context_dim: int = 0) -> None:
        super().__init__()
        self.context_dim = context_dim
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attn1 = Attention(channels, heads, channels)
        self.attn2 = Attention(channels, heads, context_dim or channels)
        self.widen, self.narrow = nn.Linear(channels, 8 * channels), nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """memory: what `attn2.read` makes of the context."""
        height = x.shape[2]
        y = rearrange(self.proj_in(self.norm(x)), "b c h w -> b (h w) c")
        z = self.norm1(y)
        y = y + self.attn1(z, self.attn1.read(z))
        z = self.norm2(y)
        y = y + self.attn2(z, self.attn2.read(z) if memory is None else memory)
        value, gate = self.widen(self.norm3(y)).chunk(2, dim=-1)
        y = y + self.narrow(value * F.gelu(gate))
        return x + self.proj_out(rearrange(y, "b (h w) c -> b c h w", h=height))
