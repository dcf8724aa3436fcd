"""PESQ and STOI as losses beside the packages that compute them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.codecs.audio import read
from vocable.codecs.cli import clip
from vocable.losses.pesq import BINS, PESQLoss
from vocable.losses.spectral import PairLoss
from vocable.losses.stoi import STOILoss


def speech(start: float, seconds: float = 4.0) -> Tensor:
    """The package's recording from `start` on, so long at most, (1, 1, T)."""
    return read(clip())[0][None, :1, round(16000 * start) :][..., : round(16000 * seconds)]


def noisy(wav: Tensor, snr: float) -> Tensor:
    noise = torch.randn(wav.shape, generator=torch.Generator().manual_seed(0))
    return wav + noise * wav.square().mean().sqrt() * 10 ** (-snr / 20)


def coarse(wav: Tensor, bits: int) -> Tensor:
    step = 2 * wav.abs().max() / 2**bits
    return (wav / step).round() * step


def pesq(wav: Tensor, estimate: Tensor) -> float:
    return pytest.importorskip("pesq").pesq(16000, wav[0, 0].numpy(), estimate[0, 0].detach().numpy(), "wb")


def stoi(wav: Tensor, estimate: Tensor) -> float:
    return pytest.importorskip("pystoi").stoi(wav[0, 0].numpy(), estimate[0, 0].detach().numpy(), 16000)


@pytest.mark.parametrize("start", [0.0, 5.0])
@pytest.mark.parametrize(
    "damage",
    [
        *(lambda wav, snr=snr: noisy(wav, snr) for snr in (0, 10, 20, 30, 40)),
        *(lambda wav, bits=bits: coarse(wav, bits) for bits in (4, 6, 8)),
        lambda wav: F.avg_pool1d(wav, 5, 1, 2),
        lambda wav: 0.1 * noisy(wav, 20),
    ],
)
def test_mos_is_pesq(start: float, damage) -> None:
    wav = speech(start)
    estimate = damage(wav)
    assert float(PESQLoss().mos(estimate, wav)) == pytest.approx(pesq(wav, estimate), abs=0.2)


@pytest.mark.parametrize("piece", [(0.0, 4.0), (5.0, 4.0), (2.0, 1.5)])
@pytest.mark.parametrize(
    "damage",
    [
        *(lambda wav, snr=snr: noisy(wav, snr) for snr in (-20, -10, -5, 0, 5, 10, 20)),
        lambda wav: F.avg_pool1d(wav, 9, 1, 4),
        lambda wav: wav.clamp(-0.02, 0.02),
        lambda wav: 0.1 * noisy(wav, 0),
    ],
)
def test_scores_are_stoi(piece: tuple[float, float], damage) -> None:
    wav = speech(*piece)
    estimate = damage(wav)
    assert float(STOILoss().scores(estimate, wav)[0]) == pytest.approx(stoi(wav, estimate), abs=0.02)


@pytest.mark.parametrize(("make", "nothing", "snr"), [(PESQLoss, 1e-4, 20), (STOILoss, 1e-5, 0)])
def test_the_same_scores_nothing_and_loudness_does_not_matter(
    make: type[PairLoss], nothing: float, snr: float
) -> None:
    wav, loss = speech(0.0), make()
    assert float(loss(wav, wav)) < nothing
    heard = noisy(wav, snr)
    assert float(loss(0.1 * heard, wav)) == pytest.approx(float(loss(heard, wav)), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "score", "snr", "rate", "steps", "gain"),
    [(PESQLoss, pesq, 15, 2e-4, 30, 0.2), (STOILoss, stoi, 0, 1e-3, 20, 0.05)],
)
def test_descent_raises_the_score(
    make: type[PairLoss],
    score: Callable[[Tensor, Tensor], float],
    snr: float,
    rate: float,
    steps: int,
    gain: float,
) -> None:
    wav, loss = speech(0.0), make()
    estimate = noisy(wav, snr).requires_grad_()
    before = score(wav, estimate)
    optimizer = torch.optim.Adam([estimate], rate)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(estimate, wav).backward()
        assert estimate.grad is not None
        assert estimate.grad.isfinite().all()
        optimizer.step()
    assert score(wav, estimate) > before + gain


@pytest.mark.parametrize("make", [PESQLoss, STOILoss])
@pytest.mark.parametrize("silent", ["estimate", "target", "both"])
def test_silence_has_a_finite_gradient(make: type[PairLoss], silent: str) -> None:
    wav = speech(0.0)
    estimate = (torch.zeros_like(wav) if silent != "target" else noisy(wav, 20)).requires_grad_()
    make()(estimate, torch.zeros_like(wav) if silent != "estimate" else wav).backward()
    assert estimate.grad is not None
    assert estimate.grad.isfinite().all()


def test_of_a_batch_each_item_counts_and_silence_does_not() -> None:
    wav = torch.cat([speech(0.0, 3.0), speech(3.5, 3.0), torch.zeros(1, 1, 48000)])
    estimate = noisy(wav, 0)
    loss = STOILoss()
    alone = [float(loss(estimate[i : i + 1], wav[i : i + 1])) for i in range(2)]
    wav[2, 0, :4000] = speech(1.0)[0, 0, :4000]  # too little
    assert float(loss(estimate, wav)) == pytest.approx(sum(alone) / 2, abs=1e-5)


def test_too_short_a_crop_has_no_stoi_loss() -> None:
    wav = speech(1.0, 0.3)
    assert float(STOILoss()(noisy(wav, 0), wav)) == 0


def test_other_rates_are_refused() -> None:
    assert sum(BINS) == 256
    with pytest.raises(ValueError, match="sample_rate is 24000; accepted: 16000"):
        PESQLoss(24000)
    with pytest.raises(ValueError, match="sample_rate is 8000; accepted: 10000 or more"):
        STOILoss(8000)
