"""Tiles: the same numbers, fewer at a time."""

import torch

from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, Sequential, State, Stateful
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
