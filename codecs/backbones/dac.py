"""DAC's convolutional encoder and decoder (https://arxiv.org/abs/2306.06546)."""

import math

from torch import Tensor, nn

from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, Residual, Sequential, State, Stateful
from vocable.codecs.backbones.pieces import by_layers, ways
from vocable.codecs.backbones.snake import Snake
from vocable.codecs.backbones.tiles import in_tiles

TILE = 256  # frames that are worked on together: a few seconds


def residual_unit(dim: int, wide: Conv1d) -> Residual:
    """Snake, `wide`, Snake, pointwise convolution; added to the input (B, dim, T)."""
    pointwise = Conv1d(dim, dim, 1, causal=wide.causal, weight_norm=True)
    return Residual(Sequential(Snake(dim), wide, Snake(dim), pointwise))


def residual_units(dim: int, causal: bool) -> list[nn.Module]:
    """Three in a row, with convolutions of 7 at dilations 1, 3 and 9."""
    wide = [Conv1d(dim, dim, 7, dilation=d, causal=causal, weight_norm=True) for d in (1, 3, 9)]
    return [residual_unit(dim, conv) for conv in wide]


def downsampling(dim: int, stride: int, causal: bool = False) -> list[nn.Module]:
    """Snake and convolution (B, dim, T) -> (B, 2 * dim, T / stride)."""
    return [Snake(dim), Conv1d(dim, 2 * dim, 2 * stride, stride, causal=causal, weight_norm=True)]


def upsampling(dim: int, stride: int, causal: bool = False) -> list[nn.Module]:
    """Snake and transposed convolution (B, dim, T) -> (B, dim / 2, T * stride)."""
    return [Snake(dim), ConvTranspose1d(dim, dim // 2, 2 * stride, stride, causal=causal, weight_norm=True)]


class DACEncoder(Stateful):
    """Waveform (B, C, T) to latents (B, latent_dim, T / hop_length).

    dim: channels after the first layer, doubled at every stride.
    strides: down-sampling factors, first to last; their product is `hop_length`.
    """

    def __init__(
        self,
        dim: int = 64,
        strides: tuple[int, ...] = (2, 4, 5, 8),
        latent_dim: int = 1024,
        channels: int = 1,
        causal: bool = False,
    ):
        super().__init__()
        self.hop_length = math.prod(strides)
        self.causal = causal
        layers: list[nn.Module] = [Conv1d(channels, dim, 7, causal=causal, weight_norm=True)]
        for stride in strides:
            layers.append(Sequential(*residual_units(dim, causal), *downsampling(dim, stride, causal)))
            dim *= 2
        layers += [Snake(dim), Conv1d(dim, latent_dim, 3, causal=causal, weight_norm=True)]
        self.layers = Sequential(*layers)
        init_weights(self)

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, C, T), T a multiple of `hop_length`, to (B, D, N)."""
        return in_tiles(self.layers, wav, state, TILE * self.hop_length)


class DACDecoder(Stateful):
    """Latents (B, latent_dim, N) to a waveform (B, C, N * hop_length) in [-1, 1].

    dim: channels after the first layer, halved at every stride.
    strides: up-sampling factors, first to last; their product is `hop_length`.
    """

    def __init__(
        self,
        dim: int = 1536,
        strides: tuple[int, ...] = (8, 5, 4, 2),
        latent_dim: int = 1024,
        channels: int = 1,
        causal: bool = False,
    ):
        super().__init__()
        self.hop_length = math.prod(strides)
        self.causal = causal
        layers: list[nn.Module] = [Conv1d(latent_dim, dim, 7, causal=causal, weight_norm=True)]
        for stride in strides:
            layers.append(Sequential(*upsampling(dim, stride, causal), *residual_units(dim // 2, causal)))
            dim //= 2
        layers += [Snake(dim), Conv1d(dim, channels, 7, causal=causal, weight_norm=True), nn.Tanh()]
        self.layers = Sequential(*layers)
        init_weights(self)

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, C, N * hop_length)."""
        return in_tiles(self.layers, z, state, TILE)


ways.register(DACEncoder, by_layers)
ways.register(DACDecoder, by_layers)


def init_weights(module: nn.Module) -> None:
    """DAC's initialisation: convolution weights from a truncated normal of 0.02, biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Conv1d):
            weight = part.weight.clone()
            nn.init.trunc_normal_(weight, std=0.02)
            part.weight = weight  # through the parametrization, which splits it into norm and direction
            if part.bias is not None:
                nn.init.zeros_(part.bias)
