"""Token files as they are written: frame by frame, chunk by chunk, many items at once."""

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from torch import Tensor

from vocable.codecs.voc import layout
from vocable.codecs.voc.chunks import ChunkCoder, End, check_end, entry
from vocable.codecs.voc.layout import Header


@dataclass
class _Item:
    """What is held of an item until it fills a chunk, and its frames so far."""

    codes: np.ndarray
    scales: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    frames: int = 0
    ended: bool = False


class TokenWriter:
    """Writes a token file (.voc) to a path, or an open binary file that need not seek, such as a pipe.

    A chunk goes out as soon as `header.chunk_frames` frames of an item are there, and can be read at once.
    `close` ends what has no end, and writes the index; used as a context manager, only where there was no
    error. A file without it is still read as a stream, up to where it ends.

    >>> with TokenWriter("a.voc", Header.of(codec)) as writer:
    ...     writer.write(codes)  # (K, n), any n
    """

    def __init__(self, file: str | Path | BinaryIO, header: Header) -> None:
        self.header = header
        self._coder = ChunkCoder(header)  # before the file is made: an extra may be missing
        self._own = isinstance(file, str | Path)
        self._file: BinaryIO = open(file, "wb") if isinstance(file, str | Path) else file  # noqa: SIM115
        self._items: list[_Item] = []
        self._begun = 0  # of the items, those with a chunk in the file
        self._index, self._crc, self._size = bytearray(), zlib.crc32(layout.START), 0
        self._put(layout.START)
        self._block(layout.HEADER, header.to_bytes())

    def write(self, codes: Tensor, item: int = 0, scales: Tensor | None = None) -> None:
        """The next codes (K, n) int64 of an item, n of 0 or more, and the scales (s,) that begin with them.

        Items are numbered in the order in which they begin. ValueError for codes out of range or of another
        shape, a number past the next, and an item that has ended.
        """
        books = len(self.header.codebook_sizes)
        new = codes.detach().cpu().numpy()
        if new.ndim != 2 or new.shape[0] != books or new.dtype != np.int64:
            raise ValueError(f"codes are {new.dtype} {new.shape}; accepted: int64 ({books}, n)")
        held = self._open(item)
        self._coder.check(new.T)
        if scales is not None:
            held.scales = np.concatenate([held.scales, scales.detach().cpu().numpy().astype(np.float32)])
        while len(held.scales) > layout.MAX_SCALES:
            self._chunk(item, None)
        start, most = 0, self.header.chunk_frames
        while new.shape[1] - start >= most - len(held.codes):
            fill = start + most - len(held.codes)
            held.codes, start = np.concatenate([held.codes, new.T[start:fill]]), fill
            self._chunk(item, None)
        held.codes = np.concatenate([held.codes, new.T[start:]])

    def flush(self) -> None:
        """Write out the frames that don't fill a chunk yet, for a reader that waits for them."""
        for item, held in enumerate(self._items):
            if len(held.codes):
                self._chunk(item, None)

    def end(self, item: int = 0, length: int | None = None, source_length: int | None = None) -> None:
        """The item is over: its samples at the codec's rate, None for all of its frames, and at the source's.

        ValueError for a length that doesn't fit its frames, and for one length where the header's
        source_rate asks for both.
        """
        held = self._open(item)
        frames = held.frames + len(held.codes)
        end = End(frames * self.header.hop_length if length is None else length, source_length)
        check_end(end, frames, self.header)
        self._chunk(item, end)
        held.ended = True

    def close(self) -> None:
        """End the items that have no end, write the index, and close the file where this opened it."""
        try:
            for item, held in enumerate(self._items):
                if not held.ended:
                    self.end(item)
            start = self._size
            self._block(layout.INDEX, bytes(self._index))
            self._put(layout.TRAILER.pack(start, layout.END))
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._release()

    def _open(self, item: int) -> _Item:
        if not 0 <= item <= len(self._items):
            raise ValueError(f"item is {item!r}; accepted: 0 to {len(self._items)}, the next")
        if item == len(self._items):
            self._items.append(_Item(np.zeros((0, len(self.header.codebook_sizes)), np.int64)))
        if self._items[item].ended:
            raise ValueError(f"item {item} has ended; accepted: others")
        return self._items[item]

    def _chunk(self, item: int, end: End | None) -> None:
        for earlier in range(self._begun, item):  # a reader knows items by the order of their first chunks
            self._chunk(earlier, None)
        self._begun = max(self._begun, item + 1)
        held = self._items[item]
        codes, scales = held.codes, held.scales[: layout.MAX_SCALES]
        payload = self._coder.encode(item, codes, scales, end)
        held.codes, held.scales = codes[:0], held.scales[layout.MAX_SCALES :]
        held.frames += len(codes)
        self._index += entry(payload)
        self._block(layout.CHUNK, payload)

    def _block(self, kind: bytes, payload: bytes) -> None:
        block, self._crc = layout.block(kind, payload, self._crc)
        self._put(block)

    def _put(self, part: bytes) -> None:
        self._file.write(part)
        self._file.flush()
        self._size += len(part)

    def _release(self) -> None:
        if self._own:
            self._file.close()
