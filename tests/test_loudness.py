"""Loudness, against audiotools, pyloudnorm and the standard's tone."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from vocable.codecs.loudness import k_weighting, loudness


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.filterwarnings("ignore")
def test_loudness_is_the_package_s(rate: int, speech: Any) -> None:
    audiotools = pytest.importorskip("audiotools")
    wav = speech(rate, 2.33)[0]
    stereo = torch.cat([wav, 0.2 * wav.flip(-1)])
    stereo[:, : rate // 2] *= 1e-3  # below the gate
    for each in (wav, stereo, 1e-6 * stereo, wav[:, : rate // 5], 0 * wav):
        expected = audiotools.AudioSignal(each[None].clone(), rate).loudness()
        assert loudness(each, rate) == pytest.approx(float(expected), abs=2e-3)
    with pytest.raises(ValueError, match="6 channels; accepted: 1 to 5"):
        loudness(torch.zeros(6, 100), rate)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_k_weighting_is_the_recursive_filter(rate: int) -> None:
    signal = pytest.importorskip("scipy.signal")
    meter = pytest.importorskip("pyloudnorm").Meter(rate)
    wav = torch.randn(2, 3 * rate, dtype=torch.float64)
    expected = wav.numpy()
    for stage in meter._filters.values():
        expected = signal.lfilter(stage.b, stage.a, expected)
    assert np.abs(k_weighting(wav, rate).numpy() - expected).max() < 1e-11


def test_loudness_of_the_standard_s_tone() -> None:
    # EBU Tech 3341: a stereo sine of 1 kHz at -23 dBFS is at -23 LUFS
    time = torch.arange(5 * 48_000, dtype=torch.float64) / 48_000
    tone = 10 ** (-23 / 20) * torch.sin(2 * math.pi * 1000 * time)
    assert loudness(tone.repeat(2, 1), 48_000) == pytest.approx(-23.0, abs=0.05)
