"""A chunk of an item: some frames of codes, the scales that begin with them, and of the last, the end."""

import struct
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from vocable.codecs.voc import packing
from vocable.codecs.voc.entropy import MAX_FRAMES, RESTART, Model
from vocable.codecs.voc.layout import ENTRY, MAX_SCALES, Header, expect, widths

# flags: entropy-coded; the model restarts before it; an item's last; with scales
CODED, FRESH, LAST, SCALED = 1, 2, 4, 8
_HEAD = struct.Struct("<IIHB")  # item, frames, scales, flags
_END = struct.Struct("<QQ")  # length, source length or 0
_MOST = 2**48  # samples
_LEAST = 16  # codes of an entropy-coded byte at most: what a file decodes to is bounded by its size


class End(NamedTuple):
    """The samples of an item, and those of what was encoded, None where they are the same."""

    length: int
    source_length: int | None


class Block(NamedTuple):
    """A chunk as it stands in a file: codes (n, K) int64, scales (s,) float32."""

    item: int
    codes: np.ndarray
    scales: np.ndarray
    end: End | None


class Chunk(NamedTuple):
    """Some frames of an item: codes (K, n) int64 from frame `start`, and the scales (s,) that begin there.

    length, source_length: the item's samples in its last chunk, None before, and where there is no source.
    """

    item: int
    start: int
    codes: Tensor
    scales: Tensor
    length: int | None = None
    source_length: int | None = None

    @classmethod
    def of(cls, block: Block, start: int) -> Self:
        """The chunk of a file, whose first frame has the number `start` in its item."""
        codes = torch.from_numpy(np.ascontiguousarray(block.codes.T))
        return cls(block.item, start, codes, torch.from_numpy(block.scales), *(block.end or ()))


def entry(payload: bytes) -> bytes:
    """A chunk's entry in the index."""
    item, frames, _, flags = _head(payload)
    return np.array([(len(payload), item, frames, flags)], ENTRY).tobytes()


def _head(payload: bytes) -> tuple[int, int, int, int]:
    if len(payload) < _HEAD.size:
        raise ValueError(f"a chunk has {len(payload)} bytes; accepted: {_HEAD.size} or more")
    return _HEAD.unpack_from(payload)


def split(payload: bytes) -> tuple[End | None, np.ndarray, bytes]:
    """A chunk's end if it is the last, its scales (s,) float32, and its codes as they are packed."""
    _, _, count, flags = _head(payload)
    expect("flag of scales", bool(flags & SCALED), count > 0)
    at = _HEAD.size + (_END.size if flags & LAST else 0)
    if len(payload) < at + 4 * count:
        raise ValueError(f"a chunk has {len(payload)} bytes; accepted: {at + 4 * count} or more")
    length, source = _END.unpack_from(payload, _HEAD.size) if flags & LAST else (0, 0)
    if length > _MOST or source > _MOST:
        raise ValueError(f"an item has {length} samples of {source}; accepted: {_MOST} or fewer")
    scales = np.frombuffer(payload, "<f4", count, at).astype(np.float32)
    return End(length, source or None) if flags & LAST else None, scales, payload[at + 4 * count :]


def check_end(end: End, frames: int, header: Header) -> None:
    """ValueError where an item's end doesn't fit its frames, or the header."""
    most = frames * header.hop_length
    if not 1 <= end.length <= most:
        raise ValueError(f"an item of {frames} frames has length {end.length}; accepted: 1 to {most}")
    if (end.source_length is None) != (header.source_rate is None):
        known = f"None as source_rate, {header.source_rate}, or neither"
        raise ValueError(f"source_length is {end.source_length}; accepted: {known}")


def most_bytes(header: Header) -> int:
    """The longest payload that a chunk may have."""
    codes = packing.packed_size(header.chunk_frames, widths(header.codebook_sizes))
    return _HEAD.size + _END.size + 4 * MAX_SCALES + codes


