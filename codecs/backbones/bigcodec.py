"""BigCodec's convolutional encoder and decoder (https://arxiv.org/abs/2409.05377)."""

import math

from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.antialias import AntiAliasedSnake
from vocable.codecs.backbones.conv import (
    Conv1d,
    ConvTranspose1d,
    Residual,
    Sequential,
    State,
    Stateful,
    refuse_state,
)
from vocable.codecs.backbones.dac import TILE, init_weights
from vocable.codecs.backbones.lstm import LSTM
from vocable.codecs.backbones.pieces import by_layers, ways
from vocable.codecs.backbones.tiles import in_tiles


def residual_units(dim: int) -> list[nn.Module]:
    """DAC's three residual units, at dilations 1, 3 and 9, with the activation that does not alias."""
    return [
        Residual(
            Sequential(
                AntiAliasedSnake(dim),
                Conv1d(dim, dim, 7, dilation=dilation, weight_norm=True),
                AntiAliasedSnake(dim),
                Conv1d(dim, dim, 1, weight_norm=True),
            )
        )
        for dilation in (1, 3, 9)
    ]


class BigCodecEncoder(Stateful):
    """Waveform (B, 1, T) to latents (B, latent_dim, T / hop_length), not causal.

    dim: channels after the first layer, doubled at every stride.
    strides: down-sampling factors, first to last; their product is `hop_length`.
    lstm_layers: before the last convolution; 0 for none, as in X-codec2.
    """

    causal = False

    def __init__(
        self,
        dim: int = 48,
        strides: tuple[int, ...] = (2, 2, 2, 5, 5),
        latent_dim: int = 1024,
        lstm_layers: int = 2,
    ):
        super().__init__()
        self.hop_length = math.prod(strides)
        layers: list[nn.Module] = [Conv1d(1, dim, 7, weight_norm=True)]
        for stride in strides:
            down = Conv1d(dim, 2 * dim, 2 * stride, stride, weight_norm=True)
            layers.append(Sequential(*residual_units(dim), AntiAliasedSnake(dim), down))
            dim *= 2
        layers += [LSTM(dim, lstm_layers)] if lstm_layers else []
        layers += [AntiAliasedSnake(dim), Conv1d(dim, latent_dim, 3, weight_norm=True)]
        self.layers = Sequential(*layers)
        init_weights(self)

    def pad(self, wav: Tensor) -> Tensor:
        """Zeros after (..., T), 1 to `hop_length`: the published code adds a frame to one that is whole."""
        return F.pad(wav, (0, self.hop_length - wav.shape[-1] % self.hop_length))

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, 1, T) to (B, D, N)."""
        refuse_state(state)
        return in_tiles(self.layers, wav, None, TILE * self.hop_length)


class BigCodecDecoder(Stateful):
    """Latents (B, latent_dim, N) to a waveform (B, 1, N * hop_length) in [-1, 1], not causal.

    dim: channels after the first layer, halved at every stride.
    strides: up-sampling factors, first to last; their product is `hop_length`.
    """

    causal = False

    def __init__(
        self,
        dim: int = 1536,
        strides: tuple[int, ...] = (5, 5, 2, 2, 2),
        latent_dim: int = 1024,
        lstm_layers: int = 2,
    ):
        super().__init__()
        self.hop_length = math.prod(strides)
        layers: list[nn.Module] = [Conv1d(latent_dim, dim, 7, weight_norm=True), LSTM(dim, lstm_layers)]
        for stride in strides:
            up = ConvTranspose1d(dim, dim // 2, 2 * stride, stride, weight_norm=True)
            layers.append(Sequential(AntiAliasedSnake(dim), up, *residual_units(dim // 2)))
            dim //= 2
        layers += [AntiAliasedSnake(dim), Conv1d(dim, 1, 7, weight_norm=True), nn.Tanh()]
        self.layers = Sequential(*layers)
        init_weights(self)

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, 1, N * hop_length)."""
        refuse_state(state)
        return in_tiles(self.layers, z, None, TILE)


ways.register(BigCodecEncoder, by_layers)
ways.register(BigCodecDecoder, by_layers)
