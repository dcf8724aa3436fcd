"""States of encoders and decoders as trees: many made one batch, and one taken out of it."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vocable.codecs.backbones.conv import State
from vocable.codecs.backbones.keyvalues import KeyValues, OwnKeyValues


def mapped(change: Callable[..., Any], *states: State) -> State:
    """The state with `change(tensor, ...)` for each tensor, those at its place in states of one shape."""
    first = states[0]
    if isinstance(first, Tensor):
        return change(*states)
    if not isinstance(first, list | tuple):
        return first
    return _like(first, [mapped(change, *parts) for parts in zip(*states, strict=True)])


def tensors(state: State) -> Iterator[Tensor]:
    """Every tensor, in order."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, list | tuple):
        for part in state:
            yield from tensors(part)


def filled(like: State, values: Iterable[Tensor]) -> State:
    """A state of the form of `like` with these tensors, in the order of `tensors`."""
    given = iter(values)
    return mapped(lambda _: next(given), like)


def shape(state: State) -> Hashable:
    """What states must have in common to be one batch."""
    if isinstance(state, Tensor):
        return state.dtype, state.shape[1:]
    if isinstance(state, list | tuple):
        return tuple(shape(part) for part in state)
    return state


def join(states: Sequence[State]) -> State:
    """States of one shape as one, item after item."""
    return mapped(lambda *parts: torch.cat(parts), *states)


def pick(state: State, items: Sequence[int]) -> State:
    """The state of these items of the batch, copied."""
    index = list(items)
    return mapped(lambda part: part[index], state)


def owned(state: State) -> State:
    """The same tensors as a state that nobody else holds, which layers may write to as they go on."""
    if isinstance(state, KeyValues):
        return OwnKeyValues(*state)
    return _like(state, list(map(owned, state))) if isinstance(state, list | tuple) else state


def _like(tree: list | tuple, parts: list[Any]) -> State:
    return type(tree)(*parts) if isinstance(tree, KeyValues) else type(tree)(parts)
