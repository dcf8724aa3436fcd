"""What counts as a signal: checks and conversions of what callers pass."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

RATES = range(1000, 768_001)  # Hz
CHANNELS = range(1, 65)
PEAK = 100.0  # of a float signal
FULL_SCALE = {torch.int16: 2.0**15, torch.int32: 2.0**31, torch.uint8: 2.0**7}
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_rate(sample_rate: Any, name: str = "sample_rate") -> int:
    """`sample_rate` in Hz as an int; ValueError unless it is an integer in `RATES`."""
    whole = isinstance(sample_rate, int | np.integer) and not isinstance(sample_rate, bool)
    if not whole or int(sample_rate) not in RATES:
        raise ValueError(f"{name} is {sample_rate!r}; accepted: an integer, {RATES[0]} to {RATES[-1]} Hz")
    return int(sample_rate)


def check_lengths(lengths: Any, batch: int, samples: int) -> list[int]:
    """Each item's own samples, None for all; ValueError unless one integer an item, 1 to `samples`."""
    if lengths is None:
        return [samples] * batch
    found = lengths.tolist() if isinstance(lengths, Tensor | np.ndarray) else lengths
    right = isinstance(found, list | tuple) and len(found) == batch
    if not right or not all(type(length) is int and 1 <= length <= samples for length in found):
        raise ValueError(f"lengths are {found}; accepted: {batch} integers, 1 to {samples}")
    return list(found)


def to_float(wav: Tensor | np.ndarray) -> Tensor:
    """A signal as float32 in [-1, 1], integers by their full scale; ValueError where empty or not finite."""
    if isinstance(wav, np.ndarray):
        wav = _from_numpy(wav)
    if not isinstance(wav, Tensor):
        raise ValueError(f"wav is a {type(wav).__name__}; accepted: Tensor, ndarray")
    if wav.dtype not in (*FLOATS, *FULL_SCALE):
        known = ", ".join(str(dtype) for dtype in (*FLOATS, *FULL_SCALE))
        raise ValueError(f"wav is {wav.dtype}; accepted: {known}")
    if wav.ndim == 0 or wav.numel() == 0:
        raise ValueError(f"wav is {tuple(wav.shape)}; accepted: one sample or more")
    if scale := FULL_SCALE.get(wav.dtype):
        middle = scale if wav.dtype == torch.uint8 else 0.0
        return (wav.float() - middle) / scale
    return check_samples(wav.float())


def check_samples(wav: Tensor, name: str = "wav") -> Tensor:
    """`wav` as it is; ValueError for NaN, infinities, and samples so large that they are not audio.

    A little over 1 is usual after resampling; a peak of thousands is integers cast to float, which would
    pass for very loud noise.
    """
    bad = wav.numel() - int(wav.isfinite().sum())
    if bad:
        found = f"holds NaN or infinite samples, {bad} of {wav.numel()}"
        raise ValueError(f"{name} {found}; accepted: finite float32")
    if wav.numel() and (peak := float(wav.detach().abs().max())) > PEAK:
        raise ValueError(f"{name} peaks at {peak:g}; accepted: float in [-1, 1], or integers by full scale")
    return wav


def to_batch(wav: Tensor | np.ndarray, channels: int, mix: bool) -> Tensor:
    """A signal (T,), (C, T) or (B, C, T) as float32 (B, channels, T), mixed to them only if `mix`."""
    wav = to_float(wav)
    if wav.ndim > 3:
        raise ValueError(f"wav is {tuple(wav.shape)}; accepted: (T,), (C, T), (B, C, T)")
    wav = wav.reshape((1, 1, 1, *wav.shape)[-3:])
    if wav.shape[1] != channels and not mix:
        known = f"{channels}, or others with sample_rate given, which are mixed"
        raise ValueError(f"wav has {wav.shape[1]} channels; accepted: {known}")
    if wav.shape[1] not in CHANNELS:
        raise ValueError(
            f"wav has {wav.shape[1]} channels; accepted: {CHANNELS[0]} to {CHANNELS[-1]}, (C, T)"
        )
    return to_channels(wav, channels)


def repeated(wav: Tensor, samples: int) -> Tensor:
    """wav (C, T), T of 1 or more, from its start again and again: (C, samples)."""
    return wav.repeat(1, -(-samples // wav.shape[-1]))[:, :samples]


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


def stack(items: list[Tensor]) -> Tensor:
    """Items (..., n) to (B, ..., N), zeros after the shorter ones."""
    longest = max(item.shape[-1] for item in items)
    return torch.stack([F.pad(item, (0, longest - item.shape[-1])) for item in items])


def groups(counts: list[int], together: bool = True) -> Iterator[list[int]]:
    """The items of each count: in one batch, none of them sees another's padding.

    together: False makes every item a group, for results that are alike to the bit.
    """
    if not together:
        yield from ([i] for i in range(len(counts)))
        return
    for count in sorted(set(counts)):
        yield [i for i, found in enumerate(counts) if found == count]


def _from_numpy(wav: np.ndarray) -> Tensor:
    try:
        return torch.from_numpy(
            np.array(wav, dtype=wav.dtype.newbyteorder("="))
        )  # a copy: writable, in order
    except TypeError as error:
        raise ValueError(
            f"wav is an array of {wav.dtype}; accepted: float16 to 64, int16, int32, uint8"
        ) from error
