"""Fuzzing of token files with atheris, not a test: `python fuzz_tokenfile.py CORPUS -max_total_time=600`.

Each input is read as it is, and with its checksums, index and trailer put right, so that what lies behind
them is reached too. Nothing but ValueError may come of it, and no more codes than the file's size allows.
"""

import io
import struct
import sys
import zlib
from contextlib import suppress
from importlib import import_module
from typing import Any

START = b"\x89VOC\r\n\x1a\n\x01"
CODES_A_BYTE = 16  # the most that an entropy-coded byte stands for


def repaired(data: bytes) -> bytes:
    """The same blocks, as far as they are whole, with right magic, checksums, index and trailer."""
    body, blocks, entries, at = bytearray(START), START, b"", len(START)
    while at + 5 <= len(data):
        kind, size = struct.unpack_from("<cI", data, at)
        payload = data[at + 5 : at + 5 + size]
        if kind == b"I" or len(payload) < size:
            break
        blocks += data[at : at + 5] + payload
        body += data[at : at + 5] + payload + struct.pack("<I", zlib.crc32(blocks))
        if kind == b"C" and size >= 11:
            item, frames, _, flags = struct.unpack_from("<IIHB", payload)
            entries += struct.pack("<IIIB", size, item, frames, flags)
        at += size + 9
    start, head = len(body), struct.pack("<cI", b"I", len(entries))
    body += head + entries + struct.pack("<I", zlib.crc32(blocks + head + entries))
    return bytes(body + struct.pack("<Q4s", start, b"VOC\x1a"))


def check(data: bytes) -> None:
    """Read `data` in every way; ValueError alone is right."""
    from vocable.codecs.voc import TokenReader
    from vocable.codecs.voc.assemble import assemble
    from vocable.codecs.voc.chunks import Chunk

    for content in (data, repaired(data)):
        with suppress(ValueError):
            reader = TokenReader(io.BytesIO(content))
            found: list[list[Chunk]] = []
            codes = 0
            with suppress(ValueError):
                for chunk in reader:
                    found += [[]] * (chunk.item == len(found))
                    found[chunk.item].append(chunk)
                    codes += chunk.codes.numel()
                    assert codes <= CODES_A_BYTE * len(content), "more codes than the file's size allows"
                assemble(found, reader.header)
            with suppress(ValueError):
                whole = reader.read()
                seconds = whole.lengths.item() / whole.sample_rate
                with suppress(ValueError):
                    reader.read(seconds / 3, seconds / 2)


if __name__ == "__main__":
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["vocable.codecs.voc"]):
        import vocable.codecs.voc.files  # noqa: F401

    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
