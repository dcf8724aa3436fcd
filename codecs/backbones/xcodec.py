"""X-codec's parts beside DAC's (https://arxiv.org/abs/2408.17175)."""

import math

from torch import Tensor, nn

from vocable.codecs.backbones.conv import Conv1d, Sequential, State, Stateful, refuse_state
from vocable.codecs.backbones.dac import init_weights, residual_units, upsampling
from vocable.codecs.backbones.lookahead import advance
from vocable.codecs.backbones.snake import Snake


class ELUUnit(nn.Module):
    """x + ELU, convolution of 3, ELU, pointwise convolution; (B, D, N) both ways."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv1 = nn.Conv1d(dim, dim, 3, padding=1, bias=False)
        self.conv2 = nn.Conv1d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(nn.functional.elu(self.conv1(nn.functional.elu(x))))


def semantic_adapter(dim: int, blocks: int = 2) -> nn.Sequential:
    """A convolution, then in each block two units and a convolution; (B, D, N) both ways."""
    layers: list[nn.Module] = [nn.Conv1d(dim, dim, 3, padding=1, bias=False)]
    for _ in range(blocks):
        layers.append(nn.Sequential(ELUUnit(dim), ELUUnit(dim), nn.Conv1d(dim, dim, 3, padding=1)))
    return nn.Sequential(*layers)


class XCodecDecoder(Stateful):
    """Latents (B, quantizer_dim, N) to a waveform (B, 1, N * hop_length), not bounded; not causal.

    A linear layer to (B, latent_dim, N), then DAC's decoder without its tanh.
    """

    causal = False

    def __init__(
        self,
        quantizer_dim: int = 1024,
        dim: int = 1024,
        strides: tuple[int, ...] = (8, 5, 4, 2),
        latent_dim: int = 256,
    ):
        super().__init__()
        self.hop_length = math.prod(strides)
        layers: list[nn.Module] = [Conv1d(latent_dim, dim, 7, weight_norm=True)]
        for stride in strides:
            layers.append(Sequential(*upsampling(dim, stride), *residual_units(dim // 2, causal=False)))
            dim //= 2
        self.layers = Sequential(*layers, Snake(dim), Conv1d(dim, 1, 7, weight_norm=True))
        init_weights(self)
        self.inp = nn.Linear(quantizer_dim, latent_dim)

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, 1, N * hop_length)."""
        refuse_state(state)
        return self.layers(self.inp(z.transpose(1, 2)).transpose(1, 2))


@advance.register
def _(layer: XCodecDecoder, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    return advance(layer.layers, layer.inp(x.transpose(1, 2)).transpose(1, 2), state, final)
