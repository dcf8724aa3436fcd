"""Measures of two signals: what perfection gets, closed forms, the packages' own numbers, refusals."""

import math
import sys

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("pesq")
pytest.importorskip("pystoi")
pytest.importorskip("torchaudio")

from vocable.benchmarks.judges import intrusive
from vocable.benchmarks.judges.base import Unavailable, Utterance
from vocable.benchmarks.judges.intrusive import SignalJudge
from vocable.codecs.audio import read, resample
from vocable.codecs.cli import clip
from vocable.codecs.delay import delay
from vocable.codecs.measure import pesq_nb, pesq_wb, stoi

RATE = 16_000
JUDGES = (
    intrusive.STOI,
    intrusive.PESQWideBand,
    intrusive.PESQNarrowBand,
    intrusive.SISDR,
    intrusive.MelDistance,
    intrusive.STFTDistance,
    intrusive.Delay,
)


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """Three seconds (T,) at 16 kHz."""
    return read(clip())[0][0, 16_000:64_000]


def noise(count: int = 32_000) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(0))


def judge(kind: type[SignalJudge], original: Tensor, made: Tensor, rate: int = RATE) -> float | None:
    """Its score, None for none."""
    made_by = kind()
    made_by.check()
    found = made_by(Utterance(clip(), "key", original, rate), made)
    assert set(found) <= {kind.columns[0].name}
    return found[kind.columns[0].name].value if found else None


def test_equal_signals_get_what_perfection_gets(speech: Tensor) -> None:
    found = {kind.name: judge(kind, speech, speech.clone()) for kind in JUDGES}
    perfect = {
        "STOI": 1,
        "PESQ-WB": 4.6439,
        "PESQ-NB": 4.5486,
        "mel distance": 0,
        "STFT distance": 0,
        "delay": 0,
    }
    assert found.pop("SI-SDR") is None  # it is infinite
    assert found == pytest.approx(perfect, abs=1e-4)


def test_intelligibility_and_quality_are_the_packages(speech: Tensor) -> None:
    from pesq import pesq
    from pystoi import stoi as pystoi

    made = speech + 0.01 * noise(len(speech))
    pair = speech.numpy(), made.numpy()
    assert judge(intrusive.STOI, speech, made) == pytest.approx(pystoi(*pair, RATE, extended=False), abs=1e-9)
    assert judge(intrusive.PESQWideBand, speech, made) == pesq(RATE, *pair, "wb")
    assert judge(intrusive.PESQNarrowBand, speech, made) == pesq(RATE, *pair, "nb")
    assert pesq_wb(speech, made, RATE) < pesq_nb(speech, made, RATE)


