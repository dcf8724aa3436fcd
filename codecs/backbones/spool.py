"""Pieces of a signal kept for a second reading, from either end: in memory while few, then on disk."""

from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import NamedTuple

import torch
from torch import Tensor

IN_MEMORY = 2**24  # bytes


class _Place(NamedTuple):
    offset: int
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device


class Spool:
    """Tensors in the order in which they came. The file has no name: it is gone with the process."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._places: list[_Place] = []

    def append(self, x: Tensor) -> None:
        """Keep x as it is now."""
        self._places.append(_Place(self._file.seek(0, 2), x.shape, x.dtype, x.device))
        self._file.write(x.cpu().contiguous().view(torch.uint8).numpy().tobytes())

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Tensor]:
        return map(self._read, self._places)

    def __reversed__(self) -> Iterator[Tensor]:
        return map(self._read, reversed(self._places))

    def _read(self, place: _Place) -> Tensor:
        self._file.seek(place.offset)
        data = bytearray(self._file.read(place.shape.numel() * place.dtype.itemsize))
        return torch.frombuffer(data, dtype=place.dtype).view(place.shape).to(place.device)


def kept(pieces: Iterable[Tensor]) -> Spool:
    """A spool of them all."""
    spool = Spool()
    for piece in pieces:
        spool.append(piece)
    return spool
