"""The weights of a CTranslate2 model (https://github.com/OpenNMT/CTranslate2), read without that package."""

import struct
from pathlib import Path

import torch
from torch import Tensor

VERSION = 6
DTYPES = (torch.float32, torch.int8, torch.int16, torch.int32, torch.float16, torch.bfloat16)


def read_variables(path: str | Path, prefix: str = "") -> dict[str, Tensor]:
    """The variables of a `model.bin` whose names start with `prefix`, less that prefix.

    ValueError for a file of another kind or version, or one cut short. Quantized weights (int8, int16) are
    given as they are, with their scales beside them.
    """
    data = Path(path).read_bytes()
    try:
        return _variables(_Reader(data), prefix)
    except (struct.error, UnicodeDecodeError, IndexError, ValueError) as error:
        raise ValueError(f"{path}: not a whole CTranslate2 model of version {VERSION}: {error}") from error


class _Reader:
    """Takes little-endian values from the front of bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def block(self, size: int) -> bytes:
        found = self.data[self.at : self.at + size]
        if len(found) < size:
            raise ValueError(f"{len(found)} bytes are left; accepted: {size}")
        self.at += size
        return found

    def text(self) -> str:
        return self.block(self.number("H"))[:-1].decode()  # it ends in a zero byte


def _variables(reader: _Reader, prefix: str) -> dict[str, Tensor]:
    if (version := reader.number("I")) != VERSION:
        raise ValueError(f"version is {version}; accepted: {VERSION}")
    _kind, _revision = reader.text(), reader.number("I")
    found = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        dtype = DTYPES[reader.number("B")]
        block = reader.block(reader.number("I"))
        if name.startswith(prefix):
            found[name.removeprefix(prefix)] = torch.frombuffer(bytearray(block), dtype=dtype).view(shape)
    return found
