"""SNAC's encoder and decoder: DAC's with depthwise convolutions, windowed attention and noise.

https://arxiv.org/abs/2410.14411; sizes and order as in https://github.com/hubertsiuzdak/snac.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.conv import Conv1d, Sequential, State, Stateful, refuse_state
from vocable.codecs.backbones.dac import downsampling, residual_unit, upsampling
from vocable.codecs.backbones.depthwise import DepthwiseConv1d
from vocable.codecs.backbones.lookahead import advance
from vocable.codecs.backbones.noise import gaussian
from vocable.codecs.backbones.pieces import by_layers, multiple, ways
from vocable.codecs.backbones.rope import rotary, rotate_halves
from vocable.codecs.backbones.snake import Snake

HEAD_DIM = 64


class WindowAttention(nn.Module):
    """x + attention within each `window` of x (B, D, T), D a multiple of 64; the last one may be shorter."""

    def __init__(self, dim: int, window: int = 32) -> None:
        super().__init__()
        if dim < HEAD_DIM or dim % HEAD_DIM:
            raise ValueError(f"dim is {dim}; accepted: multiples of {HEAD_DIM}, the width of a head")
        self.window = window
        self.norm = nn.LayerNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.to_out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.to_qkv(self.norm(x.transpose(1, 2)))
        whole = x.shape[-1] // self.window * self.window
        sizes = ((qkv[:, :whole], self.window), (qkv[:, whole:], x.shape[-1] - whole))
        parts = [self._attend(part, size) for part, size in sizes if part.shape[1]]
        return x + self.to_out(torch.cat(parts, dim=1)).transpose(1, 2)

    def _attend(self, qkv: Tensor, size: int) -> Tensor:
        """Projections (B, T, 3 D) of windows of one size to (B, T, D)."""
        heads = rearrange(qkv, "b (w n) (three h d) -> three (b w) h n d", three=3, n=size, d=HEAD_DIM)
        cos, sin = rotary(torch.arange(size, device=qkv.device), HEAD_DIM)
        q, k = (rotate_halves(part, cos, sin) for part in heads[:2])
        out = F.scaled_dot_product_attention(q, k, heads[2])
        return rearrange(out, "(b w) h n d -> b (w n) (h d)", b=qkv.shape[0])


@advance.register
def _(layer: WindowAttention, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    x = x if state is None else torch.cat([state, x], -1)
    whole, rest = (x, x[..., :0]) if final else multiple(x, layer.window)
    return (layer(whole) if whole.shape[-1] else whole), rest


class Noise(nn.Module):
    """x (B, C, T) plus noise, which is one signal for all channels, scaled by a linear map of x.

    seed: outside of training the noise is a function of it and of the sample's position, one for all items of
    a batch, on any device. None: from torch's global generator, one for each item, as in training.
    """

    def __init__(self, dim: int, seed: int | None = 0) -> None:
        super().__init__()
        self.linear = Conv1d(dim, dim, 1, weight_norm=True, bias=False)
        self.seed = seed

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """start: the position of the first sample."""
        return torch.addcmul(x, self._draw(x, start), self.linear(x)[0])

    def _draw(self, x: Tensor, start: int) -> Tensor:
        if self.training or self.seed is None:
            return torch.randn(len(x), 1, x.shape[-1], device=x.device, dtype=x.dtype)
        positions = torch.arange(start, start + x.shape[-1], device=x.device)
        return gaussian(positions, self.seed)[None, None].to(x.dtype)


@advance.register
def _(layer: Noise, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    start = state or 0
    return (layer(x, start) if x.shape[-1] else x), start + x.shape[-1]


def depthwise_units(dim: int) -> list[nn.Module]:
    """DAC's three residual units, with depthwise convolutions."""
    return [residual_unit(dim, DepthwiseConv1d(dim, 7, dilation)) for dilation in (1, 3, 9)]


class SNACEncoder(Stateful):
    """Waveform (B, 1, T) to latents (B, D, T / prod(strides)), of which `frame_stride` make a frame.

    dim: channels after the first layer, doubled at every stride; D is what the last gives.
    strides: down-sampling factors, first to last; hop_length = prod(strides) * frame_stride.
    window: latents that attend to each other, None for no attention.
    frame_stride: latents of one code of the coarsest level.
    """

    causal = False

    def __init__(
        self,
        dim: int = 48,
        strides: tuple[int, ...] = (2, 4, 8, 8),
        window: int | None = None,
        frame_stride: int = 4,
    ) -> None:
        super().__init__()
        self.hop_length = math.prod(strides) * frame_stride
        self.frame_stride = frame_stride
        self.whole = math.prod(strides) * math.lcm(frame_stride, window or 1)
        layers: list[nn.Module] = [Conv1d(1, dim, 7, weight_norm=True)]
        for stride in strides:
            layers.append(Sequential(*depthwise_units(dim), *downsampling(dim, stride)))
            dim *= 2
        attention = [WindowAttention(dim, window)] if window else []
        self.layers = Sequential(*layers, *attention, DepthwiseConv1d(dim, 7))

    def pad(self, wav: Tensor) -> Tensor:
        """Zeros after (..., T), up to whole frames and whole windows."""
        return F.pad(wav, (0, -wav.shape[-1] % self.whole))

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, 1, T), T a multiple of `hop_length`, to (B, D, N * frame_stride)."""
        refuse_state(state)
        return self.layers(wav)


@advance.register
def _(layer: SNACEncoder, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    rest, inner = state or (None, None)
    y, inner = advance(layer.layers, x, inner, final)
    y, rest = multiple(y if rest is None else torch.cat([rest, y], -1), layer.frame_stride)
    return y, (rest, inner)


class SNACDecoder(Stateful):
    """Latents (B, latent_dim, N * frame_stride) to a waveform (B, 1, N * hop_length) in [-1, 1].

    dim: channels after the first layers, halved at every stride.
    strides: up-sampling factors, first to last; hop_length = prod(strides) * frame_stride.
    window, frame_stride: as the encoder's. seed: of the noise, see `seed`.
    """

    causal = False

    def __init__(
        self,
        latent_dim: int = 768,
        dim: int = 1024,
        strides: tuple[int, ...] = (8, 8, 4, 2),
        window: int | None = None,
        frame_stride: int = 4,
        seed: int | None = 0,
    ) -> None:
        super().__init__()
        self.hop_length = math.prod(strides) * frame_stride
        layers: list[nn.Module] = [
            DepthwiseConv1d(latent_dim, 7),
            Conv1d(latent_dim, dim, 1, weight_norm=True),
        ]
        if window:
            layers.append(WindowAttention(dim, window))
        for stride in strides:
            up, dim = upsampling(dim, stride), dim // 2
            layers.append(Sequential(*up, Noise(dim), *depthwise_units(dim)))
        layers += [Snake(dim), Conv1d(dim, 1, 7, weight_norm=True), nn.Tanh()]
        self.layers = Sequential(*layers)
        self.seed = seed

    @property
    def seed(self) -> int | None:
        """Of the noise outside of training: decoding twice gives the same; None draws from torch's generator.

        >>> codec.decoder.seed = 7
        """
        return self._seed

    @seed.setter
    def seed(self, seed: int | None) -> None:
        self._seed = seed
        blocks = [part for part in self.modules() if isinstance(part, Noise)]
        for offset, block in enumerate(blocks):
            block.seed = None if seed is None else seed + offset

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N * frame_stride) to (B, 1, N * hop_length)."""
        refuse_state(state)
        return self.layers(z)


ways.register(SNACDecoder, by_layers)
