"""Audio files and plain signals: read, write, resample, channels."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vocable.codecs.files import replacing

RATES = range(1000, 768_001)  # Hz
CHANNELS = range(1, 65)
_FULL_SCALE = {torch.int16: 2.0**15, torch.int32: 2.0**31, torch.uint8: 2.0**7}
_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class Info(NamedTuple):
    """What an audio file's header says."""

    sample_rate: int
    channels: int
    frames: int


def check_rate(sample_rate: Any, name: str = "sample_rate") -> int:
    """`sample_rate` in Hz as an int; ValueError unless it is an integer in `RATES`."""
    if (
        isinstance(sample_rate, bool)
        or not isinstance(sample_rate, int | np.integer)
        or int(sample_rate) not in RATES
    ):
        raise ValueError(f"{name} is {sample_rate!r}; accepted: an integer, {RATES[0]} to {RATES[-1]} Hz")
    return int(sample_rate)


def info(path: str | Path) -> Info:
    """The rate, channels and length of an audio file, from its header."""
    with _open(path) as file:
        return Info(file.samplerate, file.channels, file.frames)


def read(
    path: str | Path, sample_rate: int | None = None, offset: int = 0, frames: int | None = None
) -> tuple[Tensor, int]:
    """Read a file to (C, T) float32 and its rate, resampled when `sample_rate` is given.

    `offset` and `frames` pick samples at the file's own rate; only these are decoded. At the end there may be fewer.
    """
    with _open(path) as file:
        if not 0 <= offset < max(file.frames, 1):
            raise ValueError(f"{path}: offset is {offset}; accepted: 0 to {file.frames - 1}")
        if frames is not None and frames < 1:
            raise ValueError(f"{path}: frames is {frames}; accepted: 1 or more")
        try:
            file.seek(offset)
            samples = file.read(-1 if frames is None else frames, dtype="float32", always_2d=True)
        except RuntimeError as error:
            raise ValueError(f"{path}: the audio can't be read: {error}") from error
        rate = check_rate(file.samplerate, f"{path}: sample_rate")
    if not len(samples):
        raise ValueError(f"{path}: holds 0 samples; accepted: 1 or more")
    wav = torch.from_numpy(np.ascontiguousarray(samples.T))
    if not bool(wav.isfinite().all()):
        raise ValueError(f"{path}: holds NaN or infinite samples; accepted: finite ones")
    if sample_rate is None:
        return wav, rate
    return resample(wav, rate, sample_rate), int(sample_rate)


def write(path: str | Path, wav: Tensor, sample_rate: int, subtype: str | None = None) -> None:
    """Write (C, T) or (T,) to the format that the suffix names; `subtype` as libsndfile's ("PCM_16", "FLOAT").

    Without `subtype`, 16 bits where the format has them. The file appears whole or not at all.
    """
    import soundfile

    path = Path(path)
    kind = path.suffix[1:].upper()
    kind = {"OGA": "OGG", "OPUS": "OGG", "AIF": "AIFF"}.get(kind, kind)
    if kind not in soundfile.available_formats():
        known = ", ".join(f".{name.lower()}" for name in soundfile.available_formats())
        raise ValueError(f"{path}: the suffix is {path.suffix!r}; accepted: {known}")
    if subtype is None:
        preferred = "OPUS" if path.suffix.lower() == ".opus" else "PCM_16"
        subtype = (
            preferred if preferred in soundfile.available_subtypes(kind) else soundfile.default_subtype(kind)
        )
    if not soundfile.check_format(kind, subtype):
        known = ", ".join(soundfile.available_subtypes(kind))
        raise ValueError(f"{path}: subtype is {subtype!r}; accepted: {known}")
    if wav.ndim not in (1, 2):
        raise ValueError(f"wav is {tuple(wav.shape)}; accepted: (T,) or (C, T)")
    samples = to_float(wav.detach().cpu()).reshape(-1, wav.shape[-1]).T.numpy()
    rate = check_rate(sample_rate)
    with replacing(path) as temporary:
        try:
            soundfile.write(temporary, samples, rate, subtype=subtype, format=kind)
        except RuntimeError as error:
            raise ValueError(
                f"{path}: {samples.shape[1]} channels at {rate} Hz can't be written: {error}"
            ) from error


