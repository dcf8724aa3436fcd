"""Inputs in the type of the weights that they meet."""

from typing import Any

from torch import Tensor, nn


def as_weights(part: nn.Module, x: Tensor) -> Tensor:
    """x in the floating type of `part`'s weights, which is how the parts of a codec take it.

    As it is for a part without weights, and for one with a true attribute `takes_float32`, which measures the
    waveform in float32 and casts what it found itself.
    """
    weight = next((weight for weight in part.parameters() if weight.is_floating_point()), None)
    return x if weight is None or getattr(part, "takes_float32", False) else x.to(weight.dtype)


def cast_input(part: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """`as_weights` as a forward pre-hook, for the first argument."""
    return (as_weights(part, given[0]), *given[1:])
