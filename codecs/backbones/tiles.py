"""Layers over long signals, piece after piece, so that what they compute stays in the cache."""

import torch
from torch import Tensor

from vocable.codecs.backbones.conv import State, Stateful, refuse_state
from vocable.codecs.backbones.lookahead import advance


def in_tiles(layer: Stateful, x: Tensor, state: State, length: int) -> tuple[Tensor, State]:
    """What `layer(x, state)` gives, computed from `length` steps of x (B, C, T) at a time.

    Only where it helps: on a CPU, without gradient. Memory no longer grows with the signal. Never in a graph,
    which has no loop.
    """
    if torch.compiler.is_compiling():
        return layer(x, state)
    if x.shape[-1] <= length or x.device.type != "cpu" or torch.is_grad_enabled():
        return layer(x, state)
    tiles, parts = x.split(length, dim=-1), []
    if not layer.causal:
        refuse_state(state)
    for i, tile in enumerate(tiles):
        y, state = layer(tile, state) if layer.causal else advance(layer, tile, state, i + 1 == len(tiles))
        parts.append(y)
    return torch.cat(parts, dim=-1), state if layer.causal else None
