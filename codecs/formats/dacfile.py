"""Descript's files, .dac (https://github.com/descriptinc/descript-audio-codec): codes in a pickle of NumPy's.

They are read as data (`pickled`): nothing in a file can run.
"""

import io
import math
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocable.codecs.files import replacing
from vocable.codecs.formats import pickled
from vocable.codecs.signal import CHANNELS, check_rate

VERSION = "1.0.0"
_TOP = 2**48  # samples


@dataclass(frozen=True, eq=False)
class DacFile:
    """One signal's codes (C, K, N) int64: each of its C channels was coded by itself.

    chunk_length: frames that were coded, and are decoded, at a time; N where the signal is whole.
    original_length, sample_rate: samples and Hz of what was encoded.
    input_db: its loudness in LUFS, which decoding gives back.
    padding: False where chunks were coded without the convolutions' padding, as the package does.
    ValueError for fields out of range.
    """

    codes: Tensor
    chunk_length: int
    original_length: int
    sample_rate: int
    input_db: float
    padding: bool = True

    def __post_init__(self) -> None:
        codes = self.codes
        if codes.ndim != 3 or codes.dtype != torch.int64 or not codes.numel() or len(codes) not in CHANNELS:
            found = f"{codes.dtype} {tuple(codes.shape)}"
            raise ValueError(f"codes are {found}; accepted: torch.int64 (C, K, N), C of 1 to {CHANNELS[-1]}")
        if int(codes.min()) < 0 or int(codes.max()) >= 2**16:
            raise ValueError(f"codes lie in {codes.min()}..{codes.max()}; accepted: 0..{2**16 - 1}")
        for name, top in (("chunk_length", codes.shape[2]), ("original_length", _TOP)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= top:
                raise ValueError(f"{name} is {_short(value)}; accepted: 1 to {top}")
        check_rate(self.sample_rate)
        if type(self.input_db) is not float or not math.isfinite(self.input_db):
            raise ValueError(f"input_db is {_short(self.input_db)}; accepted: a finite float")
        if type(self.padding) is not bool:
            raise ValueError(f"padding is {_short(self.padding)}; accepted: True, False")

    @property
    def channels(self) -> int:
        """C of the signal."""
        return len(self.codes)


def write(path: str | Path, file: DacFile) -> None:
    """Write `path` as the package reads it, whole or not at all."""
    metadata = {
        "input_db": np.array([file.input_db], np.float32),
        "original_length": file.original_length,
        "sample_rate": file.sample_rate,
        "chunk_length": file.chunk_length,
        "channels": file.channels,
        "padding": file.padding,
        "dac_version": VERSION,
    }
    content = {"codes": file.codes.cpu().numpy().astype(np.uint16), "metadata": metadata}
    with replacing(path) as temporary, temporary.open("wb") as out:
        np.save(out, np.array(content, dtype=object), allow_pickle=True)


def read(path: str | Path) -> DacFile:
    """The file `path`; ValueError where it is damaged, truncated, not one, or names code to run."""
    data = Path(path).read_bytes()
    try:
        content = pickled.resolve(pickled.load(data[_payload(data) :]))
        metadata = _entry(content, "metadata")
        fields = {name: pickled.resolve(_entry(metadata, name)) for name in _FIELDS}
        codes = pickled.resolve(_entry(content, "codes"))
        return _checked(codes, fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


_FIELDS = ("chunk_length", "original_length", "sample_rate", "input_db", "padding", "channels", "dac_version")


def _checked(codes: Any, fields: dict[str, Any]) -> DacFile:
    if not isinstance(codes, np.ndarray) or codes.dtype.kind not in "iu":
        raise ValueError(f"codes are a {type(codes).__name__}; accepted: an array of integers")
    loudness = fields.pop("input_db")
    if not isinstance(loudness, np.ndarray) or loudness.size != 1:
        raise ValueError(f"input_db is a {type(loudness).__name__}; accepted: an array of 1, one signal")
    version, channels = fields.pop("dac_version"), fields.pop("channels")
    if type(version) is not str or version != VERSION:
        raise ValueError(f"dac_version is {_short(version)}; accepted: {VERSION!r}")
    if type(channels) is not int or channels != len(codes):
        raise ValueError(f"channels is {_short(channels)} for codes {codes.shape}; accepted: one row each")
    whole = torch.from_numpy(codes.astype(np.int64, order="C"))
    return DacFile(whole, input_db=float(loudness.item()), **fields)


def _payload(data: bytes) -> int:
    """Where the pickle starts; ValueError unless the data begins as an .npy file of one object."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = readers[version](file)
    except (ValueError, TypeError, LookupError, SyntaxError, RecursionError, tokenize.TokenError) as error:
        raise ValueError(f"not an .npy file: {error}") from error
    if shape != () or dtype.kind != "O":
        raise ValueError(f"an .npy file of {dtype} {shape}; accepted: one object")
    return file.tell()


def _entry(mapping: Any, name: str) -> Any:
    if type(mapping) is not dict or name not in mapping:
        raise ValueError(f"no {name!r} in a {type(mapping).__name__}; accepted: a dict that has it")
    return mapping[name]


def _short(value: Any) -> str:
    """A value of a file for a message: what nests may be too large to print."""
    plain = isinstance(value, str | float | bool) or (isinstance(value, int) and abs(value) <= _TOP)
    return f"{value!r:.80}" if plain else f"a {type(value).__name__}"
