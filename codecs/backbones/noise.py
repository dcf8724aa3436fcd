"""Noise that is a function of its position: the same on any device, in any piece of a signal, in a graph."""

import math
from typing import TypeVar

from torch import Tensor

Word = TypeVar("Word", int, Tensor)
_MASK = 2**32 - 1


def gaussian(positions: Tensor, seed: int) -> Tensor:
    """Standard normal numbers, float32, of integers of any shape, 0 to 2**32 - 1: none beyond 5.4.

    Box and Muller's transform (https://doi.org/10.1214/aoms/1177706645) of a hash's upper 20 and lower 12
    bits. A generator with a state would give a piece of a signal other noise than the whole has.
    """
    word = _mix(_mix(positions) ^ _mix(_mix(seed & _MASK) + 1))
    radius = (-2 * (((word >> 12).float() + 0.5) / 2**20).log()).sqrt()
    return radius * ((word & 0xFFF).float() * (2 * math.pi / 2**12)).cos()


def _mix(x: Word) -> Word:
    """MurmurHash3's 32-bit finaliser (https://github.com/aappleby/smhasher), of integers in 0..2**32 - 1."""
    x = (x ^ (x >> 16)) * 0x85EBCA6B & _MASK
    x = (x ^ (x >> 13)) * 0xC2B2AE35 & _MASK
    return x ^ (x >> 16)
