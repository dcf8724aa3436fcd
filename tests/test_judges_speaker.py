"""Resemblyzer as a judge: the package's own numbers, and the order that listeners would give."""

import numpy as np
import pytest
import torch
from torch import Tensor

from vocable.benchmarks.judges.base import Unavailable, Utterance
from vocable.benchmarks.judges.common import need
from vocable.benchmarks.judges.speaker import Resemblyzer
from vocable.codecs.audio import read, resample
from vocable.codecs.cli import clip

NAME = "SPK-SIM Resemblyzer"


@pytest.fixture(scope="module")
def judge() -> Resemblyzer:
    pytest.importorskip("resemblyzer")
    judge = Resemblyzer()
    judge.check()
    return judge


@pytest.fixture(scope="module")
def wav() -> Tensor:
    return read(clip())[0][0]


def utterance(wav: Tensor, key: str, sample_rate: int = 16_000) -> Utterance:
    return Utterance(clip(), key, wav, sample_rate)


def test_it_is_the_packages_documented_call(judge: Resemblyzer, wav: Tensor) -> None:
    from resemblyzer import VoiceEncoder, preprocess_wav

    encoder = VoiceEncoder("cpu", verbose=False)
    noisy = wav + 0.005 * torch.randn(len(wav), generator=torch.Generator().manual_seed(0))
    original = encoder.embed_utterance(preprocess_wav(wav.numpy()))
    made = encoder.embed_utterance(preprocess_wav(noisy.numpy()))
    expected = np.inner(original, made) / np.linalg.norm(original) / np.linalg.norm(made)
    first, second = (judge(utterance(wav, "clip"), noisy)[NAME] for _ in range(2))
    assert first == second
    assert first.value == pytest.approx(expected, abs=1e-6)
    assert first.value < 0.95


def test_the_same_recording_gets_one(judge: Resemblyzer, wav: Tensor) -> None:
    assert judge(utterance(wav, "clip"), wav)[NAME].value == pytest.approx(1, abs=1e-6)


def test_another_voice_gets_less_than_another_sentence(judge: Resemblyzer, wav: Tensor) -> None:
    half = len(wav) // 2
    first, second = utterance(wav[:half], "half"), wav[half:][:half]
    higher = torch.cat([resample(second, 20_000, 16_000)] * 2)[:half]  # four semitones up, and faster
    same, other = (judge(first, made)[NAME].value for made in (second, higher))
    assert same > 0.8
    assert other < same - 0.15


def test_other_rates_are_resampled(judge: Resemblyzer, wav: Tensor) -> None:
    there = resample(wav, 16_000, 44_100)
    noise = 0.005 * torch.randn(len(wav), generator=torch.Generator().manual_seed(0))
    made = resample(wav + noise, 16_000, 44_100)
    here = judge(utterance(wav, "clip"), wav + noise)[NAME].value
    assert judge(utterance(there, "44100", 44_100), made)[NAME].value == pytest.approx(here, abs=0.01)


def test_it_needs_a_voice_and_samples(judge: Resemblyzer, wav: Tensor) -> None:
    silence = torch.zeros_like(wav)
    with pytest.raises(ValueError, match="no voice in what was made"):
        judge(utterance(wav, "clip"), silence)
    with pytest.raises(ValueError, match="no voice in the original"):
        judge(utterance(silence, "silence"), wav)
    short = wav[16_000:16_479]
    with pytest.raises(ValueError, match=r"the audio is 0\.030 s long; accepted: 0\.030 s or more"):
        judge(utterance(short, "short"), short)


def test_samples_beyond_one_are_clipped(judge: Resemblyzer, wav: Tensor) -> None:
    loud = 5 * wav  # where the package's 16 bits would wrap around
    clipped = judge(utterance(wav, "clip"), loud.clamp(-1, 1))
    assert judge(utterance(wav, "clip"), loud) == clipped


def test_its_version_names_the_weights(judge: Resemblyzer) -> None:
    assert judge.version.startswith("resemblyzer 0.1.")
    assert judge.version.endswith("weights 39373b86598f")


def test_a_package_that_is_not_here_is_named() -> None:
    with pytest.raises(Unavailable, match=r"no_such can't be imported \(.*\): pip install such 'other<2'"):
        need(("math", "no_such"), "such 'other<2'")
