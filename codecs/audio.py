"""Audio files, read and written by libsndfile, and resampling by soxr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vocable.codecs.files import replacing
from vocable.codecs.signal import check_rate, to_channels, to_float

__all__ = [
    "Info",
    "info",
    "open_file",
    "read",
    "resample",
    "resampled_length",
    "to_channels",
    "write",
    "writing",
]

_SUFFIXES = {"OGA": "OGG", "OPUS": "OGG", "AIF": "AIFF"}  # where libsndfile's name of the format differs


class Info(NamedTuple):
    """What an audio file's header says; `frames` are samples of each channel."""

    sample_rate: int
    channels: int
    frames: int


def info(path: str | Path | BinaryIO) -> Info:
    """The rate, channels and length of an audio file, from its header; ValueError where it is not one."""
    with open_file(path) as file:
        return Info(file.samplerate, file.channels, file.frames)


def read(
    path: str | Path | BinaryIO, sample_rate: int | None = None, offset: int = 0, frames: int | None = None
) -> tuple[Tensor, int]:
    """Read a file to (C, T) float32 in [-1, 1] and its rate in Hz, resampled when `sample_rate` is given.

    path: of the file, or an open binary one, which is read from its start.
    `offset` and `frames` pick samples at the file's own rate, and only these are decoded; near the end
    there may be fewer than `frames`. ValueError for a damaged or empty file, NaN, and an offset past the end.
    """
    with open_file(path) as file:
        if not 0 <= offset < max(file.frames, 1):
            raise ValueError(f"{path}: offset is {offset}; accepted: 0 to {file.frames - 1}")
        if frames is not None and frames < 1:
            raise ValueError(f"{path}: frames is {frames}; accepted: 1 or more")
        rate = check_rate(file.samplerate, f"{path}: sample_rate")
        try:
            file.seek(offset)
            samples = file.read(-1 if frames is None else frames, dtype="float32", always_2d=True)
        except (RuntimeError, MemoryError, ValueError) as error:  # a false header may ask for any memory
            raise ValueError(f"{path}: the audio can't be read: {error}") from error
    if not len(samples):
        raise ValueError(f"{path}: holds 0 samples; accepted: 1 or more")
    if not np.isfinite(samples).all():
        raise ValueError(f"{path}: holds NaN or infinite samples; accepted: finite ones")
    wav = torch.from_numpy(np.ascontiguousarray(samples.T))
    if sample_rate is None:
        return wav, rate
    return resample(wav, rate, sample_rate), int(sample_rate)


def read_at(path: str | Path, sample_rate: int | None) -> tuple[Tensor, int]:
    """Read a file to (C, T) float32 and its rate; ValueError where a rate is told and is not the file's."""
    wav, found = read(path)
    if sample_rate not in (None, found):
        raise ValueError(f"sample_rate is {sample_rate!r} for a file of {found} Hz; accepted: None, {found}")
    return wav, found


def write(path: str | Path, wav: Tensor | np.ndarray, sample_rate: int, subtype: str | None = None) -> None:
    """Write (C, T) or (T,) in [-1, 1] to the format that the suffix names, whole or not at all.

    subtype: as libsndfile names it ("PCM_16", "FLOAT"); None takes 16 bits where the format has them, and
    clips to them. ValueError for a suffix or subtype that libsndfile can't write, NaN, and no samples.
    """
    samples = to_float(wav).detach().cpu()
    if samples.ndim > 2:
        raise ValueError(f"wav is {tuple(wav.shape)}; accepted: (T,), (C, T)")
    samples = samples[None] if samples.ndim == 1 else samples
    with writing(path, len(samples), sample_rate, subtype) as put:
        put(samples)


@contextmanager
def writing(
    path: str | Path, channels: int, sample_rate: int, subtype: str | None = None
) -> Iterator[Callable[[Tensor], None]]:
    """`write` block by block: gives a function that takes the next samples (channels, n).

    The file is there, whole, when the context ends without an error.
    """
    import soundfile

    path, rate = Path(path), check_rate(sample_rate)
    kind = _SUFFIXES.get(path.suffix[1:].upper(), path.suffix[1:].upper())
    if kind not in soundfile.available_formats():
        known = ", ".join(f".{name.lower()}" for name in soundfile.available_formats())
        raise ValueError(f"{path}: the suffix is {path.suffix!r}; accepted: {known}")
    known = soundfile.available_subtypes(kind)
    if subtype is None:
        wish = "OPUS" if path.suffix.lower() == ".opus" else "PCM_16"
        subtype = wish if wish in known else soundfile.default_subtype(kind)
    if subtype not in known:
        raise ValueError(f"{path}: subtype is {subtype!r}; accepted: {', '.join(known)}")
    with replacing(path) as temporary:
        try:
            with soundfile.SoundFile(temporary, "w", rate, channels, subtype, format=kind) as file:
                yield lambda samples: file.write(to_float(samples).detach().cpu().numpy().T)
        except soundfile.SoundFileRuntimeError as error:
            found = f"{channels} channels at {rate} Hz"
            raise ValueError(f"{path}: {found} can't be written: {error}") from error


def resampled_length(length: int, from_rate: int, to_rate: int) -> int:
    """The samples that `length` samples become: length * to / from rounded half up, at least 1."""
    return max(1, (2 * length * to_rate + from_rate) // (2 * from_rate))


def resample(wav: Tensor, from_rate: int, to_rate: int, length: int | None = None) -> Tensor:
    """Resample float (..., T) to (..., `resampled_length`), or to exactly `length` samples, on its device.

    Rates in Hz. Not differentiable. ValueError for integers, no samples and a rate out of range.
    """
    import soxr

    from_rate, to_rate = check_rate(from_rate, "from_rate"), check_rate(to_rate, "to_rate")
    if not wav.is_floating_point() or not wav.numel() or (length is not None and length < 1):
        found = f"wav is {wav.dtype} {tuple(wav.shape)}, length {length}"
        raise ValueError(f"{found}; accepted: float (..., T), one sample or more, and a length of 1 or more")
    if length is None:
        length = resampled_length(wav.shape[-1], from_rate, to_rate)
    if from_rate == to_rate and length == wav.shape[-1]:
        return wav
    rows = wav.detach().cpu().float().reshape(-1, wav.shape[-1])
    # soxr stops at its input's end, which may be a sample early; it takes what follows for zeros anyway
    needed = (length + 1) * from_rate // to_rate + 2
    rows = torch.nn.functional.pad(rows, (0, max(0, needed - rows.shape[-1])))
    out = soxr.resample(np.ascontiguousarray(rows.numpy().T), from_rate, to_rate, quality="VHQ")[:length]
    return torch.from_numpy(np.ascontiguousarray(out.T)).reshape(*wav.shape[:-1], length).to(wav.device)


def open_file(path: str | Path | BinaryIO) -> Any:
    """An open `soundfile.SoundFile`."""
    import soundfile

    if not isinstance(path, str | Path):
        path.seek(0)
    elif not Path(path).exists():
        raise FileNotFoundError(f"no audio file {path}")
    try:
        return soundfile.SoundFile(str(path) if isinstance(path, Path) else path)
    except (RuntimeError, TypeError) as error:  # TypeError: a suffix of a format without header
        known = "WAV, FLAC, OGG, MP3 and what else libsndfile reads"
        raise ValueError(f"{path}: not an audio file: {error}; accepted: {known}") from error
