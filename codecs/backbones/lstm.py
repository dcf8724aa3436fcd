"""LSTM over frames, as in the middle of EnCodec (https://arxiv.org/abs/2210.13438)."""

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vocable.codecs.backbones.conv import State, Stateful, refuse_state
from vocable.codecs.backbones.pieces import Pieces, go_on, ways
from vocable.codecs.backbones.recurrence import Recurrence
from vocable.codecs.backbones.spool import Spool, kept


class LSTM(Stateful):
    """x + LSTM(x), (B, dim, N) -> (B, dim, N).

    bidirectional: (B, 2 * dim, N), the two directions side by side, x added to each; not causal.
    """

    def __init__(self, dim: int, layers: int = 2, bidirectional: bool = False):
        super().__init__()
        self.lstm = Recurrence(dim, layers, bidirectional)
        self.causal, self.needs_whole = not bidirectional, bidirectional

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """x (B, dim, N); state (h, c), each (B, layers, dim)."""
        if not self.causal:
            refuse_state(state)
        x = x.permute(2, 0, 1)
        before = None if state is None else tuple(part.transpose(0, 1).contiguous() for part in state)
        y, after = self.lstm(x, before)
        skip = x if self.causal else torch.cat([x, x], -1)
        return (y + skip).permute(1, 2, 0), [part.transpose(0, 1) for part in after] if self.causal else None


@ways.register
def _(layer: LSTM, pieces: Pieces) -> Pieces:
    """Of both directions, the second runs from the signal's end: pieces wait for it in a `Spool`."""
    if layer.causal:
        yield from go_on(layer, pieces)
        return
    first, final = next(pieces)
    if final:
        yield layer(first)[0], True
        return
    given = kept(x.permute(2, 0, 1) for x, _ in chain([(first, final)], pieces) if x.shape[-1])
    inputs, last = given, layer.lstm.num_layers - 1
    for i in range(last):
        inputs = kept(_both_ways(layer.lstm, i, inputs))
    for i, (x, y) in enumerate(zip(given, _both_ways(layer.lstm, last, inputs), strict=True)):
        yield (y + torch.cat([x, x], -1)).permute(1, 2, 0), i + 1 == len(given)


def _both_ways(lstm: Recurrence, i: int, given: Spool) -> Iterator[Tensor]:
    """What layer i gives, pieces (n, B, 2 dim) of the pieces (n, B, D) before it."""
    behind, state = Spool(), None
    for x in reversed(given):
        y, state = _one_way(lstm, f"_l{i}_reverse", x.flip(0), state)
        behind.append(y.flip(0))
    state = None
    for x, y in zip(given, reversed(behind), strict=True):
        ahead, state = _one_way(lstm, f"_l{i}", x, state)
        yield torch.cat([ahead, y], -1)


def _one_way(lstm: Recurrence, suffix: str, x: Tensor, state: State) -> tuple[Tensor, State]:
    """One layer in one direction of x (n, B, D)."""
    single = nn.LSTM(x.shape[-1], lstm.hidden_size, device="meta")
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    weights = {f"{name}_l0": getattr(lstm, name + suffix) for name in names}
    return functional_call(single, weights, (x, state))
