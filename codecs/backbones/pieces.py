"""Encoders and decoders over a signal that comes piece after piece, in memory that does not grow with it."""

from collections.abc import Iterator
from functools import singledispatch
from itertools import chain, groupby
from typing import Any

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import Sequential, Stateful
from vocable.codecs.backbones.lookahead import advance, goes_on

SAMPLES = 2**16  # of a piece, about: some seconds, with which the activations of wide layers stay small
MULTIPLE = 32  # frames: a piece holds whole windows of attention, whichever codec's
Pieces = Iterator[tuple[Tensor, bool]]  # each (B, C, T), T of 0 or more, and whether it is the last


class Tiles:
    """A signal x (..., T) that is in memory, in pieces of `size`; it can be gone through again."""

    def __init__(self, x: Tensor, size: int) -> None:
        self.x, self.size = x, size

    def __iter__(self) -> Pieces:
        parts = self.x.split(self.size, -1)
        return ((part, i + 1 == len(parts)) for i, part in enumerate(parts))


def frames_at_once(hop_length: int, device: torch.device) -> int:
    """The frames of a piece: as many as suit the cache of a CPU, and more on a device that gains by it."""
    samples = SAMPLES if device.type == "cpu" else 16 * SAMPLES
    return max(1, samples // hop_length // MULTIPLE) * MULTIPLE


def through(layer: nn.Module, pieces: Pieces) -> Pieces:
    """What `layer(x)` gives, piece by piece, for an x (B, C, T) that comes in pieces.

    Exactly so, up to rounding; a layer that is neither causal nor known here or to `advance` gets all of x.
    """
    first, final = next(pieces)
    if final and getattr(layer, "window", None) is None:  # see `windows`
        yield layer(first)[0], True
        return
    way = ways if has_way(layer) else go_on
    yield from way(layer, chain([(first, final)], pieces))


def has_way(layer: nn.Module) -> bool:
    """Whether its class is one of `ways`; one that is derived from these and does more needs its own."""
    known = next(cls for cls in type(layer).__mro__ if cls in ways.registry)
    return type(layer).forward is getattr(known, "forward", None)


def go_on(layer: nn.Module, pieces: Pieces) -> Pieces:
    """By `advance`, or else by the layer itself, of all of x."""
    first, final = next(pieces)
    if final or not goes_on(layer):
        rest = [x for x, _ in pieces]
        yield layer(torch.cat([first, *rest], -1) if rest else first)[0], True
        return
    y, state = advance(layer, first, None, False)
    yield y, False
    for x, final in pieces:
        y, state = advance(layer, x, state, final)
        yield y, final


@singledispatch
def ways(layer: nn.Module, pieces: Pieces) -> Pieces:
    """How a class of layers works on pieces, where `go_on` is not all."""
    return go_on(layer, pieces)


@ways.register
def _(layer: Sequential, pieces: Pieces) -> Pieces:
    for known, parts in groupby(layer.layers, goes_on):
        if known:
            pieces = go_on(Sequential(*parts), pieces)
        else:
            for part in parts:
                pieces = (
                    through(part, pieces) if isinstance(part, Stateful) else go_on(Sequential(part), pieces)
                )
    return pieces


def by_layers(layer: Any, pieces: Pieces) -> Pieces:
    """The way of a class whose forward is that of its `layers`, but where it is causal."""
    return go_on(layer, pieces) if layer.causal else through(layer.layers, pieces)


def multiple(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """x (..., T) split after as many whole `size` as it holds; the rest is a copy."""
    end = x.shape[-1] // size * size
    return x[..., :end], x[..., end:].clone()


def regroup(pieces: Pieces, size: int) -> Pieces:
    """The same signal in pieces of `size`, of which the last may be shorter."""
    held: list[Tensor] = []
    for x, final in pieces:
        held.append(x)
        if final or sum(part.shape[-1] for part in held) > size:
            joined = torch.cat(held, -1) if len(held) > 1 else held[0]
            *whole, rest = joined.split(size, -1)
            yield from ((part, False) for part in whole)
            held = [rest.clone()]
            if final:
                yield rest, True
