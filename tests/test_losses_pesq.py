"""PESQ as a loss beside the package that computes it."""

import pytest
import torch
from torch import Tensor

from vocable.codecs.audio import read
from vocable.codecs.cli import clip
from vocable.losses.pesq import BINS, PESQLoss


def speech(start: float) -> Tensor:
    """The package's recording from `start` on, four seconds at most, (1, 1, T)."""
    return read(clip())[0][None, :1, round(16000 * start) :][..., :64000]


def noisy(wav: Tensor, snr: float) -> Tensor:
    noise = torch.randn(wav.shape, generator=torch.Generator().manual_seed(0))
    return wav + noise * wav.square().mean().sqrt() * 10 ** (-snr / 20)


def coarse(wav: Tensor, bits: int) -> Tensor:
    step = 2 * wav.abs().max() / 2**bits
    return (wav / step).round() * step


@pytest.mark.parametrize("start", [0.0, 5.0])
@pytest.mark.parametrize(
    "damage",
    [
        *(lambda wav, snr=snr: noisy(wav, snr) for snr in (0, 10, 20, 30, 40)),
        *(lambda wav, bits=bits: coarse(wav, bits) for bits in (4, 6, 8)),
        lambda wav: torch.nn.functional.avg_pool1d(wav, 5, 1, 2),
        lambda wav: 0.1 * noisy(wav, 20),
    ],
)
def test_mos_is_pesq(start: float, damage) -> None:
    pesq = pytest.importorskip("pesq").pesq
    wav = speech(start)
    estimate = damage(wav)
    theirs = pesq(16000, wav[0, 0].numpy(), estimate[0, 0].numpy(), "wb")
    assert float(PESQLoss().mos(estimate, wav)) == pytest.approx(theirs, abs=0.2)


def test_the_same_scores_nothing_and_loudness_does_not_matter() -> None:
    wav, loss = speech(0.0), PESQLoss()
    assert float(loss(wav, wav)) < 1e-4
    assert float(loss(noisy(wav, 20), wav)) == pytest.approx(float(loss(0.1 * noisy(wav, 20), wav)), rel=1e-4)


def test_descent_on_it_raises_pesq() -> None:
    pesq = pytest.importorskip("pesq").pesq
    wav, loss = speech(0.0), PESQLoss()
    estimate = noisy(wav, 15).requires_grad_()
    before = pesq(16000, wav[0, 0].numpy(), estimate[0, 0].detach().numpy(), "wb")
    optimizer = torch.optim.Adam([estimate], 2e-4)
    for _ in range(30):
        optimizer.zero_grad()
        loss(estimate, wav).backward()
        assert estimate.grad is not None
        assert estimate.grad.isfinite().all()
        optimizer.step()
    after = pesq(16000, wav[0, 0].numpy(), estimate[0, 0].detach().numpy(), "wb")
    assert after > before + 0.2


@pytest.mark.parametrize("silent", ["estimate", "target", "both"])
def test_silence_has_a_finite_gradient(silent: str) -> None:
    wav = speech(0.0)
    estimate = (torch.zeros_like(wav) if silent != "target" else noisy(wav, 20)).requires_grad_()
    PESQLoss()(estimate, torch.zeros_like(wav) if silent != "estimate" else wav).backward()
    assert estimate.grad is not None
    assert estimate.grad.isfinite().all()


def test_another_rate_is_refused() -> None:
    assert sum(BINS) == 256
    with pytest.raises(ValueError, match="sample_rate is 24000; accepted: 16000"):
        PESQLoss(24000)