@pytest.mark.parametrize("kind", JUDGES[:4])
def test_other_rates_are_judged_at_16_khz(kind: type[SignalJudge], speech: Tensor) -> None:
    made = speech + resample(0.005 * noise(len(speech) // 2), RATE // 2, RATE)  # both fall off below 8 kHz
    expected = judge(kind, speech, made)
    raised = [resample(wav, RATE, 48_000) for wav in (speech, made)]
    assert judge(kind, *raised, rate=48_000) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("ratio", [-5.0, 0.0, 12.0])
def test_si_sdr_of_a_known_ratio(ratio: float) -> None:
    first, second = (wav - wav.mean() for wav in noise().double().view(2, -1))
    second -= (second @ first) / (first @ first) * first
    second *= first.norm() / second.norm() * 10 ** (-ratio / 20)
    found = judge(intrusive.SISDR, first.float(), 0.3 * (first + second).float())  # whatever the gain
    assert found == pytest.approx(ratio, abs=1e-4)


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_spectral_distances_of_a_gain(gain: float) -> None:
    wav = 0.1 * noise()  # loud enough for no bin to be below the floor
    steps = abs(math.log10(gain))
    assert judge(intrusive.MelDistance, wav, gain * wav) == pytest.approx(7 * steps, rel=1e-3)
    levels = 0.0
    for window in (2048, 512):
        spectra = torch.stft(wav, window, window // 4, window=torch.hann_window(window), return_complex=True)
        levels += float(spectra.abs().mean())
    expected = 2 * 2 * steps + abs(gain - 1) * levels
    assert judge(intrusive.STFTDistance, wav, gain * wav) == pytest.approx(expected, rel=1e-3)


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
def test_spectral_distances_are_those_of_dacs_evaluation(speech: Tensor) -> None:
    audiotools = pytest.importorskip("audiotools")
    made = speech + 0.01 * noise(len(speech))
    pair = [audiotools.AudioSignal(wav[None, None], RATE) for wav in (made, speech)]
    spectral = audiotools.metrics.spectral
    windows = [2**power for power in range(5, 12)]
    settings = {"n_mels": [5, 10, 20, 40, 80, 160, 320], "window_lengths": windows, "pow": 1.0}
    settings |= {"mag_weight": 0.0, "mel_fmin": [0.0] * 7, "mel_fmax": [None] * 7}
    expected = float(spectral.MelSpectrogramLoss(**settings)(*pair))
    assert judge(intrusive.MelDistance, speech, made) == pytest.approx(expected, rel=1e-5)
    expected = float(spectral.MultiScaleSTFTLoss()(*pair))
    assert judge(intrusive.STFTDistance, speech, made) == pytest.approx(expected, rel=1e-5)


def moved(wav: Tensor, samples: float) -> Tensor:
    """`wav` (T,) later by any part of samples, as its own band-limited interpolation."""
    size = 2 * len(wav)
    angle = torch.linspace(0, torch.pi, size // 2 + 1, dtype=torch.float64)
    late = torch.fft.rfft(wav.double(), size) * torch.exp(-1j * angle * samples)
    return torch.fft.irfft(late, size)[: len(wav)].to(wav.dtype)


@pytest.mark.parametrize("samples", [0, 1, -1, 0.3, 3.25, -7.6, 1000, -320])
def test_a_known_delay(speech: Tensor, samples: float) -> None:
    late = 0.5 * moved(F.pad(speech, (1000, 1000)), samples)
    original = F.pad(speech, (1000, 1000))
    assert delay(original, late, RATE) == pytest.approx(samples / 16, abs=1e-4)
    assert delay(original, late, 48_000) == pytest.approx(samples / 48, abs=1e-4)
    assert judge(intrusive.Delay, original, late) == pytest.approx(samples / 16, abs=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_the_delay_of_short_signals(count: int) -> None:
    wav = 1 + noise(count).abs()
    assert delay(wav, wav, RATE) == pytest.approx(0, abs=1e-6)


def test_the_delay_of_what_is_none_is_refused(speech: Tensor) -> None:
    for pair in ((speech, speech[1:]), (speech[None], speech[None]), (speech.int(), speech.int())):
        with pytest.raises(ValueError, match=r"accepted: two float \(T,\)"):
            delay(*pair, RATE)
    with pytest.raises(ValueError, match="silence; accepted: a signal"):
        delay(speech, 0 * speech, RATE)


def test_what_one_judge_cannot_take_is_judged_by_the_others(speech: Tensor) -> None:
    short = speech[:2400]
    made = short + 0.01 * noise(len(short))
    with pytest.raises(ValueError, match="too little speech for STOI"):
        judge(intrusive.STOI, short, made)
    with pytest.raises(ValueError, match="too little speech for PESQ"):
        judge(intrusive.PESQWideBand, short, made)
    for kind in (intrusive.SISDR, intrusive.MelDistance, intrusive.STFTDistance, intrusive.Delay):
        assert judge(kind, short, made) is not None


def test_pesq_refuses_what_would_crash_it(speech: Tensor) -> None:
    long = speech.repeat(21)
    for measure in (pesq_wb, pesq_nb):
        with pytest.raises(ValueError, match="63 s; accepted: 60 s or less"):
            measure(long, long, RATE)
        for pair in ((speech, 0 * speech), (0 * speech, speech)):
            with pytest.raises(ValueError, match="silence; accepted: a signal"):
                measure(*pair, RATE)
    assert stoi(long[:RATE], long[:RATE], RATE) == pytest.approx(1)


@pytest.mark.parametrize("kind", JUDGES)
def test_what_was_not_made_is_refused(kind: type[SignalJudge], speech: Tensor) -> None:
    for wrong in (speech[1:], speech / 0, speech.int()):
        with pytest.raises(ValueError, match="accepted: "):
            judge(kind, speech, wrong)


def test_versions_name_what_scores_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in JUDGES:
        assert all(f"{package} " in kind().version for package in (*kind.packages, "soxr"))
        assert kind.kind == "signal"
    assert len({kind.name for kind in JUDGES}) == len(JUDGES)
    monkeypatch.setitem(sys.modules, "pystoi", None)
    with pytest.raises(Unavailable, match="pip install pystoi"):
        intrusive.STOI().check()
