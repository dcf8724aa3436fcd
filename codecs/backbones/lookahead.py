"""Layers that look ahead, over a signal that comes piece after piece.

Each keeps the inputs that later outputs still need, and gives every output as soon as its inputs are there:
the pieces together are what the whole signal gives, and nothing is computed twice. What is kept is copied: a
view would keep the whole piece in memory, for every layer its own.
"""

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import Conv1d, ConvTranspose1d, Residual, Sequential, State
from vocable.codecs.backbones.padding import pad
from vocable.codecs.backbones.snake import Snake

CONTAINERS = (nn.Sequential, nn.ModuleList, Sequential, Residual)
SAMPLEWISE = (Snake, nn.ELU, nn.Tanh, nn.Identity)


@singledispatch
def advance(layer: nn.Module, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    """The outputs that the next piece x (B, C, T), T of 0 or more, makes known, and the state after it.

    state: None at the start of the signal. final: x is its end.
    ValueError for a layer that needs the whole signal.
    """
    if isinstance(layer, SAMPLEWISE):
        return layer(x), None
    if getattr(layer, "causal", False):
        return layer(x, state) if x.shape[-1] else (x, state)
    name = type(layer).__name__
    raise ValueError(f"a {name} needs the whole signal; accepted: convolutions, and what is causal")


@advance.register
def _(layer: Conv1d, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    _check_norm(layer.norm)
    # the inputs that are not used up, padded on the left once there are enough of them to mirror
    kept, begun = (x[..., :0], False) if state is None else state
    x = torch.cat([kept, x], -1)
    if not begun:
        if final:
            return layer(x)[0], None
        if layer.pad_mode == "reflect" and x.shape[-1] <= layer.left:
            return x.new_zeros(len(x), layer.conv.out_channels, 0), (x, False)
        x = pad(x, layer.left, 0, layer.pad_mode)
    if final:
        x = pad(x, 0, layer.right + -(x.shape[-1] - layer.left) % layer.stride, layer.pad_mode)
    span = layer.left + layer.stride + layer.right
    count = max(0, (x.shape[-1] - span) // layer.stride + 1)
    if not count:
        return x.new_zeros(len(x), layer.conv.out_channels, 0), (x, True)
    used = count * layer.stride
    return layer.convolve(x[..., : used - layer.stride + span]), (x[..., used:].clone(), True)


@advance.register
def _(layer: ConvTranspose1d, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    _check_norm(layer.norm)
    bias = x.new_zeros(1) if layer.conv.bias is None else layer.conv.bias
    # what earlier inputs add to the next outputs, without bias; outputs before the signal's start
    tail, early = (None, layer.left) if state is None else state
    end = x.shape[-1] * layer.stride
    y = layer.conv(x) if end else bias[:, None].expand(len(x), layer.conv.out_channels, layer.overlap)
    if tail is not None:
        y = torch.cat([y[..., : layer.overlap] + tail, y[..., layer.overlap :]], -1)
    known = y.shape[-1] - layer.right if final else end
    return y[..., min(early, known) : known], (y[..., end:] - bias[:, None], max(0, early - known))


@advance.register
def _(layer: Residual, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    waiting, inner = (x[..., :0], None) if state is None else state
    y, inner = advance(layer.layer, x, inner, final)
    skip = torch.cat([waiting, x], -1)
    return y + skip[..., : y.shape[-1]], (skip[..., y.shape[-1] :].clone(), inner)


@advance.register
def _(layer: Sequential, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    return advance(layer.layers, x, state, final)


@advance.register(nn.Sequential)
@advance.register(nn.ModuleList)
def _(layer: nn.Sequential | nn.ModuleList, x: Tensor, state: State, final: bool) -> tuple[Tensor, State]:
    after = []
    for part, before in zip(layer, state or [None] * len(layer), strict=True):
        x, before = advance(part, x, before, final)
        after.append(before)
    return x, after


def goes_on(layer: nn.Module) -> bool:
    """Whether `advance` can work on the layer: it is causal, or it is known, and so are all of its parts.

    A part that needs the whole signal, by how it was made, has an attribute `needs_whole` that is true.
    """
    if any(getattr(part, "needs_whole", False) for part in layer.modules()):
        return False
    if isinstance(layer, CONTAINERS):
        return all(map(goes_on, layer.children()))
    if getattr(layer, "causal", False) or isinstance(layer, SAMPLEWISE):
        return True
    known = next(cls for cls in type(layer).__mro__ if cls in advance.registry)
    # a class that is derived from a known one and has a forward of its own is another layer
    return known is not object and type(layer).forward is getattr(known, "forward", None)


def within(
    layer: nn.Module, reach: tuple[int, int], x: Tensor, state: State, final: bool, dim: int = -1
) -> Any:
    """`advance` for any layer as long in as out, whose outputs depend on `reach` inputs before and after.

    The last outputs of a piece are taken from the next, in which their inputs are all there. dim: time.
    """
    kept, done = (x.narrow(dim, 0, 0), 0) if state is None else state
    x = torch.cat([kept, x], dim)
    length = x.shape[dim]
    before, after = reach
    known = length if final else max(done, length - after)
    out = layer(x) if known > done else x
    start = max(0, known - before)
    return out.narrow(dim, done, known - done), (x.narrow(dim, start, length - start).clone(), known - start)


def _check_norm(norm: nn.Module | None) -> None:
    if norm is not None:
        raise ValueError(f"norm is a {type(norm).__name__}, over the whole signal; accepted: None")
