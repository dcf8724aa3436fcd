"""The causal transformer of Mimi (https://arxiv.org/abs/2410.00037), which streams.

Every position attends to itself and the `context - 1` before it. The keys and values of those are its state;
work and memory grow linearly with the signal.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.conv import State, Stateful
from vocable.codecs.backbones.rope import rotary, rotate_pairs


def attend(q: Tensor, k: Tensor, v: Tensor, context: int) -> Tensor:
    """Causal attention of queries q (B, H, N, d) to keys and values k, v (B, H, P + N, d).

    Query i stands at position P + i; it sees that position and `context - 1` before it.
    """
    count, past = q.shape[2], k.shape[2] - q.shape[2]
    blocks = []
    # the band around the diagonal is all that counts: its blocks, not the (N, P + N) matrix, are computed
    for start in range(0, count, context):
        end = min(start + context, count)
        seen = slice(max(0, past + start - context + 1), past + end)
        queries, keys, values = q[:, :, start:end], k[:, :, seen], v[:, :, seen]
        blocks.append(_attend_block(queries, keys, values, context))
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)


def _attend_block(q: Tensor, k: Tensor, v: Tensor, context: int) -> Tensor:
    rows, columns = q.shape[2], k.shape[2]
    if rows == 1:  # its keys are within the context, or they would not be here
        return F.scaled_dot_product_attention(q, k, v)
    if rows == columns:  # no more of them than the context
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    # the last query stands at the last key
    position = torch.arange(columns, device=q.device)
    age = position[columns - rows :, None] - position
    return F.scaled_dot_product_attention(q, k, v, attn_mask=(age >= 0) & (age < context))


class TransformerLayer(nn.Module):
    """Attention and a GELU layer, each behind a LayerNorm, scaled and added to its input; (B, N, D)."""

    def __init__(self, dim: int, heads: int, hidden: int, context: int, layer_scale: float):
        super().__init__()
        self.heads, self.context = heads, context
        self.attention_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.attention_scale = nn.Parameter(torch.full((dim,), layer_scale))
        self.mlp_norm = nn.LayerNorm(dim)
        self.widen = nn.Linear(dim, hidden, bias=False)
        self.narrow = nn.Linear(hidden, dim, bias=False)
        self.mlp_scale = nn.Parameter(torch.full((dim,), layer_scale))

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], past: list[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        """turn: cosine and sine of the positions, (B, N, 1, 1, d / 2); past: their keys and values before."""
        y, past = self._attention(self.attention_norm(x), turn, past)
        x = x + self.attention_scale * y
        y = self.narrow(F.gelu(self.widen(self.mlp_norm(x))))
        return x + self.mlp_scale * y, past

    def _attention(
        self, x: Tensor, turn: tuple[Tensor, Tensor], past: list[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        projected = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        q, k = rotate_pairs(projected[:, :, :2], *turn).permute(2, 0, 3, 1, 4)
        v = projected[:, :, 2].transpose(1, 2)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        y = attend(q, k, v, self.context).transpose(1, 2).flatten(2)
        # copies: views would keep the keys and values of the whole signal in memory
        gone = max(0, k.shape[2] - self.context + 1)
        return self.out(y), [k[:, :, gone:].clone(), v[:, :, gone:].clone()]


class CausalTransformer(Stateful):
    """Latents (B, dim, N) to the same shape.

    context: positions that one attends to, itself among them. layer_scale: initial weight of each layer
    beside its input. The state is the position (B,), and each layer's keys and values (B, heads, n, d), n
    up to `context - 1`.
    """

    causal = True

    def __init__(
        self,
        dim: int = 512,
        layers: int = 8,
        heads: int = 8,
        hidden: int = 2048,
        context: int = 250,
        layer_scale: float = 0.01,
    ):
        super().__init__()
        if dim % (2 * heads):
            raise ValueError(f"dim is {dim} at {heads} heads; accepted: multiples of {2 * heads}")
        if context < 1:
            raise ValueError(f"context is {context}; accepted: 1 or more")
        self.dim, self.head_dim = dim, dim // heads
        self.layers = nn.ModuleList(
            TransformerLayer(dim, heads, hidden, context, layer_scale) for _ in range(layers)
        )

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, D, N), N of 1 or more."""
        if state is None:
            state = [torch.zeros(len(x), dtype=torch.int64, device=x.device), [None] * len(self.layers)]
        position, pasts = state
        steps = position[:, None] + torch.arange(x.shape[-1], device=x.device)
        cos, sin = rotary(steps, self.head_dim)
        turn = cos[:, :, None, None], sin[:, :, None, None]
        x, after = x.transpose(1, 2), []
        for layer, past in zip(self.layers, pasts, strict=True):
            x, past = layer(x, turn, past)
            after.append(past)
        return x.transpose(1, 2), [position + x.shape[1], after]
