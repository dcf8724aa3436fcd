"""The token file, .voc.

magic     4 bytes, "VOC" and a zero
version   1 byte
size      4 bytes, little-endian: of the header
header    JSON: every field of `Tokens` but the codes; of the scales their number for one item
frames    item after item, in each frame its K codes of ceil(log2 V) bits (at least 1), high bit first;
          zero bits up to a whole byte
scales    item after item, float32, little-endian, where the header counts any
CRC-32    4 bytes, little-endian: of everything before it
"""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vocable.codecs.files import replacing

MAGIC, VERSION, MAX_HEADER = b"VOC\x00", 1, 2**16
_FIXED = len(MAGIC) + 1 + 4
_LISTS = ("codebook_sizes", "lengths", "source_lengths", "frame_counts")
_NUMBERS = ("hop_length", "sample_rate", "source_rate", "scales")
_OPTIONAL = ("source_rate", "source_lengths", "frame_counts", "scales")
_TOP = 2**48  # of any number in the header: sums and products stay within 64 bits
_PADDED = 2**27  # codes of an uneven batch with its padding that any file may ask for


def write(path: str | Path, fields: dict[str, Any]) -> None:
    """Write the fields of a `Tokens` to `path`, whole or not at all."""
    plain = {name: value for name, value in fields.items() if name != "codes"}
    scales = plain["scales"]
    plain["scales"] = None if scales is None else scales.shape[1]
    plain |= {name: value.tolist() for name, value in plain.items() if isinstance(value, torch.Tensor)}
    header = json.dumps(plain, separators=(",", ":")).encode()
    if len(header) > MAX_HEADER:
        items = len(plain["lengths"])
        raise ValueError(
            f"{path}: {items} items need a header of {len(header)} bytes; accepted: {MAX_HEADER}"
        )
    codes, sizes = fields["codes"].cpu().numpy(), fields["codebook_sizes"]
    counts = _counts(path, plain)
    frames = np.concatenate([item[:, :n].T for item, n in zip(codes, counts, strict=True)])
    _check_codes(path, frames, sizes)
    start = MAGIC + bytes([VERSION]) + len(header).to_bytes(4, "little") + header
    tail = b"" if scales is None else scales.cpu().numpy().astype("<f4").tobytes()
    body = start + _pack(frames, _bits(sizes)) + tail
    with replacing(path) as temporary:
        temporary.write_bytes(body + zlib.crc32(body).to_bytes(4, "little"))


def read(path: str | Path) -> dict[str, Any]:
    """The fields of the `Tokens` in `path`; ValueError where it is not a whole, sound token file."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        fixed = file.read(_FIXED)
        _expect(path, "magic", fixed[:4], MAGIC)
        _expect(path, "version", fixed[4:5], bytes([VERSION]))
        length = int.from_bytes(fixed[5:], "little")
        if len(fixed) < _FIXED or length > MAX_HEADER:
            raise ValueError(f"{path}: a header of {length} bytes in {size}; accepted: {MAX_HEADER} or fewer")
        header = file.read(length)
        fields = _parse(path, header)
        counts, sizes = _counts(path, fields), fields["codebook_sizes"]
        packed = (sum(counts) * sum(_bits(sizes)) + 7) // 8
        tail = 4 * len(counts) * (fields["scales"] or 0)
        _expect(path, "size in bytes", size, _FIXED + length + packed + tail + 4)  # before memory is taken
        body = fixed + header + file.read(packed + tail)
        _expect(path, "CRC-32", file.read(4), zlib.crc32(body).to_bytes(4, "little"))
    start = _FIXED + length
    frames = _unpack(body[start : start + packed], sum(counts), _bits(sizes))
    _check_codes(path, frames, sizes)
    codes = np.zeros((len(counts), len(sizes), max(counts)), np.int64)
    for item, own in zip(codes, np.split(frames, np.cumsum(counts)[:-1]), strict=True):
        item[:, : len(own)] = own.T
    for name in ("lengths", "source_lengths", "frame_counts"):
        fields[name] = None if fields[name] is None else torch.tensor(fields[name])
    if fields["scales"] is not None:
        scales = np.frombuffer(body[start + packed :], "<f4").astype(np.float32)
        fields["scales"] = torch.from_numpy(scales).view(len(counts), -1)
    return fields | {"codes": torch.from_numpy(codes), "codebook_sizes": tuple(sizes)}


def _parse(path: str | Path, header: bytes) -> dict[str, Any]:
    """The header's fields, each of its type."""
    try:
        fields = json.loads(header.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: the header is not JSON: {error}") from error
    names = sorted((*_LISTS, *_NUMBERS, "codec"))
    _expect(path, "header", sorted(fields) if isinstance(fields, dict) else type(fields).__name__, names)
    if not isinstance(fields["codec"], str):
        raise ValueError(f"{path}: codec is {fields['codec']!r:.80}; accepted: a string")
    for name in (*_LISTS, *_NUMBERS):
        value, many = fields[name], name in _LISTS
        if value is None and name in _OPTIONAL:
            continue
        numbers = value if isinstance(value, list) and many else [None if many else value]
        if not numbers or not all(type(number) is int and 1 <= number <= _TOP for number in numbers):
            known = f"{'a list of integers' if many else 'an integer'}, 1 to {_TOP}"
            raise ValueError(f"{path}: {name} is {value!r:.80}; accepted: {known}")
    return fields


def _counts(path: str | Path, fields: dict[str, Any]) -> list[int]:
    """Each item's frames; ValueError for a batch so uneven that its padding would take all memory."""
    least = [-(-length // fields["hop_length"]) for length in fields["lengths"]]
    counts = fields["frame_counts"] or least
    if len(counts) != len(least) or any(count < few for count, few in zip(counts, least, strict=True)):
        raise ValueError(f"{path}: frame_counts are {counts!r:.80}; accepted: {least!r:.80} or more")
    books = len(fields["codebook_sizes"])
    padded, most = len(counts) * max(counts) * books, max(_PADDED, 64 * sum(counts) * books)
    if padded > most:
        raise ValueError(f"{path}: padded to its longest item the batch is {padded} codes; accepted: {most}")
    return counts


def _check_codes(path: str | Path, frames: np.ndarray, sizes: tuple[int, ...] | list[int]) -> None:
    if (frames < 0).any() or (frames >= np.array(sizes)).any():
        raise ValueError(
            f"{path}: codes lie in {frames.min()}..{frames.max()}; accepted: 0..V-1, V = {sizes}"
        )


def _expect(path: str | Path, what: str, found: object, accepted: object) -> None:
    if found != accepted:
        raise ValueError(f"{path}: {what} is {found!r:.80}; accepted: {accepted!r}")


def _bits(sizes: tuple[int, ...] | list[int]) -> list[int]:
    return [max(1, (size - 1).bit_length()) for size in sizes]


def _pack(frames: np.ndarray, bits: list[int]) -> bytes:
    """(N, K) codes to bytes."""
    columns = [(frames[:, k, None] >> np.arange(n)[::-1]) & 1 for k, n in enumerate(bits)]
    return np.packbits(np.concatenate(columns, 1).astype(np.uint8)).tobytes()


def _unpack(packed: bytes, frames: int, bits: list[int]) -> np.ndarray:
    """Bytes to (N, K) codes."""
    flat = np.unpackbits(np.frombuffer(packed, np.uint8), count=frames * sum(bits)).reshape(frames, -1)
    columns = np.split(flat, np.cumsum(bits)[:-1], axis=1)
    return np.stack([part @ (1 << np.arange(part.shape[1])[::-1]) for part in columns], axis=1)
