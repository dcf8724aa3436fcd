"""Stable Codec's transformers, whose attention has a window (https://arxiv.org/abs/2411.19842)."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.banded import banded_attention
from vocable.codecs.backbones.conv import State, Stateful, refuse_state
from vocable.codecs.backbones.lookahead import advance
from vocable.codecs.backbones.rope import rotary, rotate_halves

_EPS = 1e-2  # the paper's: silence has so little power that a smaller one would blow it up


class Attention(nn.Module):
    """Attention within a window, queries and keys normalised before half of their channels turn."""

    def __init__(self, dim: int, head_dim: int, window: Sequence[int]):
        super().__init__()
        self.head_dim = head_dim
        self.left, self.right = window
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.q_norm = nn.LayerNorm(head_dim, eps=1e-6)
        self.k_norm = nn.LayerNorm(head_dim, eps=1e-6)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """x (B, N, dim); turn: cosine and sine (N, head_dim / 4) of the positions."""
        return self.attend(*self.project(x, turn))

    def project(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B, H, N, head_dim)."""
        q, k, v = rearrange(self.qkv(x), "b n (part h d) -> part b h n d", part=3, d=self.head_dim)
        return rotate_halves(self.q_norm(q), *turn), rotate_halves(self.k_norm(k), *turn), v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, first: int = 0) -> Tensor:
        """What queries from frame `first` on see, (B, n, dim)."""
        y = banded_attention(q, k, v, self.left, self.right, first)
        return self.out(rearrange(y, "b h n d -> b n (h d)"))


class GatedMLP(nn.Module):
    """SwiGLU (https://arxiv.org/abs/2002.05202), 4 times as wide inside; (B, N, dim) both ways."""

    def __init__(self, dim: int):
        super().__init__()
        self.widen = nn.Linear(dim, 8 * dim)
        self.narrow = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.widen(x).chunk(2, -1)
        return self.narrow(x * F.silu(gate))


class TransformerLayer(nn.Module):
    """Attention and a gated MLP, each behind a LayerNorm, scaled and added to its input; (B, N, dim)."""

    def __init__(self, dim: int, head_dim: int, window: Sequence[int]):
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim, eps=_EPS, bias=False)
        self.attention = Attention(dim, head_dim, window)
        self.attention_scale = nn.Parameter(torch.full((dim,), 1e-2))
        self.mlp_norm = nn.LayerNorm(dim, eps=_EPS, bias=False)
        self.mlp = GatedMLP(dim)
        self.mlp_scale = nn.Parameter(torch.full((dim,), 1e-2))

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        return self.add(x, self.attention(self.attention_norm(x), turn))

    def add(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer, frame by frame."""
        x = x + self.attention_scale * attended
        return x + self.mlp_scale * self.mlp(self.mlp_norm(x))

    def advance(
        self, x: Tensor, turn: tuple[Tensor, Tensor], state: State, final: bool
    ) -> tuple[Tensor, State]:
        """As `lookahead.advance`. A frame waits until those that it sees are there."""
        new = self.attention.project(self.attention_norm(x), turn)
        if state is None:
            waiting, q, k, v, first = x, *new, 0
        else:
            waiting, first = torch.cat([state[0], x], 1), state[-1]
            q, k, v = (torch.cat(pair, -2) for pair in zip(state[1:-1], new, strict=True))
        ready = max(0, q.shape[-2] - (0 if final else self.attention.right))
        y = waiting[:, :ready]
        if ready:
            y = self.add(y, self.attention.attend(q[..., :ready, :], k, v, first))
        past = max(0, first + ready - self.attention.left)  # of the keys, those that no query will see
        rest = (part[..., past:, :].clone() for part in (k, v))
        return y, (waiting[:, ready:].clone(), q[..., ready:, :].clone(), *rest, first + ready - past)


class Transformer(Stateful):
    """Features (B, dim, N) to the same shape, not causal.

    head_dim: channels of a head, a divisor of `dim` and a multiple of 4.
    window: how many frames before and after itself a frame sees in each layer.
    """

    causal = False

    def __init__(self, dim: int, depth: int, head_dim: int, window: Sequence[int]):
        super().__init__()
        if head_dim % 4 or dim % head_dim:
            raise ValueError(f"head_dim is {head_dim}; accepted: divisors of {dim} and multiples of 4")
        self.head_dim = head_dim
        self.layers = nn.ModuleList(TransformerLayer(dim, head_dim, window) for _ in range(depth))

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        refuse_state(state)
        turn = rotary(torch.arange(x.shape[-1], device=x.device), self.head_dim // 2)
        x = x.transpose(1, 2)
        for layer in self.layers:
            x = layer(x, turn)
        return x.transpose(1, 2), None


@advance.register
def _(layer: Transformer, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    # of each layer, the position of the next frame that reaches it, and its own state
    before = state or [(0, None)] * len(layer.layers)
    x, after = x.transpose(1, 2), []
    for part, (position, inner) in zip(layer.layers, before, strict=True):
        end = position + x.shape[1]
        turn = rotary(torch.arange(position, end, device=x.device), layer.head_dim // 2)
        assert isinstance(part, TransformerLayer)
        x, inner = part.advance(x, turn, inner, final)
        after.append((end, inner))
    return x.transpose(1, 2), after
