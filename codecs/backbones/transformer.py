"""The causal transformer of Mimi (https://arxiv.org/abs/2410.00037), which streams.

Every position attends to itself and the `context - 1` before it. The keys and values of those are its state;
work and memory grow linearly with the signal.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.conv import State, Stateful
from vocable.codecs.backbones.keyvalues import KeyValues, Past, slots
from vocable.codecs.backbones.rope import rotary, rotate_pairs


def attend(q: Tensor, k: Tensor, v: Tensor, context: int) -> Tensor:
    """Causal attention of queries q (B, H, N, d) to keys and values k, v (B, H, P + N, d).

    Query i stands at position P + i; it sees that position and `context - 1` before it.
    """
    count, past = q.shape[2], k.shape[2] - q.shape[2]
    if past == 0 and torch.compiler.is_compiling():
        return _attend_in_windows(q, k, v, context)
    blocks = []
    # the band around the diagonal is all that counts: its blocks, not the (N, P + N) matrix, are computed
    for start in range(0, count, context):
        end = min(start + context, count)
        seen = slice(max(0, past + start - context + 1), past + end)
        queries, keys, values = q[:, :, start:end], k[:, :, seen], v[:, :, seen]
        blocks.append(_attend_block(queries, keys, values, context))
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)


def _attend_in_windows(q: Tensor, k: Tensor, v: Tensor, context: int) -> Tensor:
    """The same for a whole signal, as one operation whatever N: a graph has no loop over blocks."""
    count, heads = q.shape[2], q.shape[:2]
    # one more than are needed: to a graph a single one would be a special case
    windows = torch.arange((count + context - 1) // context + 1, device=q.device)[:, None] * context
    # each window of `context` queries sees its own keys and those of the window before; (W, n) positions
    asking = windows + torch.arange(context, device=q.device)
    asked = windows + torch.arange(-context, context, device=q.device)
    age = asking[:, :, None] - asked[:, None]
    seen = (age >= 0) & (age < context) & (asked >= 0)[:, None]
    q = q.flatten(0, 1)[:, asking.clamp(max=count - 1)]
    k, v = (x.flatten(0, 1)[:, asked.clamp(0, count - 1)] for x in (k, v))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    return y.flatten(1, 2)[:, torch.arange(count, device=q.device)].unflatten(0, heads)


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
        self, x: Tensor, turn: tuple[Tensor, Tensor], past: Past | None, kept: KeyValues | None
    ) -> tuple[Tensor, KeyValues]:
        """turn: cosine and sine of the positions, (B, N, 1, 1, d / 2); kept: what is kept of those before.

        past: where that stands, None at the start of the signal.
        """
        y, kept = self._attention(self.attention_norm(x), turn, past, kept)
        x = x + self.attention_scale * y
        y = self.narrow(F.gelu(self.widen(self.mlp_norm(x))))
        return x + self.mlp_scale * y, kept

    def _attention(
        self, x: Tensor, turn: tuple[Tensor, Tensor], past: Past | None, kept: KeyValues | None
    ) -> tuple[Tensor, KeyValues]:
        projected = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        q, k = rotate_pairs(projected[:, :, :2], *turn).permute(2, 0, 3, 1, 4)
        v = projected[:, :, 2].transpose(1, 2)
        if past is None or kept is None:
            y, kept = attend(q, k, v, self.context), KeyValues.of(k, v, slots(self.context))
        else:
            y = past.attend(q, k, v, kept)
            kept = kept.put(k, v, past.written)
        return self.out(y.transpose(1, 2).flatten(2)), kept


class CausalTransformer(Stateful):
    """Latents (B, dim, N) to the same shape.

    context: positions that one attends to, itself among them. layer_scale: initial weight of each layer
    beside its input. The state is the position (B,), which may differ over the batch, and each layer's
    `KeyValues`.
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
        self.dim, self.head_dim, self.context = dim, dim // heads, context
        self.layers = nn.ModuleList(
            TransformerLayer(dim, heads, hidden, context, layer_scale) for _ in range(layers)
        )

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, D, N), N of 1 or more."""
        if state is None:
            start = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
            return self._run(x, start, None, [None] * len(self.layers))
        parts, (position, kept) = [], state
        for part in x.split(self.context, dim=-1):
            past = Past.at(position, part.shape[-1], self.context)
            y, (position, kept) = self._run(part, position, past, kept)
            parts.append(y)
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1), [position, kept]

    def _run(
        self, x: Tensor, position: Tensor, past: Past | None, kept: Sequence[KeyValues | None]
    ) -> tuple[Tensor, State]:
        """x (B, D, N) at `position` (B,) and after."""
        steps = position[:, None] + torch.arange(x.shape[-1], device=x.device)
        cos, sin = rotary(steps, self.head_dim)
        turn = cos[:, :, None, None], sin[:, :, None, None]
        x, after = x.transpose(1, 2), []
        for layer, before in zip(self.layers, kept, strict=True):
            x, before = layer(x, turn, past, before)
            after.append(before)
        return x.transpose(1, 2), [position + x.shape[1], after]
