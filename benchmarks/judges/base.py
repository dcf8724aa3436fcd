"""What a judge of reconstructed audio is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor


class Unavailable(Exception):
    """A judge can't run here; its message says what is missing and how to get it."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    name: its heading, "PESQ-WB". better: which way is good, None for what is neither. unit: "%", "dB", "".
    digits: after the point. about: a sentence for who hasn't met it.
    """

    name: str
    about: str
    better: Literal["higher", "lower"] | None
    digits: int = 2
    unit: str = ""


class Score(NamedTuple):
    """What a judge finds of one file; the mean over files weighs by `weight`, as WER by its words."""

    value: float
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Utterance:
    """A recording to judge by: its audio (T,) float32, mixed to one channel, and its rate in Hz.

    key: a hash of the file and its texts. transcript: what is truly said. consensus: the text on which two
    recognisers agree. None where unknown.
    """

    path: Path
    key: str
    wav: Tensor
    sample_rate: int
    transcript: str | None = None
    consensus: str | None = None
    speaker: str | None = None


class Judge(ABC):
    """Gives scores to what a codec makes of an utterance.

    Making one is cheap and imports nothing heavy: models are loaded by the first call, and kept.
    kind: "published" is the judge of the field's papers, "offline" one whose weights come with its package,
    "signal" needs no weights.
    """

    name: ClassVar[str]
    kind: ClassVar[Literal["published", "offline", "signal"]]
    columns: ClassVar[tuple[Column, ...]]

    @abstractmethod
    def check(self) -> None:
        """Raise Unavailable unless packages and weights are here, fetching weights if that is possible."""

    @property
    @abstractmethod
    def version(self) -> str:
        """What its scores depend on: packages with their versions, weights with their hashes.

        Only called after `check`; another version's scores are never mixed with these.
        """

    @abstractmethod
    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        """Score `made` (T,) float32, as long as `utterance.wav` and at its rate, by column name.

        A column that doesn't apply (no transcript, say) is left out. ValueError for a pair that can't be
        judged, with the reason. For `made` equal to the original it gives what perfection gets.
        """
