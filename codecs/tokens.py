"""Tokens: the codes of some audio with what is needed to decode, cut and save them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from vocable.codecs.audio import resampled_length
from vocable.codecs.signal import check_rate
from vocable.codecs.weights import check_weights

ITEM_FIELDS = ("lengths", "source_lengths", "frame_counts", "scales")  # of Tokens, one row an item


@dataclass(frozen=True, eq=False)
class Tokens:
    """Codes (B, K, N) int64 of B signals; past an item's own frames they are 0.

    lengths: (B,) int64, samples of each item at `sample_rate`, the codec's, in Hz; each 1 or more.
    hop_length: samples of a frame.
    codebook_sizes: V of each of the K codebooks.
    codec: the name that the codec was loaded by, "" when it has none.
    source_rate, source_lengths: Hz and samples (B,) of what was encoded; None where they are the codec's.
    frame_counts: (B,) int64, frames of each item; None for ceil(length / hop_length), as few as hold it.
    scales: (B, S) float32, loudness of each of an item's segments, 0 past its own, for codecs that take it
    out of the signal (EnCodec at 48 kHz); None for the others.
    weights: the hash of the codec's weights, `Codec.weights`; "" where it is not known.
    ValueError for fields that don't fit each other. `len` and iteration go over the items.
    """

    codes: Tensor
    lengths: Tensor
    sample_rate: int
    hop_length: int
    codebook_sizes: tuple[int, ...]
    codec: str = ""
    source_rate: int | None = None
    source_lengths: Tensor | None = None
    frame_counts: Tensor | None = None
    scales: Tensor | None = None
    weights: str = ""

    def __post_init__(self) -> None:
        if not _whole(self.codes) or self.codes.ndim != 3 or self.codes.numel() == 0:
            known = "torch.int64 (B, K, N), none of them 0"
            raise ValueError(f"codes are {_found(self.codes)}; accepted: {known}")
        if not isinstance(self.codec, str):
            raise ValueError(f"codec is {self.codec!r}; accepted: a string")
        check_weights(self.weights)
        # NumPy's integers become Python's, which a file's header takes
        object.__setattr__(self, "sample_rate", check_rate(self.sample_rate))
        _check(self.hop_length, "hop_length", 2**24)
        books = self.codes.shape[1]
        if not isinstance(self.codebook_sizes, tuple) or len(self.codebook_sizes) != books:
            known = f"a tuple, one for each of the {books} codebooks in codes"
            raise ValueError(f"codebook_sizes are {self.codebook_sizes!r}; accepted: {known}")
        for size in self.codebook_sizes:
            _check(size, "codebook size", 2**48)
        self._check_lengths()
        if (scales := self.scales) is not None:
            if not isinstance(scales, Tensor) or scales.dtype != torch.float32 or scales.ndim != 2:
                raise ValueError(f"scales are {_found(scales)}; accepted: torch.float32 (B, S)")
            if len(scales) != len(self.codes) or not scales.numel() or not bool((scales >= 0).all()):
                known = f"({len(self.codes)}, S), S of 1 or more, none negative"
                raise ValueError(f"scales are {tuple(scales.shape)}, from {scales.min()}; accepted: {known}")

    def _check_lengths(self) -> None:
        given = {"lengths": self.lengths}
        if self.source_lengths is not None:
            given["source_lengths"] = self.source_lengths
        if self.frame_counts is not None:
            given["frame_counts"] = self.frame_counts
        for name, lengths in given.items():
            if not _whole(lengths) or lengths.shape != self.codes.shape[:1]:
                known = f"torch.int64 ({len(self.codes)},)"
                raise ValueError(f"{name} are {_found(lengths)}; accepted: {known}")
        if int(self.lengths.min()) < 1 or int(self.frames.max()) != self.codes.shape[2]:
            top = self.codes.shape[2] * self.hop_length
            raise ValueError(
                f"lengths are {self.lengths.tolist()}; accepted: 1 to {top}, the longest needing every frame"
            )
        if bool((self.frames < self._least).any()):
            raise ValueError(
                f"frame_counts are {self.frames.tolist()}; accepted: {self._least.tolist()} or more"
            )
        if (self.source_rate is None) != (self.source_lengths is None):
            raise ValueError("source_rate and source_lengths: one of them is None; accepted: both or neither")
        if self.source_rate is not None and self.source_lengths is not None:
            object.__setattr__(self, "source_rate", check_rate(self.source_rate, "source_rate"))
            sources = self.source_lengths.tolist()
            made = [resampled_length(length, self.source_rate, self.sample_rate) for length in sources]
            if min(sources) < 1 or made != self.lengths.tolist():
                raise ValueError(
                    f"source_lengths are {sources}; accepted: those that resample to {self.lengths.tolist()}"
                )

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: int | slice) -> Self:
        """The items of `index`, cut to the frames of the longest; an int keeps a batch of one.

        IndexError past the last item, ValueError for a slice of none.
        """
        items = range(len(self))[index]
        chosen = [items] if isinstance(items, int) else list(items)
        if not chosen:
            raise ValueError(f"{index} picks none of {len(self)} items; accepted: one or more")
        frames = int(self.frames[chosen].max())
        codes = self.codes[chosen, :, :frames]
        return replace(self, codes=codes, **self._of_items(lambda each: each[chosen]))

    @property
    def frames(self) -> Tensor:
        """(B,) int64, each item's own frames."""
        return self._least if self.frame_counts is None else self.frame_counts

    @property
    def _least(self) -> Tensor:
        return (self.lengths + self.hop_length - 1) // self.hop_length

    def _of_items(self, change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """The fields that are one row an item, changed."""
        fields = {name: getattr(self, name) for name in ITEM_FIELDS}
        return {name: None if value is None else change(value) for name, value in fields.items()}

    @property
    def num_codebooks(self) -> int:
        """K of these codes."""
        return self.codes.shape[1]

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop_length

    @property
    def token_rate(self) -> float:
        """Tokens a second."""
        return self.frame_rate * self.num_codebooks

    @property
    def bit_rate(self) -> float:
        """Bits a second, of codes stored at log2 V bits."""
        return self.frame_rate * sum(math.log2(size) for size in self.codebook_sizes)

    def to(self, device: torch.device | str) -> Self:
        """The same tokens on `device`."""
        return replace(self, codes=self.codes.to(device), **self._of_items(lambda each: each.to(device)))

    def first(self, num_codebooks: int) -> Self:
        """The same audio at the rate of its first `num_codebooks` codebooks; ValueError outside 1..K."""
        if not isinstance(num_codebooks, int) or not 1 <= num_codebooks <= self.num_codebooks:
            raise ValueError(f"num_codebooks is {num_codebooks!r}; accepted: 1 to {self.num_codebooks}")
        return replace(
            self, codes=self.codes[:, :num_codebooks], codebook_sizes=self.codebook_sizes[:num_codebooks]
        )

    def save(self, path: str | Path, packing: Literal["bits", "entropy"] = "bits") -> None:
        """Write the token file `path` (.voc), each item's own frames, whole or not at all.

        packing: "bits", ceil(log2 V) a code; "entropy" is often smaller, slower, and needs the extra `pack`.
        ValueError for codes outside 0..V-1.
        """
        from vocable.codecs.voc import files

        files.save(path, vars(self), packing)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a token file, to the CPU; ValueError where it is damaged, truncated or not one."""
        from vocable.codecs.voc import files

        fields = files.load(path)
        try:
            return cls(**fields)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def as_tokens(
    tokens: Tokens | Tensor, sample_rate: int, hop_length: int, codebook_sizes: tuple[int, ...]
) -> Tokens:
    """The tokens, or bare codes (B, K, N) as tokens of whole frames; ValueError for another codec's."""
    codes = tokens if isinstance(tokens, Tensor) else tokens.codes
    mine = (sample_rate, hop_length, codebook_sizes[: codes.shape[1]])
    if isinstance(tokens, Tensor):
        return Tokens(codes, codes.new_full(codes.shape[:1], codes.shape[2] * hop_length), *mine)
    if (theirs := (tokens.sample_rate, tokens.hop_length, tokens.codebook_sizes)) != mine:
        raise ValueError(f"rate, hop and codebook sizes are {theirs}; accepted: this codec's, {mine}")
    return tokens


def _check(value: object, name: str, top: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= top:
        raise ValueError(f"{name} is {value!r}; accepted: an integer, 1 to {top}")


def _whole(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.int64


def _found(value: object) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
