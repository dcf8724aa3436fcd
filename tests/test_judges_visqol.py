"""ViSQOL as a judge: the package's own numbers, orders, and what it refuses."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("visqol")
pytest.importorskip("ai_edge_litert")

from vocable.benchmarks.judges.base import Utterance
from vocable.benchmarks.judges.visqol import ViSQOL
from vocable.codecs.audio import read, resample
from vocable.codecs.cli import clip

RATE = 16_000


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without numba, which takes longer to compile than this file may: slower, of the same result."""
    for module in ("gammatone", "nsim", "patch_selector"):
        monkeypatch.setattr(f"visqol.{module}.has_numba", lambda: False)


@pytest.fixture(scope="module")
def wav() -> Tensor:
    return read(clip())[0][0, 16_000:40_000]


@pytest.fixture(scope="module")
def judge() -> ViSQOL:
    return ViSQOL()


def score(judge: ViSQOL, wav: Tensor, made: Tensor, sample_rate: int = RATE) -> float:
    found = judge(Utterance(clip(), "clip", wav, sample_rate), made)
    assert list(found) == ["ViSQOL"]
    return found["ViSQOL"].value


def noisy(wav: Tensor, level: float) -> Tensor:
    return wav + level * torch.randn(len(wav), generator=torch.Generator().manual_seed(0))


@pytest.mark.usefixtures("plain")
def test_it_is_the_packages_documented_call(judge: ViSQOL, wav: Tensor) -> None:
    from visqol import VisqolApi

    made = noisy(wav, 0.002)
    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=True)
    expected = api.measure_from_arrays(wav.numpy(), made.numpy(), RATE).moslqo
    assert score(judge, wav, made) == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx(3.055, abs=0.005)


@pytest.mark.usefixtures("plain")
def test_orders_and_perfection(judge: ViSQOL, wav: Tensor) -> None:
    spectrum = torch.fft.rfft(wav)
    spectrum[len(wav) // 8 :] = 0
    low = torch.fft.irfft(spectrum, len(wav))  # up to 2 kHz
    same, little, much, muffled = (
        score(judge, wav, made) for made in (wav, noisy(wav, 0.002), noisy(wav, 0.005), low)
    )
    assert same == pytest.approx(4.530, abs=0.005)
    assert same > little + 1 > much + 2
    assert same > muffled + 1


@pytest.mark.usefixtures("plain")
def test_other_rates_are_resampled(judge: ViSQOL, wav: Tensor) -> None:
    there, made = (resample(x, RATE, 44_100) for x in (wav, noisy(wav, 0.002)))
    assert score(judge, there, made, 44_100) == pytest.approx(3.055, abs=0.03)


@pytest.mark.full
def test_numba_changes_nothing(wav: Tensor) -> None:
    pytest.importorskip("numba")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert score(ViSQOL(), wav, noisy(wav, 0.002)) == pytest.approx(3.055486, abs=1e-4)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("plain")
def test_it_needs_speech(judge: ViSQOL, wav: Tensor) -> None:
    silence = torch.zeros_like(wav)
    for pair in ((wav, silence), (silence, wav), (silence, silence)):
        with pytest.raises(ValueError, match="ViSQOL of silence"):
            score(judge, *pair)
    brief = wav[4000:13_000]
    with pytest.raises(ValueError, match="too little speech for ViSQOL"):
        score(judge, brief, brief)
    short = wav[:7990]
    with pytest.raises(ValueError, match=r"the audio is 0\.499 s long; accepted: 0\.500 s or more"):
        score(judge, short, short)


def test_its_version_names_the_weights(judge: ViSQOL) -> None:
    judge.check()
    assert judge.version.startswith("visqol-python 3.")
    assert judge.version.endswith("weights 4bd031d6c955")