class ChunkCoder:
    """Chunks to payloads, or back, in the order of the file: the entropy coder's model learns on the way."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.sizes = np.array(header.codebook_sizes)
        self.bits = widths(header.codebook_sizes)
        self.model = Model(header.codebook_sizes) if header.packing == "entropy" else None
        self._first = True

    def encode(self, item: int, codes: np.ndarray, scales: np.ndarray, end: End | None) -> bytes:
        """The payload; ValueError for codes out of range."""
        self.check(codes)
        flags = (LAST if end else 0) | (SCALED if len(scales) else 0)
        packed = packing.pack(codes, self.bits)
        if self.model is not None:
            if self._first or self.model.frames + len(codes) > RESTART:
                self.model.restart()
                self._first, flags = False, flags | FRESH
            coded = self._code(self.model, codes)
            if len(coded) < len(packed):
                flags, packed = flags | CODED, coded
        tail = b"" if end is None else _END.pack(end.length, end.source_length or 0)
        start = _HEAD.pack(item, len(codes), len(scales), flags) + tail
        return start + scales.astype("<f4").tobytes() + packed

    def decode(self, payload: bytes) -> Block:
        """The chunk; ValueError for a payload that no writer gives."""
        item, frames, _, flags = _head(payload)
        known = LAST | SCALED | (CODED | FRESH if self.model else 0)
        if frames > self.header.chunk_frames or flags & ~known:
            most = f"{self.header.chunk_frames} or fewer, flags of {known}"
            raise ValueError(f"a chunk has {frames} frames, flags {flags}; accepted: {most}")
        end, scales, packed = split(payload)
        codes = self._codes(packed, frames, flags)
        self.check(codes)
        return Block(item, codes, scales, end)

    def _codes(self, packed: bytes, frames: int, flags: int) -> np.ndarray:
        size = packing.packed_size(frames, self.bits)
        if self.model is not None:
            if flags & FRESH:
                self.model.restart()
            elif self._first:
                raise ValueError("the first chunk does not restart the model; accepted: one that does")
            self._first = False
            if self.model.frames + frames > MAX_FRAMES:
                raise ValueError(f"the model is not restarted; accepted: after {MAX_FRAMES} frames at most")
            if flags & CODED:
                return self._decode(self.model, packed, frames, size)
        expect("size of the packed codes", len(packed), size)
        codes = packing.unpack(packed, frames, self.bits)
        if self.model is not None:
            self.check(codes)
            self.model.update(codes >> np.array(self.model.low_bits))
        return codes

    def _code(self, model: Model, codes: np.ndarray) -> bytes:
        low = np.array(model.low_bits)
        words = model.encode(codes >> low).astype("<u4").tobytes()
        coded = packing.pack(codes & ((1 << low) - 1), model.low_bits) + words
        short = -(-codes.size // _LEAST) - len(coded)
        return coded + bytes(max(0, -(-short // 4)) * 4)

    def _decode(self, model: Model, coded: bytes, frames: int, most: int) -> np.ndarray:
        low = packing.packed_size(frames, model.low_bits)
        least = max(low, -(-frames * len(self.bits) // _LEAST))
        if not least <= len(coded) < most or (len(coded) - low) % 4:
            known = f"{least} to {most - 1}, {low} and whole words"
            raise ValueError(f"{frames} frames are coded in {len(coded)} bytes; accepted: {known}")
        symbols = model.decode(np.frombuffer(coded, "<u4", offset=low).astype(np.uint32), frames)
        return symbols << np.array(model.low_bits) | packing.unpack(coded[:low], frames, model.low_bits)

    def check(self, codes: np.ndarray) -> None:
        """ValueError for codes (n, K) out of range."""
        if codes.size and ((codes < 0) | (codes >= self.sizes)).any():
            sizes = self.header.codebook_sizes
            raise ValueError(f"codes lie in {codes.min()}..{codes.max()}; accepted: 0..V-1, V = {sizes}")
