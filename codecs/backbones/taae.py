"""TAAE, the transformer autoencoder of Stable Codec (https://arxiv.org/abs/2411.19842)."""

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, Sequential, State, Stateful, refuse_state
from vocable.codecs.backbones.local import Transformer
from vocable.codecs.backbones.lookahead import advance
from vocable.codecs.backbones.padding import check_multiple
from vocable.codecs.backbones.pieces import multiple


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
