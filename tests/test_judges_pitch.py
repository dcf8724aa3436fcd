"""Pitch and voicing: tones of known pitch, parts without any."""

import math

import pytest
import torch
from torch import Tensor

pytest.importorskip("torchcrepe")

from vocable.benchmarks.judges.base import Score, Utterance
from vocable.benchmarks.judges.pitch import Pitch, Track, _path, scores, track
from vocable.codecs.audio import read, resample
from vocable.codecs.cli import clip

RATE = 16_000
SAMPLES, FRAMES = 9600, 61


def voice(pitch: float, silent: tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """0.6 s of all harmonics of `pitch` Hz, but from and to so many seconds."""
    time = torch.arange(SAMPLES, dtype=torch.float64) / RATE
    wav = sum(torch.sin(2 * math.pi * pitch * k * time) / k for k in range(1, int(7900 / pitch)))
    assert isinstance(wav, Tensor)
    wav[round(silent[0] * RATE) : round(silent[1] * RATE)] = 0
    return (0.1 * wav).float()


def utterance(wav: Tensor, key: str = "key", rate: int = RATE) -> Utterance:
    return Utterance(clip(), key, wav, rate)


@pytest.fixture(scope="module")
def judge() -> Pitch:
    judge = Pitch()
    judge.check()
    return judge


@pytest.mark.parametrize("pitch", [100.0, 150.0, 220.0])
def test_the_pitch_of_a_voice(pitch: float) -> None:
    found = track(voice(pitch))
    assert len(found.cents) == len(found.voiced) == FRAMES
    assert found.voiced.all()
    inside = found.cents[4:-4]  # of frames that don't reach over the ends
    assert float((inside - 1200 * math.log2(pitch / 10)).abs().max()) < 10


@pytest.mark.parametrize("cents", [-300, 30, 100])
def test_a_known_shift(judge: Pitch, cents: int) -> None:
    found = judge(utterance(voice(150.0)), voice(150.0 * 2 ** (cents / 1200)))
    assert found["V/UV error"] == Score(0.0, FRAMES)
    assert found["F0 error"].value == pytest.approx(abs(cents), abs=12)
    assert found["F0 error"].weight == FRAMES


def test_a_part_without_voice(judge: Pitch) -> None:
    found = judge(utterance(voice(150.0)), voice(150.0, silent=(0.2, 0.5)))
    assert found["V/UV error"].value == pytest.approx(50, abs=8)  # a frame looks at 64 ms
    assert found["F0 error"].weight == FRAMES - round(FRAMES * found["V/UV error"].value / 100)
    hiss = voice(150.0)
    hiss[3200:8000] = 0.1 * torch.randn(4800, generator=torch.Generator().manual_seed(0))
    assert judge(utterance(voice(150.0)), hiss)["V/UV error"].value == pytest.approx(50, abs=12)


def test_equal_signals_have_no_error(judge: Pitch) -> None:
    wav = read(clip())[0][0, 8_000:24_000]
    found = judge(utterance(wav, "speech"), wav)
    assert found["F0 error"].value == found["V/UV error"].value == 0
    assert 30 < found["F0 error"].weight < 90
    again = judge(utterance(resample(wav, RATE, 48_000), "raised", 48_000), resample(wav, RATE, 48_000))
    assert again["F0 error"].weight == pytest.approx(found["F0 error"].weight, abs=3)


@pytest.mark.filterwarnings("ignore:n_fft=1024 is too large")
def test_where_no_one_speaks_there_is_no_pitch(judge: Pitch) -> None:
    found = judge(utterance(voice(150.0)), torch.zeros(SAMPLES))
    assert found == {"V/UV error": Score(100.0, FRAMES)}
    for count in (1, 159, 160):
        silence = torch.zeros(count)
        assert judge(utterance(silence, str(count)), silence) == {"V/UV error": Score(0.0, 1 + count // 160)}


def test_the_original_is_heard_once(judge: Pitch) -> None:
    judge(utterance(voice(200.0), "kept"), voice(200.0))
    kept = judge._originals["kept"]
    judge(utterance(voice(200.0), "kept"), voice(210.0))
    assert judge._originals["kept"] is kept


def test_scores_in_closed_form() -> None:
    yes, no = True, False
    original = Track(torch.tensor([100.0, 200.0, 300.0, 400.0]), torch.tensor([yes, yes, yes, no]))
    made = Track(torch.tensor([103.0, 196.0, 900.0, 900.0]), torch.tensor([yes, yes, no, yes]))
    found = scores(original, made)
    assert tuple(found["F0 error"]) == (pytest.approx(math.sqrt((9 + 16) / 2)), 2)
    assert found["V/UV error"] == Score(50.0, 4)


def test_what_was_not_made_is_refused(judge: Pitch) -> None:
    for wrong in (voice(150.0)[1:], voice(150.0) / 0):
        with pytest.raises(ValueError, match="accepted: "):
            judge(utterance(voice(150.0)), wrong)
    assert "torchcrepe" in judge.version


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_the_path_is_torchcrepes() -> None:
    import torchcrepe

    confidence = torch.rand(300, 360, generator=torch.Generator().manual_seed(0))
    bins, confident = _path(confidence)
    masked = confidence.T[None].clone()
    masked[:, : int(torchcrepe.convert.frequency_to_bins(torch.tensor(50.0)))] = -torch.inf
    masked[:, int(torchcrepe.convert.frequency_to_bins(torch.tensor(550.0), torch.ceil)) :] = -torch.inf
    expected, _ = torchcrepe.decode.viterbi(masked)
    assert torch.equal(bins, expected[0])
    assert torch.equal(confident, confidence[torch.arange(300), bins])
