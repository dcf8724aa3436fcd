"""The bytes of a token file: its header, and the blocks that it is a row of (docs/voc-format.md)."""

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal, Self, get_args

import numpy as np

from vocable.codecs.signal import check_rate
from vocable.codecs.weights import check_weights

if TYPE_CHECKING:
    from vocable.codecs.codec import Codec

MAGIC, VERSION = b"\x89VOC\r\n\x1a\n", 1  # as PNG's: an end of line that was changed on the way shows
START = MAGIC + bytes([VERSION])
UNRELEASED = b"VOC\x00"  # how the files of an earlier layout begin
HEADER, CHUNK, INDEX = b"H", b"C", b"I"
END = b"VOC\x1a"
TRAILER = struct.Struct("<Q4s")  # where the index begins, END
BLOCK, CRC = struct.Struct("<cI"), struct.Struct("<I")
AROUND = BLOCK.size + CRC.size  # bytes of a block beside its payload
ENTRY = np.dtype([("size", "<u4"), ("item", "<u4"), ("frames", "<u4"), ("flags", "u1")])  # of the index
_FIXED = struct.Struct("<BHHIIII32s")
MAX_HEADER = _FIXED.size + 2**16 + 8 * 2**16
MAX_BITS = 2**23  # of a chunk's codes, packed
MAX_SCALES = 2**16 - 1  # of a chunk
MAX_ENTROPY_FRAMES = 2**15  # of an entropy-coded file's chunk
_CHUNK_BYTES = 4096  # of codes, where chunk_frames isn't given: the 20 bytes around them don't count
Packing = Literal["bits", "entropy"]


def widths(sizes: tuple[int, ...]) -> list[int]:
    """Bits of a packed code of each codebook, 1 or more."""
    return [max(1, (size - 1).bit_length()) for size in sizes]


@dataclass(frozen=True)
class Header:
    """What is true of all of a token file; the fields are those of `Tokens`.

    packing: "bits", ceil(log2 V) a code, or "entropy", coded by an adaptive model (the extra `pack`).
    chunk_frames: the most frames in a chunk; 0 takes as many as 4 kB hold.
    ValueError for fields out of range.
    """

    sample_rate: int
    hop_length: int
    codebook_sizes: tuple[int, ...]
    codec: str = ""
    weights: str = ""
    source_rate: int | None = None
    packing: Packing = "bits"
    chunk_frames: int = 0

    def __post_init__(self) -> None:
        check_rate(self.sample_rate)
        if self.source_rate is not None:
            check_rate(self.source_rate, "source_rate")
        _check("hop_length", self.hop_length, 1, 2**24)
        _check("number of codebooks", len(self.codebook_sizes), 1, 2**16 - 1)
        for size in self.codebook_sizes:
            _check("codebook size", size, 1, 2**48)
        _check("bytes of the codec's name", len(self.codec.encode()), 0, 2**16 - 1)
        check_weights(self.weights)
        if self.packing not in get_args(Packing):
            raise ValueError(f"packing is {self.packing!r}; accepted: {', '.join(get_args(Packing))}")
        bits = sum(widths(self.codebook_sizes))
        most = min(MAX_BITS // bits, MAX_ENTROPY_FRAMES if self.packing == "entropy" else MAX_BITS)
        if self.chunk_frames == 0:
            object.__setattr__(self, "chunk_frames", min(most, max(1, 8 * _CHUNK_BYTES // bits)))
        _check("chunk_frames", self.chunk_frames, 1, most)

    @classmethod
    def of(
        cls,
        codec: "Codec",
        num_codebooks: int | None = None,
        packing: Packing = "bits",
        chunk_frames: int = 0,
    ) -> Self:
        """The header for what `codec` encodes with its first `num_codebooks` codebooks, None for all."""
        sizes = codec.codebook_sizes[: codec.quantizer.check_num_codebooks(num_codebooks)]
        more = {"packing": packing, "chunk_frames": chunk_frames}
        return cls(codec.sample_rate, codec.hop_length, sizes, codec.name, codec.weights, **more)

    def to_bytes(self) -> bytes:
        """The header block's payload."""
        name, sizes = self.codec.encode(), np.array(self.codebook_sizes, "<u8")
        numbers = (self.chunk_frames, self.sample_rate, self.hop_length, self.source_rate or 0)
        weights = bytes.fromhex(self.weights) or bytes(32)
        fixed = _FIXED.pack(get_args(Packing).index(self.packing), len(sizes), len(name), *numbers, weights)
        return fixed + name + sizes.tobytes()

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """The header of a block's payload; ValueError for what no writer gives."""
        if len(payload) < _FIXED.size:
            raise ValueError(f"the header has {len(payload)} bytes; accepted: {_FIXED.size} or more")
        kind, books, length, chunk_frames, rate, hop, source, weights = _FIXED.unpack_from(payload)
        expect("size of the header", len(payload), _FIXED.size + length + 8 * books)
        _check("packing", kind, 0, 1)
        _check("chunk_frames", chunk_frames, 1, MAX_BITS)
        try:
            name = payload[_FIXED.size : _FIXED.size + length].decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"the codec's name is not UTF-8: {error}; accepted: UTF-8") from error
        sizes = tuple(np.frombuffer(payload, "<u8", books, _FIXED.size + length).tolist())
        known = weights.hex() if any(weights) else ""
        return cls(rate, hop, sizes, name, known, source or None, get_args(Packing)[kind], chunk_frames)


def block(kind: bytes, payload: bytes, crc: int) -> tuple[bytes, int]:
    """A block's bytes, and the checksum up to its end, from the checksum up to its start."""
    body = BLOCK.pack(kind, len(payload)) + payload
    crc = zlib.crc32(body, crc)
    return body + CRC.pack(crc), crc


def read_block(file: BinaryIO, crc: int, limits: dict[bytes, int]) -> tuple[bytes, bytes, int]:
    """The next block's kind, payload and checksum; ValueError unless it is one of `limits`, in bytes."""
    head = read_exactly(file, BLOCK.size)
    kind, size = BLOCK.unpack(head)
    if size > limits.get(kind, -1):
        known = ", ".join(f"{kind!r} of up to {most}" for kind, most in limits.items())
        raise ValueError(f"a block is {kind!r} of {size} bytes; accepted: {known}")
    payload = read_exactly(file, size)
    expect("checksum", CRC.unpack(read_exactly(file, CRC.size))[0], crc := zlib.crc32(head + payload, crc))
    return kind, payload, crc


def read_up_to(file: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only where the file ends: a raw pipe gives what it has, then more."""
    parts, missing = [], size
    while missing and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """`size` bytes; ValueError where the file ends before."""
    found = read_up_to(file, size)
    if len(found) < size:
        raise ValueError(f"it ends {size - len(found)} bytes too early; accepted: a whole file, to its index")
    return found


def expect(what: str, found: object, accepted: object) -> None:
    """ValueError unless what was found is what is accepted."""
    if found != accepted:
        raise ValueError(f"{what} is {found!r}; accepted: {accepted!r}")


def _check(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{what} is {value!r}; accepted: {least} to {most}")
