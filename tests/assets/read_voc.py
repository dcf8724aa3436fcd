"""A reader of token files in plain Python, from docs/voc-format.md alone: slow, and nothing shared."""

import struct
import zlib
from typing import Any


def read_voc(data: bytes) -> dict:
    """The header's fields, and each item's codes (a list of frames), scales, length and source length."""
    assert data[:9] == b"\x89VOC\r\n\x1a\n\x01"
    at, begin, hashed, blocks = 9, 9, data[:9], []
    while not blocks or blocks[-1][0] != b"I":
        kind, size = struct.unpack_from("<cI", data, at)
        blocks.append((kind, data[at + 5 : at + 5 + size]))
        hashed += data[at : at + 5 + size]
        assert struct.unpack_from("<I", data, at + 5 + size)[0] == zlib.crc32(hashed)
        begin, at = at, at + 9 + size
    assert data[at:] == struct.pack("<Q", begin) + b"VOC\x1a"
    header = _header(blocks[0][1])
    bits = [max(1, (size - 1).bit_length()) for size in header["codebook_sizes"]]
    model, items, index = _Model(header["codebook_sizes"]), [], b""
    for kind, payload in blocks[1:-1]:
        assert kind == b"C"
        item, frames, scales, flags = struct.unpack_from("<IIHB", payload)
        index += struct.pack("<IIIB", len(payload), item, frames, flags)
        if item == len(items):
            items.append({"codes": [], "scales": [], "length": None})
        held, place = items[item], 11
        if flags & 4:
            held["length"], held["source_length"] = struct.unpack_from("<QQ", payload, place)
            place += 16
        held["scales"] += struct.unpack_from(f"<{scales}f", payload, place)
        place += 4 * scales
        if flags & 2:
            model.restart()
        if flags & 1:
            found = _coded(payload[place:], frames, model)
        else:
            found = _unpacked(payload[place:], frames, bits)
            model.count([[c >> low for c, low in zip(f, model.low, strict=True)] for f in found])
        held["codes"] += found
    assert blocks[-1] == (b"I", index)
    return header | {"items": items}


def _header(payload: bytes) -> dict:
    names = (
        "packing",
        "books",
        "name",
        "chunk_frames",
        "sample_rate",
        "hop_length",
        "source_rate",
        "weights",
    )
    fields: dict[str, Any] = dict(zip(names, struct.unpack_from("<BHHIIII32s", payload), strict=True))
    end = 53 + fields.pop("name")
    sizes = struct.unpack_from(f"<{fields.pop('books')}Q", payload, end)
    return fields | {"codec": payload[53:end].decode(), "codebook_sizes": sizes}


def _unpacked(packed: bytes, frames: int, bits: list[int]) -> list[list[int]]:
    text = "".join(f"{byte:08b}" for byte in packed)
    found = []
    for _ in range(frames):
        found.append([])
        for width in bits:
            found[-1].append(int(text[:width] or "0", 2))
            text = text[width:]
    assert len(text) < 8
    assert set(text) <= {"0"}
    return found


def _coded(coded: bytes, frames: int, model: "_Model") -> list[list[int]]:
    place = (frames * sum(model.low) + 7) // 8
    low = _unpacked(coded[:place], frames, model.low)
    words = struct.unpack(f"<{(len(coded) - place) // 4}I", coded[place:])
    high = model.decode(words, frames)
    return [
        [h << n | rest for h, n, rest in zip(*rows, strict=True)]
        for rows in zip(high, [model.low] * frames, low, strict=True)
    ]


class _Model:
    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.low = [max(0, (size - 1).bit_length() - 12) for size in sizes]
        self.symbols = [((size - 1) >> low) + 1 for size, low in zip(sizes, self.low, strict=True)]
        self.books, self.a = len(sizes), max(2, *self.symbols) if len(sizes) > 1 else max(2, self.symbols[0])
        self.h = min(self.a, 2**24 // (self.books * self.a))
        self.restart()

    def restart(self) -> None:
        self.n, self.single, self.pair, self.total = 0, {}, {}, {}

    def count(self, frames: list[list[int]], before: list[int] | None = None) -> None:
        before = before or [0] * self.books
        for frame in frames:
            for k, symbol in enumerate(frame):
                c = before[k] * self.h // self.a
                self.single[k, symbol] = self.single.get((k, symbol), 0) + 1
                self.pair[k, c, symbol] = self.pair.get((k, c, symbol), 0) + 1
                self.total[k, c] = self.total.get((k, c), 0) + 1
            self.n, before = self.n + 1, frame

    def decode(self, words: tuple[int, ...], frames: int) -> list[list[int]]:
        coder, found = _RangeDecoder(words), []
        for start in range(0, frames, 128):
            exponents = [coder.next([2**20] * 16) for _ in range(self.books)]
            begun, before = len(found), found[-1] if found else [0] * self.books
            last = before
            for _ in range(start, min(start + 128, frames)):
                frame = [coder.next(self._weights(k, last[k], exponents[k])) for k in range(self.books)]
                found.append(frame)
                last = frame
            self.count(found[begun:], before)
        return found

    def _weights(self, k: int, before: int, exponent: int) -> list[int]:
        t, c = 2**24 - self.a, before * self.h // self.a
        below = self.total.get((k, c), 0) + 2**exponent
        weights = []
        for s in range(self.a):
            one = self.single.get((k, s), 0) + (s < self.symbols[k])
            q = one * t // (self.n + self.symbols[k])
            weights.append((self.pair.get((k, c, s), 0) * t + 2**exponent * q) // below)
        weights[0] += t - sum(weights)
        return [weight + 1 for weight in weights]


class _RangeDecoder:
    def __init__(self, words: tuple[int, ...]) -> None:
        self.words, self.lower, self.range = list(words), 0, 2**64 - 1
        self.point = self._word() << 32 | self._word()

    def _word(self) -> int:
        return self.words.pop(0) if self.words else 0

    def next(self, weights: list[int]) -> int:
        assert sum(weights) == 2**24
        scale = self.range >> 24
        quantile = (self.point - self.lower) % 2**64 // scale
        assert quantile < 2**24
        below, symbol = 0, 0
        while below + weights[symbol] <= quantile:
            below, symbol = below + weights[symbol], symbol + 1
        self.lower = (self.lower + scale * below) % 2**64
        self.range = scale * weights[symbol]
        if self.range < 2**32:
            self.lower, self.range = self.lower * 2**32 % 2**64, self.range * 2**32
            self.point = (self.point * 2**32 + self._word()) % 2**64
        return symbol
