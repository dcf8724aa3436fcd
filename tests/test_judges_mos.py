"""DistillMOS, DNSMOS, P.808 and PLCMOS: the packages' own numbers, and orders that listeners would give."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vocable.benchmarks.judges.base import Judge, Utterance
from vocable.benchmarks.judges.distill_mos import DistillMOS
from vocable.benchmarks.judges.speech_mos import DNSMOS, PLCMOS
from vocable.codecs.audio import read, resample
from vocable.codecs.cli import clip

RATE = 16_000
JUDGES = (DistillMOS, DNSMOS, PLCMOS)


@pytest.fixture(scope="module")
def judges() -> dict[type[Judge], Judge]:
    pytest.importorskip("distillmos")
    pytest.importorskip("speechmos")
    return {kind: kind() for kind in JUDGES}


@pytest.fixture(scope="module")
def wav() -> Tensor:
    """As long as DNSMOS takes once it is repeated: one part for each judge."""
    return read(clip())[0][0, 8000 : 8000 + 37_000]


def noisy(wav: Tensor, level: float) -> Tensor:
    return wav + level * torch.randn(len(wav), generator=torch.Generator().manual_seed(0))


def scores(judge: Judge, wav: Tensor, made: Tensor, sample_rate: int = RATE) -> dict[str, float]:
    found = judge(Utterance(clip(), "clip", wav, sample_rate), made)
    assert {score.weight for score in found.values()} == {1.0}
    assert list(found) == [column.name for column in judge.columns]
    return {name: score.value for name, score in found.items()}


@pytest.fixture(scope="module")
def clean(judges: dict[type[Judge], Judge], wav: Tensor) -> dict[type[Judge], dict[str, float]]:
    return {kind: scores(judge, wav, wav) for kind, judge in judges.items()}


def test_distillmos_is_the_package(clean: dict[type[Judge], dict[str, float]], wav: Tensor) -> None:
    from distillmos import ConvTransformerSQAModel

    with torch.no_grad():
        expected = ConvTransformerSQAModel().eval()(wav[None]).item()
    assert clean[DistillMOS] == {"MOS DistillMOS": pytest.approx(expected, abs=1e-5)}


def test_dnsmos_is_the_package(clean: dict[type[Judge], dict[str, float]], wav: Tensor) -> None:
    from speechmos import dnsmos

    found: Any = dnsmos.run(wav.numpy(), RATE)
    keys = {"DNSMOS": "ovrl_mos", "DNSMOS SIG": "sig_mos", "DNSMOS BAK": "bak_mos", "P.808": "p808_mos"}
    expected = {name: pytest.approx(float(found[key]), abs=1e-5) for name, key in keys.items()}
    assert clean[DNSMOS] == expected


def test_plcmos_is_the_package_with_fixed_raters(
    clean: dict[type[Judge], dict[str, float]], wav: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from speechmos.plcmos import PLCMOS as Package

    ours = clean[PLCMOS]["PLCMOS"]
    assert ours == scores(PLCMOS(), wav, wav)["PLCMOS"]  # another worker's
    raters = iter(PLCMOS._raters)
    assert len(PLCMOS._raters) == 15
    monkeypatch.setattr(np.random, "normal", lambda size: next(raters).reshape(size))
    assert ours == pytest.approx(Package().get_mos(wav.numpy()), abs=1e-5)


@pytest.mark.parametrize("kind", JUDGES)
def test_noise_lowers_every_score(
    kind: type[Judge],
    judges: dict[type[Judge], Judge],
    clean: dict[type[Judge], dict[str, float]],
    wav: Tensor,
) -> None:
    noise = scores(judges[kind], wav, noisy(wav, 0.005))
    for name in noise.keys() - {"DNSMOS SIG"}:  # which is to hear past the noise
        assert clean[kind][name] > noise[name] + 0.2


@pytest.mark.full
@pytest.mark.parametrize("kind", JUDGES)
def test_opus_at_6_kbits_and_silence_get_less(
    kind: type[Judge],
    judges: dict[type[Judge], Judge],
    clean: dict[type[Judge], dict[str, float]],
    wav: Tensor,
) -> None:
    pytest.importorskip("av")
    from vocable.benchmarks.baselines import Opus

    opus = Opus(6000)
    coded, silent = (
        scores(judges[kind], wav, made) for made in (opus.decode(opus.encode(wav)), torch.zeros_like(wav))
    )
    assert all(clean[kind][name] > coded[name] + 0.1 for name in coded)
    assert all(clean[kind][name] > silent[name] + 0.8 for name in silent.keys() - {"DNSMOS BAK"})  # no noise


@pytest.mark.full
@pytest.mark.parametrize("kind", JUDGES)
def test_other_rates_are_resampled(
    kind: type[Judge],
    judges: dict[type[Judge], Judge],
    clean: dict[type[Judge], dict[str, float]],
    wav: Tensor,
) -> None:
    there = resample(wav, RATE, 44_100)
    for name, value in scores(judges[kind], there, there, 44_100).items():
        assert value == pytest.approx(clean[kind][name], abs=0.05)


def test_samples_beyond_one_are_clipped(judges: dict[type[Judge], Judge], wav: Tensor) -> None:
    from speechmos import plcmos

    loud = 4 * wav[:RATE]
    with pytest.raises(ValueError, match="must be between -1 and 1"):
        plcmos.run(loud.numpy(), RATE)
    assert scores(judges[PLCMOS], loud, loud) == scores(judges[PLCMOS], loud, loud.clamp(-1, 1))


@pytest.mark.parametrize("kind", JUDGES)
def test_too_little_is_refused(kind: type[Judge], judges: dict[type[Judge], Judge], wav: Tensor) -> None:
    short = wav[:1590]
    with pytest.raises(ValueError, match=r"the audio is 0\.099 s long; accepted: 0\.100 s or more"):
        scores(judges[kind], short, short)


def test_versions_name_the_weights(judges: dict[type[Judge], Judge]) -> None:
    ends = {DistillMOS: "b18b3ac60227", DNSMOS: "269fbebdb513 9246480c5856", PLCMOS: "c0ad3fc64ef9"}
    for kind, end in ends.items():
        judges[kind].check()
        assert judges[kind].version.endswith(f"weights {end}")
