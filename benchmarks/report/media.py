"""Recordings and what codecs make of them, as parts of a page: audio at equal loudness, and spectrograms."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.codecs.loudness import SILENCE, loudness
from vocable.codecs.plot import spectrogram

ORIGINAL = "Original"
SECONDS = 6.0  # of each recording: what is longer is cut, to keep the page small
LOUDNESS = -20.0  # LUFS
PEAK = -1.0  # dB of full scale
RANGE = 80.0  # dB below the original's loudest that a spectrogram shows
BINS, FRAMES = 128, 640  # of a spectrogram, at most
SHADES = 64


@dataclass(frozen=True, eq=False)
class Example:
    """A recording to listen to.

    original (T,) float32 in [-1, 1], and what each model makes of it, as long and at the same rate, by the
    model's name. transcript: what is said, None where unknown.
    """

    title: str
    transcript: str | None
    original: Tensor
    models: Mapping[str, Tensor]
    sample_rate: int


def media(example: Example) -> dict[str, Any]:
    """The example as JSON takes it, audio and pictures as data URIs.

    Every version is brought to one loudness, at which none clips. ValueError for wavs of other lengths than
    the original's, and for NaN.
    """
    rate, length = example.sample_rate, example.original.shape[-1]
    names, wavs = [ORIGINAL, *example.models], [example.original, *example.models.values()]
    for name, wav in zip(names, wavs, strict=True):
        if wav.shape != (length,) or not wav.isfinite().all():
            found = f"{tuple(wav.shape)}{'' if wav.isfinite().all() else ', not finite'}"
            raise ValueError(f"{example.title}, {name}: wav is {found}; accepted: finite ({length},)")
    equal = equally_loud([wav[: int(SECONDS * rate)].detach().cpu().float() for wav in wavs], rate)
    top = spectrogram(equal[0][None], rate).max().item()
    return {
        "title": example.title,
        "transcript": example.transcript or "",
        "seconds": len(equal[0]) / rate,
        "whole": length / rate,
        "khz": rate / 2000,
        "versions": [
            {"name": name, "audio": flac(wav, rate), "picture": picture(wav, rate, top)}
            for name, wav in zip(names, equal, strict=True)
        ],
    }


def equally_loud(wavs: Sequence[Tensor], sample_rate: int) -> list[Tensor]:
    """Each (T,) at one loudness (ITU-R BS.1770): -20 LUFS, or what keeps every peak below -1 dB.

    Silence stays as it is.
    """
    levels = [loudness(wav[None], sample_rate) for wav in wavs]
    highest = [  # that each may have
        level + PEAK - 20 * wav.abs().max().log10().item()
        for wav, level in zip(wavs, levels, strict=True)
        if level > SILENCE
    ]
    target = min([LOUDNESS, *highest])
    gains = [10 ** ((target - level) / 20) if level > SILENCE else 1.0 for level in levels]
    return [gain * wav for gain, wav in zip(gains, wavs, strict=True)]


def flac(wav: Tensor, sample_rate: int) -> str:
    """(T,) as a data URI: FLAC of 16 bits, which every browser plays and nothing is lost by."""
    import soundfile

    file = BytesIO()
    soundfile.write(file, wav.numpy(), sample_rate, format="FLAC", subtype="PCM_16")
    return _uri("audio/flac", file)


def picture(wav: Tensor, sample_rate: int, top: float) -> str:
    """The spectrogram of (T,) as a data URI: PNG, frequency linear and upwards, `top` dB the brightest."""
    from matplotlib import colormaps
    from PIL import Image

    power = spectrogram(wav[None], sample_rate)
    size = (min(BINS, power.shape[0]), min(FRAMES, power.shape[1]))
    small = F.adaptive_avg_pool2d(power[None], size)[0].flip(0)
    shades = ((small - top + RANGE) / RANGE * SHADES).clamp(0, SHADES - 1).to(torch.uint8)
    image = Image.fromarray(shades.numpy())
    image.putpalette((colormaps["magma"].resampled(SHADES)(range(SHADES), bytes=True)[:, :3]).tobytes())
    file = BytesIO()
    image.save(file, format="PNG", optimize=True)
    return _uri("image/png", file)


def _uri(kind: str, file: BytesIO) -> str:
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
