"""The arithmetic coder of .ecdc files, bit for bit (https://github.com/facebookresearch/encodec).

A symbol narrows an interval [low, high] of integers to its share of it. Below 2 ** 24 values the interval is
scaled up, a bit at a time; leading bits that low and high share are final, and leave for the stream. The
arithmetic is Python's own, on whole numbers: it neither rounds nor overflows.
"""

import numpy as np
import torch
from torch import Tensor

RANGE_BITS = 24
_ROUNDOFF = 1e-8  # probabilities are cut to multiples of it
_WHY = "the file is damaged, or its language model, or the threads that ran it, were others"
_LEAST = 2  # values of the range for the rarest symbol


def cumulative(probabilities: Tensor) -> np.ndarray:
    """Probabilities (..., V) to (..., V) int64: where each symbol's share of the range of 2 ** 24 ends.

    Coder and decoder must agree on every one: the steps, and their rounding, are those of the format.
    """
    total, size = 2**RANGE_BITS, probabilities.shape[-1]
    coarse = (probabilities / _ROUNDOFF).floor() * _ROUNDOFF
    shares = (coarse * ((1 - _LEAST * size / total) * total)).floor().to(torch.int64) + _LEAST
    return shares.cumsum(-1).cpu().numpy()


class _Interval:
    """[low, high], integers of `width` bits."""

    def __init__(self) -> None:
        self.low, self.high, self.width = 0, 0, 0

    def grow(self) -> int:
        """Scale up until there are 2 ** RANGE_BITS values; by how many bits."""
        shift = max(0, RANGE_BITS + 1 - (self.high - self.low + 1).bit_length())
        self.low, self.high = self.low << shift, ((self.high + 1) << shift) - 1
        self.width += shift
        return shift

    def narrow(self, symbol: int, ends: np.ndarray) -> None:
        """Keep the symbol's share."""
        span, start = self.high - self.low + 1, int(ends[symbol - 1]) if symbol else 0
        high = self.low + _last(ends[symbol], span)
        self.low += -(-start * span >> RANGE_BITS)
        # by rounding, the shares may sum to a little more than all
        self.high = min(high, (1 << self.width) - 1)

    def settle(self) -> tuple[int, int]:
        """Take off the bits that low and high share: these, and how many they are."""
        width = (self.low ^ self.high).bit_length()
        bits, count, mask = self.low >> width, self.width - width, (1 << width) - 1
        self.low, self.high, self.width = self.low & mask, self.high & mask, width
        return bits, count


class Encoder:
    """Symbols to bits; `finish` gives the bytes."""

    def __init__(self) -> None:
        self._interval = _Interval()
        self._bits: list[str] = []

    def push(self, symbol: int, ends: np.ndarray) -> None:
        """Code `symbol`, 0..V-1, by the `cumulative` (V,) of its distribution."""
        self._interval.grow()
        self._interval.narrow(symbol, ends)
        self._emit(*self._interval.settle())

    def finish(self) -> bytes:
        """The stream, in whole bytes that fill from their lowest bit."""
        self._emit(self._interval.low, self._interval.width)
        self._interval = _Interval()
        bits = np.frombuffer("".join(self._bits).encode(), np.uint8) - ord("0")
        return np.packbits(bits, bitorder="little").tobytes()

    def _emit(self, bits: int, count: int) -> None:
        if count:
            self._bits.append(f"{bits:0{count}b}")


class Decoder:
    """Symbols from a stream of bits that starts at the byte `position` of `data`."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data, self._next = data, 8 * position
        self._interval, self._value = _Interval(), 0

    @property
    def position(self) -> int:
        """The byte after the last one that was read from."""
        return (self._next + 7) // 8

    def pull(self, ends: np.ndarray) -> int:
        """The next symbol, by the `cumulative` (V,) that it was coded with.

        ValueError at the end of the data, and where no symbol has the bits found.
        """
        shift = self._interval.grow()
        self._value = (self._value << shift) | self._read(shift)
        span, offset = self._interval.high - self._interval.low + 1, self._value - self._interval.low
        symbol = int(np.searchsorted(ends, (offset << RANGE_BITS) // span, side="right"))
        if symbol == len(ends) or offset > _last(ends[symbol], span):
            raise ValueError(f"the entropy-coded bits fit no code; {_WHY}")
        self._interval.narrow(symbol, ends)
        self._interval.settle()
        self._value &= (1 << self._interval.width) - 1
        return symbol

    def _read(self, count: int) -> int:
        """The next `count` bits, the first of them the highest."""
        if self._next + count > 8 * len(self._data):
            raise ValueError(f"the entropy-coded bits end too soon; {_WHY}")
        first, last = self._next // 8, (self._next + count + 7) // 8
        # a byte fills from its lowest bit: taken as one little-endian number, the bits come last first
        window = int.from_bytes(self._data[first:last], "little") >> self._next % 8
        self._next += count
        return int(f"{window & ((1 << count) - 1):0{count}b}"[::-1], 2) if count else 0


def _last(end: np.integer, span: int) -> int:
    """The last of `span` values that belongs to the share that ends at `end` of 2 ** RANGE_BITS."""
    return (int(end) - 1) * span >> RANGE_BITS
