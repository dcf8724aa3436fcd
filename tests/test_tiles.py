"""Tiles: the same numbers, fewer at a time."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocable.codecs.backbones.bigcodec import BigCodecDecoder, BigCodecEncoder
from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, Sequential, State, Stateful
from vocable.codecs.backbones.dac import DACDecoder, DACEncoder
from vocable.codecs.backbones.lstm import LSTM
from vocable.codecs.backbones.resnet import ResnetBlock
from vocable.codecs.backbones.seanet import Layers, SEANetDecoder, SEANetEncoder
from vocable.codecs.backbones.tiles import in_tiles


class Counted(Stateful):
    """How long the pieces are that a layer is given."""

    def __init__(self, layer: Stateful):
        super().__init__()
        self.layer, self.causal = layer, True
        self.lengths: list[int] = []

    def forward(self, x: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State]:
        self.lengths.append(x.shape[-1])
        return self.layer(x, state)


def test_tiles_are_the_whole_and_hand_the_state_on() -> None:
    torch.manual_seed(0)
    down, up = Conv1d(2, 3, 5, 2, causal=True), ConvTranspose1d(3, 2, 4, 2, causal=True)
    layer = Counted(Sequential(down, up)).double()
    x = torch.randn(2, 2, 46, dtype=torch.float64)
    with torch.no_grad():
        whole = layer.layer(x)[0]
        first, state = in_tiles(layer, x[..., :26], None, 10)
        rest, _ = in_tiles(layer, x[..., 26:], state, 10)
    assert layer.lengths == [10, 10, 6, 10, 10]
    torch.testing.assert_close(torch.cat([first, rest], -1), whole, rtol=0, atol=1e-12)
    in_tiles(layer, x, None, 10)
    assert layer.lengths[-1] == 46  # with gradient, whole


MIRRORED = Layers(dilation_base=3, residual=2)
PARTS: dict[str, Callable[[], Stateful]] = {
    "DAC's encoder": lambda: DACEncoder(2, (2, 3), 4).layers,
    "DAC's decoder": lambda: DACDecoder(8, (3, 2), 4).layers,
    "BigCodec's encoder": lambda: BigCodecEncoder(2, (2, 5), 4, lstm_layers=1).layers,
    "BigCodec's decoder": lambda: BigCodecDecoder(8, (5, 2), 4, lstm_layers=1).layers,
    "SEANet's encoder": lambda: SEANetEncoder(2, (2, 5), 4, lstm=1, layers=MIRRORED).layers,
    "SEANet's decoder": lambda: SEANetDecoder(2, (5, 2), 4, lstm=1, layers=MIRRORED).layers,
    "a short transposed kernel": lambda: ConvTranspose1d(2, 3, 2, 2),
    "a long transposed kernel": lambda: ConvTranspose1d(2, 3, 11, 2),
    "no bias": lambda: Sequential(Conv1d(2, 3, 5, 2, bias=False), ConvTranspose1d(3, 2, 5, 3, bias=False)),
    "replicated ends": lambda: Conv1d(2, 3, 9, 2, pad_mode="replicate"),
}


@pytest.mark.parametrize("name", PARTS)
@settings(max_examples=12, deadline=None)
@given(length=st.integers(1, 300), tile=st.integers(1, 90))
def test_layers_that_look_ahead_lose_nothing_between_tiles(name: str, length: int, tile: int) -> None:
    torch.manual_seed(0)
    layer = PARTS[name]().double()
    channels = next(part for part in layer.modules() if isinstance(part, Conv1d | ConvTranspose1d))
    x = torch.randn(2, channels.conv.in_channels, length, dtype=torch.float64)
    with torch.no_grad():
        whole, pieces = layer(x)[0], in_tiles(layer, x, None, tile)[0]
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-12 * float(whole.abs().max()))


@pytest.mark.parametrize(
    "layer",
    [
        Conv1d(64, 64, 3, norm=torch.nn.GroupNorm(1, 64)),
        ConvTranspose1d(64, 64, 4, 2, norm=torch.nn.GroupNorm(1, 64)),
        Sequential(Conv1d(64, 64, 3), ResnetBlock(64)),
        Sequential(Conv1d(64, 64, 3), LSTM(64, 1, bidirectional=True)),
    ],
)
def test_layers_that_need_the_whole_signal_are_refused(layer: Stateful) -> None:
    with torch.no_grad(), pytest.raises(ValueError, match="the whole signal; accepted"):
        in_tiles(layer, torch.zeros(1, 64, 9), None, 4)
