"""STOI as a loss beside the package that computes it."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.codecs.audio import read
from vocable.codecs.cli import clip
from vocable.losses.stoi import STOILoss


def speech(start: float, seconds: float = 4.0) -> Tensor:
    """The package's recording from `start` on, (1, 1, T)."""
    return read(clip())[0][None, :1, round(16000 * start) :][..., : round(16000 * seconds)]


def noisy(wav: Tensor, snr: float) -> Tensor:
    noise = torch.randn(wav.shape, generator=torch.Generator().manual_seed(0))
    return wav + noise * wav.square().mean().sqrt() * 10 ** (-snr / 20)


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
    stoi = pytest.importorskip("pystoi").stoi
    wav = speech(*piece)
    estimate = damage(wav)
    theirs = stoi(wav[0, 0].numpy(), estimate[0, 0].numpy(), 16000)
    assert float(STOILoss().scores(estimate, wav)[0]) == pytest.approx(theirs, abs=0.02)


def test_the_same_scores_nothing_and_loudness_does_not_matter() -> None:
    wav, loss = speech(0.0), STOILoss()
    assert float(loss(wav, wav)) < 1e-5
    assert float(loss(0.1 * noisy(wav, 0), wav)) == pytest.approx(float(loss(noisy(wav, 0), wav)), rel=1e-4)


def test_of_a_batch_each_item_counts_and_silence_does_not() -> None:
    wav = torch.cat([speech(0.0, 3.0), speech(3.5, 3.0), torch.zeros(1, 1, 48000)])
    estimate = noisy(wav, 0)
    loss = STOILoss()
    alone = [float(loss(estimate[i : i + 1], wav[i : i + 1])) for i in range(2)]
    wav[2, 0, :4000] = speech(1.0)[0, 0, :4000]  # too little
    assert float(loss(estimate, wav)) == pytest.approx(sum(alone) / 2, abs=1e-5)


def test_descent_on_it_raises_stoi() -> None:
    stoi = pytest.importorskip("pystoi").stoi
    wav, loss = speech(0.0), STOILoss()
    estimate = noisy(wav, 0).requires_grad_()
    before = stoi(wav[0, 0].numpy(), estimate[0, 0].detach().numpy(), 16000)
    optimizer = torch.optim.Adam([estimate], 1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        loss(estimate, wav).backward()
        optimizer.step()
    assert stoi(wav[0, 0].numpy(), estimate[0, 0].detach().numpy(), 16000) > before + 0.05


@pytest.mark.parametrize("silent", ["estimate", "target", "both"])
def test_silence_has_a_finite_gradient(silent: str) -> None:
    wav = speech(0.0)
    estimate = (torch.zeros_like(wav) if silent != "target" else noisy(wav, 20)).requires_grad_()
    STOILoss()(estimate, torch.zeros_like(wav) if silent != "estimate" else wav).backward()
    assert estimate.grad is not None
    assert estimate.grad.isfinite().all()


def test_too_short_a_crop_has_no_loss() -> None:
    wav = speech(1.0, 0.3)
    assert float(STOILoss()(noisy(wav, 0), wav)) == 0


def test_too_low_a_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="sample_rate is 8000; accepted: 10000 or more"):
        STOILoss(8000)
