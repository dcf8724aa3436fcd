"""Reconstruction losses of published codecs against their own code: installed, or its numbers in assets."""

import doctest
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vocable.losses import groups
from vocable.losses.adversarial import clamped_hinge_generator_loss, mean_feature_loss
from vocable.losses.batch_stft import BatchSTFTLoss
from vocable.losses.log_mel import FrameMelLoss, LogMelLoss
from vocable.losses.pqmf import PQMFLoss
from vocable.losses.spectral import PairLoss, PowerMelLoss
from vocable.losses.stft import STFT

GOLDEN = {
    key: value.float()
    for key, value in load_file(Path(__file__).parent / "assets" / "losses.safetensors").items()
}


def pair(samples: int = 9600) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    estimate, target = 0.1 * torch.randn(2, 2, 1, samples, generator=generator)
    return estimate, target


def bands_loss() -> PQMFLoss:
    return PQMFLoss(BatchSTFTLoss((80, 120, 200), (20, 40, 50), (128, 256, 256)), 6)


def test_full_band_and_six_band_losses_equal_xcodec() -> None:
    estimate, target = GOLDEN["estimate"], GOLDEN["wav"]
    for loss, name in ((BatchSTFTLoss(), "full"), (bands_loss(), "bands")):
        torch.testing.assert_close(loss(estimate, target), GOLDEN[f"stft.{name}"], rtol=1e-5, atol=0)


def test_log_mel_equals_vocos() -> None:
    peer = pytest.importorskip("vocos.loss")
    estimate, target = pair()
    expected = peer.MelSpecReconstructionLoss(24000)(estimate.squeeze(1), target.squeeze(1))
    torch.testing.assert_close(LogMelLoss(24000)(estimate, target), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("divisor", [1, 2, 4, 8])
@pytest.mark.filterwarnings("ignore:At least one mel")
def test_log_mel_equals_speechtokenizer(divisor: int) -> None:
    peer = pytest.importorskip("speechtokenizer.trainer.loss")
    window, hop = 1024 // divisor, 240 // divisor
    settings = {"n_fft": window, "hop_size": hop, "win_size": window, "num_mels": 80}
    settings |= {"sample_rate": 16000, "fmin": 0, "fmax": None}
    estimate, target = pair(48000)
    loss = LogMelLoss(16000, window, hop, 80, floor=1e-5, framing="same", scale="htk-area")
    torch.testing.assert_close(
        loss(estimate, target), peer.mel_loss(target, estimate, **settings), rtol=1e-5, atol=0
    )


def test_frame_mel_is_the_paper_formula() -> None:
    transforms = pytest.importorskip("torchaudio.transforms")
    estimate, target = pair()
    total = torch.zeros(())
    for window in (64, 1024):
        spec = transforms.MelSpectrogram(16000, max(512, window), window, hop_length=window // 4, n_mels=64)
        x, y = spec(estimate).squeeze(1), spec(target).squeeze(1)
        logs = (x.clamp(min=1e-5).log() - y.clamp(min=1e-5).log()).norm(dim=1).mean()
        total = total + (x - y).abs().sum(1).mean() + (window / 2) ** 0.5 * logs
    ours = FrameMelLoss(16000, (64, 1024))(estimate, target)
    torch.testing.assert_close(ours, total, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["batch", "bands", "log_mel", "frame_mel"])
@pytest.mark.parametrize("silent", ["estimate", "both"])
def test_every_loss_is_a_float32_scalar_with_a_finite_gradient(name: str, silent: str) -> None:
    if "mel" in name:
        pytest.importorskip("torchaudio")
    makers = {"batch": BatchSTFTLoss, "bands": bands_loss, "log_mel": lambda: LogMelLoss(16000)}
    loss: PairLoss = makers.get(name, lambda: FrameMelLoss(16000, (64, 512)))()
    estimate, target = pair(2400)
    full = loss(estimate, target)
    assert loss(target, target) < full
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(estimate, target), full)
    assert not loss.state_dict()
    quiet = torch.zeros_like(target).requires_grad_()
    loss(quiet, target if silent == "estimate" else torch.zeros_like(target)).backward()
    assert quiet.grad is not None
    assert bool(quiet.grad.isfinite().all())


def test_short_window_is_in_the_middle() -> None:
    wav = torch.randn(1, 1, 500)
    expected = torch.stft(wav[0], 64, 16, 40, torch.hann_window(40), return_complex=True)
    torch.testing.assert_close(STFT(64, 16, window_length=40)(wav)[0], expected)


def test_clamped_hinge_and_mean_features_in_closed_form() -> None:
    assert float(clamped_hinge_generator_loss([torch.full((3,), 0.5), torch.full((5,), 2.0)])) == 0.25
    real = [[torch.full((2,), 1.0), torch.zeros(3)], [torch.zeros(4)]]
    fake = [[torch.zeros(2), torch.zeros(3)], [torch.full((4,), 3.0)]]
    assert float(mean_feature_loss(real, fake)) == (0.5 + 3) / 2


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="have 1, 2 and 1 values"):
        BatchSTFTLoss((64,), (16, 32), (64,))
    with pytest.raises(ValueError, match="window_length is 65"):
        STFT(64, 16, window_length=65)
    with pytest.raises(ValueError, match="log_weights has 1"):
        PowerMelLoss(16000, (64, 128), log_weights=(1.0,))


def test_the_example_runs() -> None:
    assert doctest.testmod(groups).failed == 0
