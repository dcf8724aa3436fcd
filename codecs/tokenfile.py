"""The token file, .voc.

magic "VOC\\x00", version (1 byte), bytes of the header (4, little-endian), the header (JSON, UTF-8), the frames
(item after item, in each frame its K codes of ceil(log2 V) bits, 1 or more, high bit first; zero bits up to a whole
byte), and the CRC-32 (4 bytes, little-endian) of everything before it.
"""

import json
import math
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vocable.codecs.files import replacing

if TYPE_CHECKING:
    from vocable.codecs.tokens import Tokens

MAGIC, VERSION, MAX_HEADER = b"VOC\x00", 1, 2**16
_FIXED = len(MAGIC) + 1 + 4
_LIMITS = {
    "lengths": 2**48,
    "source_lengths": 2**48,
    "codebook_sizes": 2**31,
    "sample_rate": 2**31,
    "hop_length": 2**31,
    "source_rate": 2**31,
}


def write(tokens: "Tokens", path: str | Path) -> None:
    """Write `tokens` to `path`, whole or not at all."""
    fields: dict[str, Any] = {
        "lengths": tokens.lengths.tolist(),
        "sample_rate": tokens.sample_rate,
        "hop_length": tokens.hop_length,
        "codebook_sizes": list(tokens.codebook_sizes),
        "codec": tokens.codec,
        "source_rate": tokens.source_rate,
        "source_lengths": None if tokens.source_lengths is None else tokens.source_lengths.tolist(),
    }
    header = json.dumps(fields, separators=(",", ":")).encode()
    if len(header) > MAX_HEADER:
        raise ValueError(
            f"{path}: the header of {len(tokens)} items takes {len(header)} bytes; accepted: {MAX_HEADER}"
        )
    codes = tokens.codes.cpu().numpy()
    own = [item[:, :frames].T for item, frames in zip(codes, tokens.frames.tolist(), strict=True)]
    frames = np.concatenate(own)  # (sum of N, K)
    if (frames < 0).any() or (frames >= np.array(tokens.codebook_sizes)).any():
        raise ValueError(
            f"codes lie in {frames.min()}..{frames.max()}; accepted: 0..V-1, V = {tokens.codebook_sizes}"
        )
    start = MAGIC + bytes([VERSION]) + len(header).to_bytes(4, "little") + header
    body = start + _pack(frames, _bits(tokens.codebook_sizes))
    with replacing(path) as temporary:
        temporary.write_bytes(body + zlib.crc32(body).to_bytes(4, "little"))


def read(path: str | Path) -> dict[str, Any]:
    """The fields of the `Tokens` in `path`."""
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        fixed = file.read(_FIXED)
        _expect(path, "magic", fixed[: len(MAGIC)], MAGIC)
        _expect(path, "version", fixed[len(MAGIC) : len(MAGIC) + 1], bytes([VERSION]))
        length = int.from_bytes(fixed[len(MAGIC) + 1 :], "little")
        if len(fixed) < _FIXED or length > min(MAX_HEADER, size):
            raise ValueError(
                f"{path}: the header takes {length} of {size} bytes; accepted: {MAX_HEADER} or fewer"
            )
        header = file.read(length)
        fields = _parse(path, header)
        sizes = fields["codebook_sizes"]
        frames = [math.ceil(n / fields["hop_length"]) for n in fields["lengths"]]
        packed = (sum(frames) * sum(_bits(sizes)) + 7) // 8
        _expect(
            path, "size in bytes", size, _FIXED + length + packed + 4
        )  # before anything is allocated by it
        rest = file.read(packed + 4)
    crc = zlib.crc32(fixed + header + rest[:-4]).to_bytes(4, "little")
    _expect(path, "CRC-32", rest[-4:].hex(), crc.hex())
    codes = _unpack(rest[:-4], sum(frames), _bits(sizes))
    if (codes >= np.array(sizes)).any():
        raise ValueError(f"{path}: codes go up to {codes.max()}; accepted: 0..V-1, V = {sizes}")
    padded = np.zeros((len(frames), len(sizes), max(frames)), np.int64)
    for item, own in zip(padded, np.split(codes, np.cumsum(frames)[:-1]), strict=True):
        item[:, : len(own)] = own.T
    source = fields["source_lengths"]
    fields |= {
        "codes": torch.from_numpy(padded),
        "codebook_sizes": tuple(sizes),
        "lengths": torch.tensor(fields["lengths"]),
        "source_lengths": None if source is None else torch.tensor(source),
    }
    return fields


def _parse(path: str | Path, header: bytes) -> dict[str, Any]:
    """The header's fields, of the right types and within bounds."""
    try:
        fields = json.loads(header.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: the header is not JSON: {error}") from error
    names = [
        "lengths",
        "sample_rate",
        "hop_length",
        "codebook_sizes",
        "codec",
        "source_rate",
        "source_lengths",
    ]
    _expect(path, "header", sorted(fields) if isinstance(fields, dict) else fields, sorted(names))
    if not isinstance(fields["codec"], str):
        raise ValueError(f"{path}: codec is {fields['codec']!r}; accepted: a string")
    for name in set(names) - {"codec"}:
        value, many = fields[name], name.endswith("s")
        if value is None and name.startswith("source"):
            continue
        if (
            isinstance(value, list) != many
            or not value
            or len(value if many else [0]) > 256
            and name == "codebook_sizes"
        ):
            raise ValueError(
                f"{path}: {name} is {value!r:.60}; accepted: {'integers' if many else 'an integer'}"
            )
        for number in value if many else [value]:
            if type(number) is not int or not 1 <= number <= _LIMITS[name]:
                raise ValueError(
                    f"{path}: {name} holds {number!r:.60}; accepted: integers, 1 to {_LIMITS[name]}"
                )
    return fields


def _expect(path: str | Path, what: str, found: object, accepted: object) -> None:
    if found != accepted:
        raise ValueError(f"{path}: {what} is {found!r:.80}; accepted: {accepted!r}")


def _bits(sizes: tuple[int, ...] | list[int]) -> list[int]:
    return [max(1, (size - 1).bit_length()) for size in sizes]


def _pack(frames: np.ndarray, bits: list[int]) -> bytes:
    """(N, K) codes to bytes."""
    columns = [frames[:, k, None] >> np.arange(n - 1, -1, -1) & 1 for k, n in enumerate(bits)]
    return np.packbits(np.concatenate(columns, 1).astype(np.uint8)).tobytes()


def _unpack(packed: bytes, frames: int, bits: list[int]) -> np.ndarray:
    """Bytes to (N, K) codes."""
    flat = np.unpackbits(np.frombuffer(packed, np.uint8), count=frames * sum(bits)).reshape(frames, sum(bits))
    parts = np.split(flat, np.cumsum(bits)[:-1], 1)
    return np.stack([part @ (1 << np.arange(n - 1, -1, -1)) for part, n in zip(parts, bits, strict=True)], 1)