def to_float(wav: Tensor | np.ndarray) -> Tensor:
    """A signal as float32 in [-1, 1]: int16, int32 and uint8 by their full scale; finite, with one sample or more."""
    if isinstance(wav, np.ndarray):
        wav = _from_numpy(wav)
    if not isinstance(wav, Tensor):
        raise ValueError(f"wav is a {type(wav).__name__}; accepted: Tensor, ndarray")
    if wav.dtype not in _FULL_SCALE and wav.dtype not in _FLOATS:
        known = ", ".join(str(dtype) for dtype in (*_FLOATS, *_FULL_SCALE))
        raise ValueError(f"wav is {wav.dtype}; accepted: {known}")
    if wav.ndim == 0 or wav.numel() == 0:
        raise ValueError(f"wav is {tuple(wav.shape)}; accepted: one sample or more")
    if scale := _FULL_SCALE.get(wav.dtype):
        return ((wav.double() - (scale if wav.dtype == torch.uint8 else 0.0)) / scale).float()
    wav = wav.float()
    if not bool(wav.isfinite().all()):
        bad = int((~wav.isfinite()).sum())
        raise ValueError(
            f"wav holds NaN or infinite samples ({bad} of {wav.numel()}); accepted: finite float32"
        )
    return wav


def _from_numpy(wav: np.ndarray) -> Tensor:
    try:
        return torch.from_numpy(
            np.array(wav, dtype=wav.dtype.newbyteorder("="))
        )  # a copy: writable, in order
    except TypeError as error:
        raise ValueError(
            f"wav is an array of {wav.dtype}; accepted: float16 to 64, int16, int32, uint8"
        ) from error


def resampled_length(length: int, from_rate: int, to_rate: int) -> int:
    """The samples that `length` samples become: length * to / from rounded half up, at least 1."""
    return max(1, (2 * length * to_rate + from_rate) // (2 * from_rate))


def resample(wav: Tensor, from_rate: int, to_rate: int, length: int | None = None) -> Tensor:
    """Resample (..., T) to (..., `resampled_length`), or to exactly `length` samples. Not differentiable."""
    import soxr

    from_rate, to_rate = check_rate(from_rate, "from_rate"), check_rate(to_rate, "to_rate")
    if length is None:
        length = resampled_length(wav.shape[-1], from_rate, to_rate)
    if from_rate == to_rate and length == wav.shape[-1]:
        return wav
    rows = wav.detach().cpu().float().reshape(-1, wav.shape[-1])
    # soxr may stop a sample early; past its end the signal is zero, so zeros are what it would have seen
    rows = torch.nn.functional.pad(
        rows, (0, max(0, length * from_rate // to_rate - rows.shape[-1]) + 2 + 2 * from_rate // to_rate)
    )
    out = soxr.resample(np.ascontiguousarray(rows.numpy().T), from_rate, to_rate, quality="VHQ")[:length]
    return torch.from_numpy(np.ascontiguousarray(out.T)).reshape(*wav.shape[:-1], length).to(wav.device)


def to_channels(wav: Tensor, channels: int) -> Tensor:
    """(..., C, T) to (..., channels, T): mixed to one by the mean, or one repeated."""
    found = wav.shape[-2]
    if found == channels:
        return wav
    if channels == 1:
        return wav.mean(-2, keepdim=True)
    if found == 1:
        return wav.repeat_interleave(channels, -2)
    raise ValueError(f"wav has {found} channels; accepted: 1 or {channels}")


def _open(path: str | Path) -> Any:
    """An open `soundfile.SoundFile`."""
    import soundfile

    if not Path(path).exists():
        raise FileNotFoundError(f"no audio file {path}")
    try:
        return soundfile.SoundFile(str(path))
    except (RuntimeError, TypeError) as error:  # TypeError: .raw, which has no header
        raise ValueError(f"{path}: not an audio file that libsndfile reads: {error}") from error
