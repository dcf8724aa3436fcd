"""LSTM layers that are one operation of a graph: torch's own would be unrolled, a graph for each length."""

import torch
from torch import Tensor, nn

Pair = tuple[Tensor, Tensor]


@torch.library.custom_op("vocable::lstm", mutates_args=())
def recur(
    x: Tensor, h: Tensor, c: Tensor, weights: list[Tensor], both: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What LSTM layers give of x (N, B, D), and the state after it; before: h, c (layers * directions, B, H).

    weights: the layers' own, four for each layer and direction in the order of `nn.LSTM`. both: directions.
    A program that holds it (`torch.export`) is loaded again after `import vocable.codecs.backbones.lstm`.
    """
    return torch.lstm(x, (h, c), weights, True, len(weights) // (8 if both else 4), 0.0, False, both, False)


@recur.register_fake
def _(x: Tensor, h: Tensor, c: Tensor, weights: list[Tensor], both: bool) -> tuple[Tensor, Tensor, Tensor]:
    y = x.new_empty(x.shape[0], x.shape[1], h.shape[2] * (2 if both else 1))
    return y, torch.empty_like(h), torch.empty_like(c)


class Recurrence(nn.RNNBase):
    """`nn.LSTM` of equal width in and out, which `torch.compile` refuses, by another name.

    x (N, B, dim) and state (h, c), each (layers * directions, B, dim) or None, to the same of what follows.
    """

    def __init__(self, dim: int, layers: int, bidirectional: bool) -> None:
        super().__init__("LSTM", dim, dim, layers, bidirectional=bidirectional)

    def forward(self, x: Tensor, state: Pair | None = None) -> tuple[Tensor, Pair]:  # type: ignore[override]
        weights: list[Tensor] = [weight for layer in self.all_weights for weight in layer]
        both = self.bidirectional
        if state is None:
            shape = (self.num_layers * (2 if both else 1), x.shape[1], self.hidden_size)
            state = x.new_zeros(shape), x.new_zeros(shape)
        if torch.compiler.is_compiling() and not torch.is_grad_enabled():
            y, h, c = recur(x, *state, weights, both)
        else:
            y, h, c = _plainly(self, x, state, weights)
        return y, (h, c)


@torch.compiler.disable()  # in training: unrolling it would take longer than what it saves
def _plainly(rnn: nn.RNNBase, x: Tensor, state: Pair, weights: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.lstm(x, state, weights, True, rnn.num_layers, 0.0, rnn.training, rnn.bidirectional, False)
