"""SEANet's encoder and decoder, as in EnCodec (https://arxiv.org/abs/2210.13438) and the codecs after it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, Sequential, State, Stateful
from vocable.codecs.backbones.lookahead import advance
from vocable.codecs.backbones.lstm import LSTM
from vocable.codecs.backbones.pieces import by_layers, ways
from vocable.codecs.backbones.tiles import in_tiles

TILE = 256  # frames that are worked on together: a few seconds
NORMS = ("weight", "group", "none")


def elu(channels: int) -> nn.Module:
    """ELU, whatever the channels."""
    return nn.ELU()


@dataclass(frozen=True)
class Layers:
    """What a SEANet's layers have in common; the defaults are EnCodec's at 24 kHz, but for `causal`.

    norm: "weight" (weight norm), "group" (all channels as one group, over all time) or "none".
    activation: makes one from the number of its channels.
    residual: residual units before each change of rate; dilation_base: each is dilated so much more.
    residual_kernel: of the dilated convolution in each.
    true_skip: their skip connection is the input itself, not a convolution of it.
    """

    causal: bool = False
    norm: str = "weight"
    pad_mode: str = "reflect"
    activation: Callable[[int], nn.Module] = elu
    residual: int = 1
    dilation_base: int = 2
    residual_kernel: int = 3
    true_skip: bool = False

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"norm is {self.norm!r}; accepted: {NORMS}")
        if self.norm == "group" and self.causal:
            raise ValueError(
                "norm is 'group' in a causal SEANet, but looks ahead; accepted: 'weight', 'none'"
            )

    def conv(self, inp: int, out: int, kernel: int, stride: int = 1, dilation: int = 1) -> Conv1d:
        """A convolution, its norm with it."""
        return Conv1d(
            inp,
            out,
            kernel,
            stride,
            dilation,
            causal=self.causal,
            weight_norm=self.norm == "weight",
            pad_mode=self.pad_mode,
            norm=self._norm(out),
        )

    def up(self, inp: int, out: int, stride: int) -> ConvTranspose1d:
        """A transposed convolution of twice the stride, its norm with it."""
        return ConvTranspose1d(
            inp,
            out,
            2 * stride,
            stride,
            causal=self.causal,
            weight_norm=self.norm == "weight",
            norm=self._norm(out),
        )

    def act(self, channels: int, overwrite: bool = True) -> nn.Module:
        """An activation; overwrite: nothing else reads its input, whose memory it may take."""
        made = self.activation(channels)
        if isinstance(made, nn.ELU):
            made.inplace = overwrite
        return made

    def units(self, dim: int) -> list[nn.Module]:
        """The residual units at one rate."""
        return [ResidualUnit(dim, self, self.dilation_base**i) for i in range(self.residual)]

    def mirrored(self, kernel: int) -> int:
        """The steps that a causal layer of this kernel must have before it can mirror the signal's start."""
        return kernel if self.pad_mode == "reflect" else 1

    def _norm(self, channels: int) -> nn.Module | None:
        return nn.GroupNorm(1, channels) if self.norm == "group" else None


class ResidualUnit(Stateful):
    """Two convolutions over a skip: a dilated one to half the channels, and a pointwise one back."""

    def __init__(self, dim: int, layers: Layers, dilation: int):
        super().__init__()
        self.block = Sequential(
            layers.act(dim, overwrite=False),
            layers.conv(dim, dim // 2, layers.residual_kernel, dilation=dilation),
            layers.act(dim // 2),
            layers.conv(dim // 2, dim, 1),
        )
        self.shortcut = None if layers.true_skip else layers.conv(dim, dim, 1)
        self.causal = layers.causal

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        y, state = self.block(x, state)
        skip = x if self.shortcut is None else self.shortcut(x)[0]  # a kernel of 1 keeps no state
        return skip + y, state


@advance.register
def _(layer: ResidualUnit, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    waiting, inner = (x[..., :0], None) if state is None else state
    y, inner = advance(layer.block, x, inner, final)
    known, waiting = torch.cat([waiting, x], -1).tensor_split([y.shape[-1]], dim=-1)
    if layer.shortcut is not None and known.shape[-1]:
        known = layer.shortcut.convolve(known)
    return y + known, (waiting.clone(), inner)


class SEANetEncoder(Stateful):
    """Waveform (B, channels, T), any T, to latents (B, latent_dim, ceil(T / hop_length)).

    dim: channels after the first layer, doubled at every stride.
    strides: down-sampling factors, first to last (a published list of ratios backwards).
    lstm: LSTM layers before the last convolution, 0 for none; bidirectional: theirs.
    """

    def __init__(
        self,
        dim: int = 32,
        strides: tuple[int, ...] = (2, 4, 5, 8),
        latent_dim: int = 128,
        channels: int = 1,
        lstm: int = 2,
        bidirectional: bool = False,
        last_kernel: int = 7,
        layers: Layers | None = None,
    ):
        super().__init__()
        make = layers or Layers()
        parts: list[nn.Module] = [make.conv(channels, dim, 7)]
        for stride in strides:
            parts += make.units(dim)
            parts += [make.act(dim), make.conv(dim, 2 * dim, 2 * stride, stride)]
            dim *= 2
        if lstm:
            parts.append(LSTM(dim, lstm, bidirectional))
            dim *= 2 if bidirectional else 1
        parts += [make.act(dim), make.conv(dim, latent_dim, last_kernel)]
        self.layers = Sequential(*parts)
        self.hop_length = math.prod(strides)
        self.causal = self.layers.causal
        self.first_frames = make.mirrored(last_kernel)
        self.tileable = make.norm != "group" and not (lstm and bidirectional)

    def pad(self, wav: Tensor) -> Tensor:
        """`wav` as it is: each layer pads what it gets."""
        return wav

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, C, T) to (B, D, N); with pad_mode "reflect" the first chunk can't be very short."""
        if not self.tileable:
            return self.layers(wav, state)
        return in_tiles(self.layers, wav, state, TILE * self.hop_length)


class SEANetDecoder(Stateful):
    """Latents (B, latent_dim, N) to a waveform (B, channels, N * hop_length).

    dim: channels before the last layer, doubled at every stride before it.
    strides: up-sampling factors, first to last.
    lstm: LSTM layers after the first convolution, 0 for none.
    """

    def __init__(
        self,
        dim: int = 32,
        strides: tuple[int, ...] = (8, 5, 4, 2),
        latent_dim: int = 128,
        channels: int = 1,
        lstm: int = 2,
        last_kernel: int = 7,
        layers: Layers | None = None,
    ):
        super().__init__()
        make = layers or Layers()
        wide = dim * 2 ** len(strides)
        parts: list[nn.Module] = [make.conv(latent_dim, wide, 7)]
        if lstm:
            parts.append(LSTM(wide, lstm))
        for stride in strides:
            parts += [make.act(wide), make.up(wide, wide // 2, stride)]
            wide //= 2
            parts += make.units(wide)
        parts += [make.act(wide), make.conv(wide, channels, last_kernel)]
        self.layers = Sequential(*parts)
        self.hop_length = math.prod(strides)
        self.causal = self.layers.causal
        self.first_frames = make.mirrored(7)
        self.tileable = make.norm != "group"

    def forward(self, z: Tensor, state: State = None) -> tuple[Tensor, State]:
        """z (B, D, N) to (B, C, N * hop_length)."""
        if not self.tileable:
            return self.layers(z, state)
        return in_tiles(self.layers, z, state, TILE)


ways.register(SEANetEncoder, by_layers)
ways.register(SEANetDecoder, by_layers)
