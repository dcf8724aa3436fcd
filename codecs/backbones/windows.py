"""Layers in which everything depends on everything, over a long signal: window after window.

Attention and norms over all time make work grow with the square of a signal, and memory with its length.
Up to a stated length they have the whole signal, as published; a longer one is worked on in windows of that
length, which share a part with their neighbours and fade into each other there. That is another result than
the whole signal's, close to it, and the same however the signal comes.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.pieces import Pieces, go_on

OVERLAP = 512  # frames: what a frame of the middle of them is told by its own window reaches 256 to each side


def overlapping(pieces: Pieces, size: int, shared: int) -> Iterator[tuple[Tensor, bool]]:
    """Windows of `size` steps that have `shared` in common, until they cover all; the last is shorter."""
    held: Tensor | None = None
    for x, final in pieces:
        held = x if held is None else torch.cat([held, x], -1)
        while held.shape[-1] > size:
            yield held[..., :size], False
            held = held[..., size - shared :]
        if final:
            yield held, True


def in_windows(layer: nn.Module, pieces: Pieces, size: int, shared: int) -> Pieces:
    """`layer` over windows of its input's steps; where they overlap, one fades into the next."""
    tail: Tensor | None = None
    for x, final in overlapping(pieces, size, shared):
        y = layer(x)[0]
        common = y.shape[-1] * shared // x.shape[-1]
        if tail is not None:
            rise = torch.linspace(0, 1, common + 2, device=y.device)[1:-1]
            y = torch.cat([tail + (y[..., :common] - tail) * rise, y[..., common:]], -1)
        if final:
            yield y, True
        else:
            tail = y[..., y.shape[-1] - common :].clone()
            yield y[..., : y.shape[-1] - common], False


def by_window(layer: Any, pieces: Pieces, steps: int = 1) -> Pieces:
    """The way of a class that has a `window`, frames of so many steps of its input each, or None."""
    if layer.window is None:
        return go_on(layer, pieces)
    if layer.window <= OVERLAP:
        raise ValueError(
            f"window is {layer.window}; accepted: more than {OVERLAP} frames, the overlap, or None"
        )
    return in_windows(layer, pieces, layer.window * steps, OVERLAP * steps)
