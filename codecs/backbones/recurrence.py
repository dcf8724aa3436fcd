"""An LSTM as one operation of a graph: torch's own would be unrolled, a graph for each length."""

import torch
from torch import Tensor, nn


@torch.library.custom_op("vocable::lstm", mutates_args=())
def recur(
    x: Tensor, h: Tensor, c: Tensor, weights: list[Tensor], both: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """What an LSTM gives of x (N, B, D), and its state after it; h, c (layers * directions, B, H): before.

    weights: the layers' own, four for each layer and direction in the order of `nn.LSTM`. both: directions.
    A program that holds it (`torch.export`) is loaded again after `import vocable.codecs`.
    """
    layers = len(weights) // (8 if both else 4)
    return torch.lstm(x, (h, c), weights, True, layers, 0.0, False, both, False)


@recur.register_fake
def _(x: Tensor, h: Tensor, c: Tensor, weights: list[Tensor], both: bool) -> tuple[Tensor, Tensor, Tensor]:
    y = x.new_empty(x.shape[0], x.shape[1], h.shape[2] * (2 if both else 1))
    return y, torch.empty_like(h), torch.empty_like(c)


def recurrence(
    lstm: nn.LSTM, x: Tensor, state: tuple[Tensor, ...] | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What `lstm(x, state)` gives, in a graph as one operation, unless it is to be trained."""
    if not torch.compiler.is_compiling() or torch.is_grad_enabled():
        return lstm(x, state)
    weights = [weight for layer in lstm.all_weights for weight in layer]
    directions = 2 if lstm.bidirectional else 1
    blank = x.new_zeros(lstm.num_layers * directions, x.shape[1], lstm.hidden_size)
    h, c = (blank, blank.clone()) if state is None else state
    y, h, c = recur(x, h, c, weights, lstm.bidirectional)
    return y, (h, c)
