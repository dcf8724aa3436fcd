"""Token files as they are read: chunk by chunk, also from a pipe, or some seconds of an item by seeking."""

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from vocable.codecs.tokens import Tokens
from vocable.codecs.voc import chunks, layout
from vocable.codecs.voc.assemble import assemble
from vocable.codecs.voc.chunks import SCALED, Block, Chunk, ChunkCoder, End
from vocable.codecs.voc.index import Index
from vocable.codecs.voc.layout import AROUND, END, START, TRAILER, Header, expect


class TokenReader:
    """Reads a token file (.voc), a path or an open binary file, which need not seek to be iterated over.

    ValueError, also from the iteration, where it is damaged or not one; FileNotFoundError for no file.

    >>> with TokenReader("a.voc") as reader:
    ...     for chunk in reader:
    ...         wav = stream.decode(chunk.codes[None])
    >>> tokens = TokenReader("a.voc").read(start=60.0, stop=62.5)
    """

    def __init__(self, file: str | Path | BinaryIO) -> None:
        self._own = isinstance(file, str | Path)
        self._file: BinaryIO = open(file, "rb") if isinstance(file, str | Path) else file  # noqa: SIM115
        self._name = str(file) if self._own else getattr(file, "name", "the stream")
        try:
            self.header, self._crc, self._start = self._begin()
        except BaseException:
            self.close()
            raise
        self._most = chunks.most_bytes(self.header)
        self._streamed = False

    def __iter__(self) -> Iterator[Chunk]:
        """The chunks in the order of the file, each as soon as it is there; again only where it can seek."""
        frames, over = list[int](), list[bool]()
        for block in self._blocks():
            with self._told():
                item = block.item
                if item > len(frames) or (item < len(frames) and over[item]):
                    raise ValueError(f"a chunk is of item {item}; accepted: one not over, or {len(frames)}")
                if item == len(frames):
                    frames.append(0)
                    over.append(False)
                start, over[item] = frames[item], block.end is not None
                frames[item] += len(block.codes)
                if block.end is not None:
                    chunks.check_end(block.end, frames[item], self.header)
                chunk = Chunk.of(block, start)
            yield chunk
        with self._told():
            expect("items without a last chunk", over.count(False), 0)

    def read(self, start: float = 0.0, stop: float | None = None, item: int = 0) -> Tokens:
        """The frames that hold the seconds from `start` to `stop`, None for its end, of one item.

        Only their chunks are read (and, entropy-coded, those before them, back to where the model restarts).
        The tokens' first sample is that of the first frame. A part keeps no source length, and an item with
        scales can only be read whole. ValueError for seconds past the item's end, and a file that can't seek.
        """
        with self._told():
            index = self._index
            mine = index.of(item)
            ends = np.cumsum(index.entries["frames"][mine], dtype=np.int64)
            frames = int(ends[-1])
            end = index.end(int(mine[-1]), frames)
            first, last = self._span(start, stop, end.length, frames)
            whole = (first, last) == (0, frames)
            if not whole and (index.entries["flags"][mine] & SCALED).any():
                raise ValueError(f"item {item} has scales, of segments; accepted: start=0, stop=None")
            near, far = np.searchsorted(ends, [first, last - 1], "right").tolist()
            near, far = (0, len(mine) - 1) if whole else (near, far)
            blocks = index.decode(mine[near : far + 1].tolist())
            base = int(ends[near]) - len(blocks[0].codes)
            codes = np.concatenate([block.codes for block in blocks])[first - base : last - base]
            hop = self.header.hop_length
            length = min(end.length, last * hop) - first * hop
            scales = np.concatenate([block.scales for block in blocks])
            header = self.header if whole else replace(self.header, source_rate=None)
            cut = Block(item, codes, scales, End(length, end.source_length if whole else None))
            return Tokens(**assemble([[Chunk.of(cut, first)]], header))

    def end(self, item: int = 0) -> End:
        """An item's samples, and those of what was encoded, from the index; as `read` may raise."""
        with self._told():
            mine = self._index.of(item)
            return self._index.end(
                int(mine[-1]), int(self._index.entries["frames"][mine].sum(dtype=np.int64))
            )

    def close(self) -> None:
        """Close the file where this opened it."""
        if self._own:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> tuple[Header, int, int]:
        """The header, and the checksum and place where the first block after it begins."""
        with self._told():
            found = layout.read_up_to(self._file, len(START))
            if found.startswith(layout.UNRELEASED):
                raise ValueError("is of the layout before the release of version 1; accepted: encode it anew")
            expect("magic and version", found, START)
            kinds = {layout.HEADER: layout.MAX_HEADER}
            _, payload, crc = layout.read_block(self._file, zlib.crc32(START), kinds)
            return Header.from_bytes(payload), crc, len(START) + len(payload) + AROUND

    def _span(self, start: float, stop: float | None, length: int, frames: int) -> tuple[int, int]:
        """The frames from and to which the seconds reach."""
        rate, hop = self.header.sample_rate, self.header.hop_length
        ends = start, length / rate if stop is None else stop
        from_, to = (round(rate * second) if math.isfinite(second) else -1 for second in ends)
        if not 0 <= from_ < to <= length:
            known = f"from 0 to {length / rate}, one sample or more"
            raise ValueError(f"seconds are {start} to {stop}; accepted: {known}")
        return from_ // hop, frames if to == length else -(-to // hop)

    def _blocks(self) -> Iterator[Block]:
        """The chunks from the first to the last, then the index checked against them."""
        crc, offset, seen = self._crc, self._start, bytearray()
        with self._told():
            seekable = self._file.seekable()
            if self._streamed and not seekable:
                raise ValueError("it was read before and can't seek; accepted: one iteration")
            self._streamed, coder = True, ChunkCoder(self.header)
        while True:
            with self._told():
                if seekable:  # another reading may have been between
                    self._file.seek(offset)
                kinds = {layout.CHUNK: self._most, layout.INDEX: len(seen)}
                kind, payload, crc = layout.read_block(self._file, crc, kinds)
                if kind == layout.INDEX:
                    expect("index", payload, bytes(seen))
                    trailer = layout.read_exactly(self._file, TRAILER.size)
                    expect("trailer", TRAILER.unpack(trailer), (offset, END))
                    if self._own:
                        expect("what follows the trailer", self._file.read(1), b"")
                    return
                block = coder.decode(payload)
            offset += len(payload) + AROUND
            seen += chunks.entry(payload)
            yield block

    @property
    def chunks(self) -> np.ndarray:
        """The index, one row a chunk: size in bytes, item, frames, flags (docs/voc-format.md)."""
        with self._told():
            return self._index.entries

    @cached_property
    def _index(self) -> Index:
        return Index(self._file, self.header, self._start)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors with the file's name before them."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{self._name}: {error}") from error
