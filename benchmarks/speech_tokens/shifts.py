"""Whether tokens stay the same: when the signal begins a little later, and from one to the next."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vocable.benchmarks.speech_tokens.books import Books
from vocable.codecs import Codec, audio

PARTS = (0.25, 0.5, 0.75)  # of a token's hop
EDGE = 0.25  # seconds at both ends that aren't compared: what is heard there is where the signal is cut


class Same(NamedTuple):
    """How many of a codebook's tokens stayed (4,) after shifts by PARTS of its hop, and by a frame."""

    equal: Tensor
    compared: Tensor

    @property
    def shares(self) -> tuple[float | None, ...]:
        """None where there was nothing to compare."""
        pairs = zip(self.equal.tolist(), self.compared.tolist(), strict=True)
        return tuple(equal / compared if compared else None for equal, compared in pairs)


def stability(codec: Codec, books: Books, path: Path, codes: Tensor) -> list[Same]:
    """Shift one file whose codes are (K, N), and compare each codebook's tokens.

    A shift leaves out the first samples. Token n of what is left stands for a signal that begins so much
    later, and is compared with token n of the whole; after a whole frame with the one a frame later, which
    stands for the very same signal, as in the consistency of https://arxiv.org/abs/2409.19283.
    """
    wav = audio.to_channels(audio.read(path, codec.sample_rate)[0], codec.channels)
    hop = codec.hop_length
    shifts = [[round(part * hop / count) for part in PARTS] + [hop] for count in books.counts]
    shifted = {}
    for shift in sorted({shift for each in shifts for shift in each}):
        if shift < wav.shape[-1]:
            shifted[shift] = codec.encode(wav[..., shift:]).codes[0]
    found = []
    for book, count in enumerate(books.counts):
        whole, edge = books.tokens(codes, book), round(EDGE * codec.frame_rate * count)
        equal = torch.zeros(2, len(PARTS) + 1, dtype=torch.int64)
        for i, shift in enumerate(shifts[book]):
            if shift in shifted:
                later = books.tokens(shifted[shift], book)
                kept = _equal(whole[count * (shift == hop) :], later, edge)
                equal[:, i] = torch.tensor([int(kept.sum()), len(kept)])
        found.append(Same(*equal))
    return found


def total(found: Sequence[list[Same]]) -> list[Same]:
    """Of each codebook, over files."""
    return [
        Same(*(torch.stack(part).sum(0) for part in zip(*each, strict=True)))
        for each in zip(*found, strict=True)
    ]


def repeats(sequences: Sequence[Tensor]) -> float | None:
    """The share of tokens equal to the one before them; None where none has one before it."""
    pairs = [sequence[1:] == sequence[:-1] for sequence in sequences]
    equal = torch.cat(pairs)
    return float(equal.double().mean()) if len(equal) else None


def _equal(a: Tensor, b: Tensor, edge: int) -> Tensor:
    """Where two sequences agree, without so many tokens at both ends."""
    length = min(len(a), len(b))
    return (a[:length] == b[:length])[edge : max(edge, length - edge)]
