"""All codecs that have a name, with their numbers: what `vocable list` prints. Nothing is downloaded."""

import json
import math
from typing import NamedTuple

import torch

from vocable.codecs import hub, report
from vocable.codecs.build import build
from vocable.codecs.zoo import table


class Entry(NamedTuple):
    """A codec's numbers: Hz, samples of a frame, V of each codebook, parameters, and the weights' licence."""

    name: str
    sample_rate: int
    hop_length: int
    codebook_sizes: tuple[int, ...]
    parameters: int
    licence: str
    licence_source: str

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def token_rate(self) -> float:
        """Tokens a second, all codebooks."""
        return self.frame_rate * len(self.codebook_sizes)

    @property
    def bit_rate(self) -> float:
        """Bits a second, all codebooks."""
        return self.frame_rate * sum(math.log2(size) for size in self.codebook_sizes)


def catalogue() -> list[Entry]:
    """The codecs inside the package, then the published ones."""
    published = [
        Entry(*(getattr(entry, name) for name in Entry._fields)) for entry in table.published().values()
    ]
    return [_builtin(name) for name in hub.builtin()] + published


def _builtin(name: str) -> Entry:
    folder, _ = hub.find(name, None)
    with torch.device("meta"):
        codec = build(json.loads((folder / hub.CONFIG).read_text(encoding="utf-8")))
    parameters = sum(weight.numel() for weight in codec.parameters())
    numbers = (codec.sample_rate, codec.hop_length, codec.codebook_sizes, parameters)
    return Entry(name, *numbers, report.licence(name), "its model card")
