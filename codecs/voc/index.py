"""Where the chunks of a token file lie, for a file that can seek."""

import os
from typing import BinaryIO

import numpy as np

from vocable.codecs.voc import chunks, layout
from vocable.codecs.voc.chunks import FRESH, Block, ChunkCoder, End
from vocable.codecs.voc.layout import AROUND, CRC, END, ENTRY, TRAILER, Header, expect


class Index:
    """The chunks by their number: `entries` has a row for each, size in bytes, item, frames and flags.

    start: where the first block after the header lies. ValueError for an index that is damaged, or lies.
    """

    def __init__(self, file: BinaryIO, header: Header, start: int) -> None:
        if not file.seekable():
            raise ValueError("the file can't seek; accepted: one that can, or to iterate over the reader")
        self.file, self.header = file, header
        size = file.seek(0, os.SEEK_END)
        if size < start + AROUND + TRAILER.size:
            raise ValueError(f"it has {size} bytes and no index; accepted: a whole file")
        file.seek(size - TRAILER.size)
        at, end = TRAILER.unpack(layout.read_exactly(file, TRAILER.size))
        expect("trailer", end, END)
        if not start <= at <= size - TRAILER.size - AROUND:
            raise ValueError(f"the index begins at {at}; accepted: {start} to {size - TRAILER.size - AROUND}")
        found = self._block(at, layout.INDEX, size - TRAILER.size - AROUND - at)
        expect("size of the index", len(found) % ENTRY.itemsize, 0)
        self.entries = np.frombuffer(found, ENTRY)
        ends = start + np.cumsum(self.entries["size"].astype(np.int64) + AROUND)
        expect("end of the chunks", int(ends[-1]) if len(ends) else start, at)
        self.offsets = np.concatenate([[start], ends[:-1]])

    def of(self, item: int) -> np.ndarray:
        """The numbers of an item's chunks; ValueError where it has none."""
        found = np.flatnonzero(self.entries["item"] == item)
        if not len(found):
            raise ValueError(f"item is {item!r}; accepted: 0 to {int(self.entries['item'].max(initial=0))}")
        return found

    def end(self, number: int, frames: int) -> End:
        """The end of an item of `frames` frames, from its last chunk."""
        end = chunks.split(self._chunk(number))[0]
        if end is None:
            raise ValueError(f"chunk {number} has no length; accepted: an item's last one has")
        chunks.check_end(end, frames, self.header)
        return end

    def decode(self, wanted: list[int]) -> list[Block]:
        """The chunks of these numbers, which rise."""
        coder, kept, found = ChunkCoder(self.header), set(wanted), []
        numbers = wanted
        if self.header.packing == "entropy":  # what the model learns since it was restarted
            fresh = np.flatnonzero(self.entries["flags"][: wanted[0] + 1] & FRESH)
            numbers = range(int(fresh[-1]) if len(fresh) else 0, wanted[-1] + 1)
        for number in numbers:
            block = coder.decode(self._chunk(number))
            if number in kept:
                found.append(block)
        return found

    def _chunk(self, number: int) -> bytes:
        payload = self._block(int(self.offsets[number]), layout.CHUNK, chunks.most_bytes(self.header))
        expect(f"chunk {number}", chunks.entry(payload), self.entries[number].tobytes())
        return payload

    def _block(self, offset: int, kind: bytes, most: int) -> bytes:
        """The payload of the block at `offset`, whose checksum goes on from that of the block before."""
        self.file.seek(offset - CRC.size)
        crc = CRC.unpack(layout.read_exactly(self.file, CRC.size))[0]
        return layout.read_block(self.file, crc, {kind: most})[1]
