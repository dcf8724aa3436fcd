"""What stands at the start of an .ecdc file: which of EnCodec's two models, and how much it coded."""

import json
import math
import struct
from dataclasses import dataclass
from typing import NamedTuple

HOP, BITS = 320, 10
FIXED = struct.Struct("!4sBI")
_MAX_HEADER = 2**12
_LEAST_BITS = 1e-4  # of a code: the arithmetic coder leaves the others 2046 of 2 ** 24
_LEAST_SEGMENT = 6  # bytes: a scale, and one frame of one code


@dataclass(frozen=True)
class Kind:
    """One of the two models: its names, and how it cuts a signal."""

    model: str
    codec: str
    sample_rate: int
    num_codebooks: int
    segment: int = 0  # samples, 0 for the whole signal
    stride: int = 0

    def frames(self, length: int) -> list[int]:
        """The frames of each segment of `length` samples."""
        if not self.segment:
            return [-(-length // HOP)]
        starts = range(0, length, self.stride)
        return [-(-min(self.segment, length - start) // HOP) for start in starts]


KINDS = (
    Kind("encodec_24khz", "encodec-24khz", 24_000, 32),
    Kind("encodec_48khz", "encodec-48khz", 48_000, 16, 48_000, 47_520),
)


class Header(NamedTuple):
    """What the JSON says: the model, samples, codebooks, and whether a language model is needed."""

    kind: Kind
    length: int
    num_codebooks: int
    entropy_coded: bool


def pack(kind: Kind, length: int, num_codebooks: int, entropy_coded: bool) -> bytes:
    """The file's start."""
    fields = {"m": kind.model, "al": length, "nc": num_codebooks, "lm": entropy_coded}
    text = json.dumps(fields).encode()
    return FIXED.pack(b"ECDC", 0, len(text)) + text


def parse(data: bytes) -> tuple[Header, int]:
    """The header, and where it ends; ValueError for one that the data is too short for."""
    if len(data) < FIXED.size:
        raise ValueError(f"{len(data)} bytes; accepted: {FIXED.size} or more")
    magic, version, size = FIXED.unpack_from(data)
    if (magic, version) != (b"ECDC", 0):
        raise ValueError(f"magic and version are {(magic, version)}; accepted: {(b'ECDC', 0)}")
    start = FIXED.size + size
    if size > _MAX_HEADER or start > len(data):
        raise ValueError(f"a header of {size} bytes in {len(data)}; accepted: {_MAX_HEADER} or fewer")
    try:
        fields = json.loads(data[FIXED.size : start].decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the header is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"the header is a {type(fields).__name__}; accepted: an object")
    kind = next((kind for kind in KINDS if kind.model == fields.get("m")), None)
    if kind is None:
        known = ", ".join(kind.model for kind in KINDS)
        raise ValueError(f"the model is {fields.get('m')!r:.80}; accepted: {known}")
    length, books, coded = (fields.get(name) for name in ("al", "nc", "lm"))
    if type(books) is not int or not 1 <= books <= kind.num_codebooks:
        raise ValueError(f"nc is {books!r:.80}; accepted: 1 to {kind.num_codebooks}")
    if type(coded) is not bool:
        raise ValueError(f"lm is {coded!r:.80}; accepted: true, false")
    least = _LEAST_BITS if coded else BITS
    most = math.floor(8 * len(data) / (books * least)) * HOP
    if kind.segment:
        most = min(most, len(data) // _LEAST_SEGMENT * kind.stride)
    if type(length) is not int or not 1 <= length <= most:
        raise ValueError(f"al is {length!r:.80}; accepted: 1 to {most}, what {len(data)} bytes can hold")
    return Header(kind, length, books, coded), start
