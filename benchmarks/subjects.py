"""What can be measured: codecs by name, folder or Python path, and coders that are not neural."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor


class Made(NamedTuple):
    """What a subject makes of a signal: wav (T,) as long as it and at its rate, and what it took.

    bit_rate: bits a second. codes: (K, N) int64, None from what has no tokens.
    """

    wav: Tensor
    bit_rate: float
    codes: Tensor | None = None


class Subject(ABC):
    """A row of the table.

    name: as shown. identity: a hash of all that its output depends on (weights, options, versions), "" for
    what can't be known, which is measured anew each time. sample_rate: Hz, its own.
    frame_rate, codebook_sizes: None from what has no tokens.
    """

    name: str
    identity: str
    sample_rate: int
    frame_rate: float | None = None
    codebook_sizes: tuple[int, ...] | None = None

    @property
    def token_rate(self) -> float | None:
        """Tokens a second."""
        if self.frame_rate is None or self.codebook_sizes is None:
            return None
        return self.frame_rate * len(self.codebook_sizes)

    @abstractmethod
    def reconstruct(self, wav: Tensor, sample_rate: int) -> Made:
        """(T,) float32 in [-1, 1] through the codec and back: resampled by soxr where its rate is another,
        cut to T samples, not aligned. ValueError for what it can't take."""
