"""TAAE, the transformer autoencoder of Stable Codec (https://arxiv.org/abs/2411.19842)."""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.banded import banded_attention
from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, Sequential, State, Stateful, refuse_state
from vocable.codecs.backbones.lookahead import advance
from vocable.codecs.backbones.padding import check_multiple
from vocable.codecs.backbones.pieces import multiple
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


class TAAEEncoder(Stateful):
    """Waveform (B, C, T) to latents (B, latent_dim, T / hop_length), T a multiple of it.

    Samples go in as patches, channels of a slower signal. Then, for each of widths, depths and strides, a
    strided convolution (none at stride 1) and a transformer of that many layers.

    patch: samples of a patch; hop_length is `patch` times the strides.
    """

    causal = False

    def __init__(
        self,
        widths: Sequence[int] = (1024, 1024),
        depths: Sequence[int] = (8, 20),
        strides: Sequence[int] = (1, 2),
        patch: int = 320,
        latent_dim: int = 6,
        channels: int = 1,
        head_dim: int = 128,
        window: Sequence[int] = (63, 64),
    ):
        super().__init__()
        self.patch, self.hop_length = patch, patch * math.prod(strides)
        layers: list[nn.Module] = [Conv1d(channels * patch, widths[0], 7, weight_norm=True)]
        for before, width, depth, stride in _stages(widths, depths, strides):
            down = (
                Conv1d(before, width, 2 * stride, stride, weight_norm=True) if stride > 1 else nn.Identity()
            )
            layers.append(Sequential(down, Transformer(width, depth, head_dim, window)))
        layers.append(Conv1d(widths[-1], latent_dim, 3, weight_norm=True))
        self.layers = Sequential(*layers)

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, C, T), T a multiple of `hop_length`, to (B, D, N)."""
        refuse_state(state)
        check_multiple(wav.shape[-1], self.hop_length)
        return self.layers(rearrange(wav, "b c (n p) -> b (c p) n", p=self.patch))


@advance.register
def _(layer: TAAEEncoder, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    rest, inner = state or (x[..., :0], None)
    x, rest = multiple(torch.cat([rest, x], -1), layer.patch)
    y, inner = advance(layer.layers, rearrange(x, "b c (n p) -> b (c p) n", p=layer.patch), inner, final)
    return y, (rest, inner)


class TAAEDecoder(Stateful):
    """Latents (B, latent_dim, N) to a waveform (B, C, N * hop_length).

    The encoder's mirror: widths, depths and strides are the encoder's, first to last.
    """

    causal = False

    def __init__(
        self,
        widths: Sequence[int] = (1024, 1024),
        depths: Sequence[int] = (8, 20),
        strides: Sequence[int] = (1, 2),
        patch: int = 320,
        latent_dim: int = 6,
        channels: int = 1,
        head_dim: int = 128,
        window: Sequence[int] = (63, 64),
    ):
        super().__init__()
        self.patch, self.hop_length = patch, patch * math.prod(strides)
        layers: list[nn.Module] = [Conv1d(latent_dim, widths[-1], 3, weight_norm=True)]
        for after, width, depth, stride in reversed(_stages(widths, depths, strides)):
            up = ConvTranspose1d(width, after, 2 * stride, stride, weight_norm=True)
            transformer = Transformer(width, depth, head_dim, window)
            layers.append(Sequential(transformer, up if stride > 1 else nn.Identity()))
        layers.append(Conv1d(widths[0], channels * patch, 7, weight_norm=True, bias=False))
        self.layers = Sequential(*layers)

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, C, N * hop_length)."""
        refuse_state(state)
        x, _ = self.layers(z)
        return rearrange(x, "b (c p) n -> b c (n p)", p=self.patch), None


@advance.register
def _(layer: TAAEDecoder, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    y, state = advance(layer.layers, x, state, final)
    return rearrange(y, "b (c p) n -> b c (n p)", p=layer.patch), state


def _stages(
    widths: Sequence[int], depths: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    """Each stage's width outside its convolution and inside, depth, and stride, from the waveform inwards."""
    if not 0 < len(widths) == len(depths) == len(strides):
        found = f"widths are {widths}, depths {depths}, strides {strides}"
        raise ValueError(f"{found}; accepted: one of each for one or more stages")
    stages = list(zip((widths[0], *widths[:-1]), widths, depths, strides, strict=True))
    for outer, width, _, stride in stages:
        if stride == 1 and outer != width:
            raise ValueError(
                f"widths are {outer} and {width} at stride 1; accepted: two alike, it has no convolution"
            )
    return stages
