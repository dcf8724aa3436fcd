"""What a codec costs: its look-ahead against known ones, its speed and memory measured for real."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("av")

from vocable.benchmarks.cost import look_ahead, measure_cost
from vocable.benchmarks.subjects import Made, Subject
from vocable.codecs import audio
from vocable.codecs.cli import clip

RATE = 16_000


class Ahead(Subject):
    """The sum of a sample and the one so many after it."""

    name = identity = "ahead"
    sample_rate = RATE

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def reconstruct(self, wav: Tensor, sample_rate: int) -> Made:
        return Made(wav + F.pad(wav, (0, self.samples))[self.samples :], 1.0)


class Framed(Subject):
    """Frames of so many samples, each of which becomes its mean."""

    name = identity = "framed"
    sample_rate = RATE

    def __init__(self, samples: int) -> None:
        self.samples = samples

    def reconstruct(self, wav: Tensor, sample_rate: int) -> Made:
        frames = F.pad(wav, (0, -len(wav) % self.samples)).unflatten(0, (-1, self.samples))
        return Made(frames.mean(1, keepdim=True).expand_as(frames).flatten()[: len(wav)], 1.0)


@pytest.fixture(scope="module")
def speech() -> Tensor:
    return audio.read(clip())[0][0, : 4 * RATE]


@pytest.mark.parametrize("samples", [0, 1, 160, 5000])
def test_look_ahead_is_what_it_is(speech: Tensor, samples: int) -> None:
    found = look_ahead(Ahead(samples), speech, RATE)
    # a sample or two more change so little that they pass for rounding
    assert found == pytest.approx(1000 * samples / RATE, abs=0.2)


def test_a_frame_looks_ahead_by_its_length(speech: Tensor) -> None:
    """From points 12.5 ms apart the latest in a frame of 640 samples is seen from 600 samples before."""
    assert look_ahead(Framed(640), speech, RATE) == pytest.approx(1000 * 600 / RATE, abs=3)


def test_a_codec_that_sees_all_gets_half_of_the_signal(speech: Tensor) -> None:
    class All(Framed):
        def reconstruct(self, wav: Tensor, sample_rate: int) -> Made:
            return Made(wav - wav.mean(), 1.0)

    assert look_ahead(All(1), speech - speech.mean() + 0.01, RATE) >= 1900


def test_cost_is_measured_in_a_process_of_its_own() -> None:
    held = torch.ones(2**26)  # 256 MB that are not the codec's
    cost = measure_cost("opus:6", 1)
    assert held.sum() == 2**26
    assert 0.001 < cost["RTF"] < 5
    assert 0 < cost["memory"] < 200
    assert 10 < cost["look-ahead"] < 60
