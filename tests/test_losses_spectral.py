"""Spectral and waveform losses against the packages that they are known from, and closed forms."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vocable.losses.mel import mel_filterbank
from vocable.losses.spectral import (
    ComplexSTFTLoss,
    MultiResolutionSTFTLoss,
    MultiScaleMelLoss,
    NormalizedErrorLoss,
    PairLoss,
    PowerMelLoss,
    SISDRLoss,
    WaveformLoss,
)
from vocable.losses.stft import STFT, Framing

RATE = 16000
LOSSES = {
    "mel": lambda: MultiScaleMelLoss(RATE, (32, 256), (5, 40)),
    "power_mel": lambda: PowerMelLoss(RATE, (128, 256), 16),
    "complex": lambda: ComplexSTFTLoss((64, 256)),
    "stft": lambda: MultiResolutionSTFTLoss((64, 256)),
    "waveform": WaveformLoss,
    "si_sdr": SISDRLoss,
}


EXTRAS = {"mel": "torchaudio", "power_mel": "torchaudio", "stft": "auraloss", "si_sdr": "auraloss"}


def make(name: str) -> PairLoss:
    """A loss of LOSSES; the test is skipped where its extra is missing."""
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    return LOSSES[name]()


def pair(channels: int = 1, samples: int = 4000) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    estimate, target = 0.1 * torch.randn(2, 2, channels, samples, generator=generator)
    return estimate, target


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2)])
def test_mel_equals_dac(rate: int, channels: int) -> None:
    peer = pytest.importorskip("dac.nn.loss")
    signal = pytest.importorskip("audiotools").AudioSignal
    windows, mels = [32, 64, 128, 256, 512, 1024, 2048], [5, 10, 20, 40, 80, 160, 320]
    theirs = peer.MelSpectrogramLoss(
        mels, windows, mag_weight=0.0, pow=1.0, mel_fmin=[0.0] * 7, mel_fmax=[None] * 7
    )
    estimate, target = pair(channels)
    expected = theirs(signal(estimate, rate), signal(target, rate))
    torch.testing.assert_close(MultiScaleMelLoss(rate)(estimate, target), expected, rtol=2e-6, atol=0)


def test_mel_filterbank_equals_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(sr=24000, n_fft=512, n_mels=40, fmin=50)
    ours = mel_filterbank(24000, 512, 40, 50.0)
    torch.testing.assert_close(ours.T, torch.from_numpy(expected), atol=1e-6, rtol=1e-4)
    assert ours.shape == (257, 40)
    assert float(mel_filterbank(24000, 512, 40, scale="htk").max()) <= 1


@pytest.mark.parametrize("weighted", [False, True])
def test_power_mel_is_l1_of_powers_and_weighted_square_of_logs(weighted: bool) -> None:
    """Against torchaudio's own spectrograms; 4096 samples are whole frames of every window."""
    transforms = pytest.importorskip("torchaudio.transforms")
    estimate, target = pair(samples=4096)
    windows, alphas = (128, 512), (11.3, 22.6) if weighted else (1.0, 1.0)
    total = torch.zeros(())
    for window, alpha in zip(windows, alphas, strict=True):
        spec = transforms.MelSpectrogram(
            RATE, window, hop_length=window // 4, f_min=64.0, n_mels=16, normalized=True, center=False
        )
        pad = (window - window // 4) // 2
        x, y = (spec(torch.nn.functional.pad(wav, (pad, pad), "reflect")) for wav in (estimate, target))
        assert x.shape[-1] == 4096 // (window // 4)
        logs = ((x + 1e-5).log10() - (y + 1e-5).log10()).square().mean()
        total = total + (x - y).abs().mean() + alpha * logs
    ours = PowerMelLoss(RATE, windows, 16, log_weights=alphas if weighted else ())(estimate, target)
    torch.testing.assert_close(ours, total / (sum(alphas) + 2), rtol=1e-5, atol=0)


def test_stft_loss_and_si_sdr_equal_auraloss() -> None:
    freq, time = pytest.importorskip("auraloss.freq"), pytest.importorskip("auraloss.time")
    estimate, target = pair(channels=2)
    theirs = freq.MultiResolutionSTFTLoss([256, 512], [64, 128], [256, 512])
    assert MultiResolutionSTFTLoss((256, 512))(estimate, target) == theirs(estimate, target)
    assert SISDRLoss()(estimate, target) == time.SISDRLoss()(estimate, target)
    # An error orthogonal to the target, a tenth of its size, is -20 dB.
    sine = torch.arange(1600).mul(2 * torch.pi / 16).sin().expand(1, 1, -1)
    assert float(SISDRLoss()(sine + 0.1 * sine.roll(4, -1), sine)) == pytest.approx(-20, abs=1e-3)


def test_waveform_loss_is_the_mean_absolute_difference() -> None:
    assert float(WaveformLoss()(torch.full((2, 2, 8), 0.75), torch.full((2, 2, 8), 0.5))) == 0.25


def test_complex_loss_of_two_tones_in_closed_form() -> None:
    """Tones at a bin's centre differ by a factor 2, or by half a turn of phase, in three bins.

    The first and last of the 641 samples are maxima, so that a reflection goes on with the same tone."""
    window, exponent = 64, 0.3
    tone = torch.cos(torch.arange(641) * 2 * torch.pi * 8 / window).expand(1, 1, -1)
    stft = STFT(window, window // 4, normalized=True)
    peak = window / 4 / float(torch.hann_window(window).norm())  # 1 * window / 2, halved by the Hann window
    assert float(stft(tone)[0, 0, 8, 10].abs()) == pytest.approx(peak, rel=1e-5)
    # Beside the peak, the bins that Hann leaks into stand at half of it.
    levels = sum(level ** (2 * exponent) for level in (peak, peak / 2, peak / 2))
    loss = ComplexSTFTLoss((window,), exponent, complex_share=1.0)
    bins = window // 2 + 1
    inverted, halved = loss(-tone, tone), loss(0.5 * tone, tone)
    assert float(inverted) == pytest.approx(4 * levels / bins, rel=1e-3)
    assert float(halved) == pytest.approx((1 - 0.5**exponent) ** 2 * levels / bins, rel=1e-3)
    magnitudes = ComplexSTFTLoss((window,), exponent, complex_share=0.0)
    assert float(magnitudes(-tone, tone)) == 0
    torch.testing.assert_close(magnitudes(0.5 * tone, tone), halved, rtol=1e-3, atol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_a_float32_scalar_in_any_precision(name: str) -> None:
    loss, (estimate, target) = make(name), pair()
    full = loss(estimate, target)
    assert full.shape == ()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(estimate, target), full)
    assert loss(estimate.bfloat16(), target.bfloat16()).dtype == torch.float32
    assert loss(target, target) < loss(estimate, target)
    assert not loss.state_dict()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("silent", ["estimate", "target", "both"])
def test_gradient_at_silence_is_finite(name: str, silent: str) -> None:
    loss, (estimate, target) = make(name), pair()
    estimate = torch.zeros_like(estimate) if silent != "target" else estimate
    target = torch.zeros_like(target) if silent != "estimate" else target
    estimate.requires_grad_()
    loss(estimate, target).backward()
    assert estimate.grad is not None
    assert bool(estimate.grad.isfinite().all())


def test_complex_loss_leads_out_of_silence() -> None:
    _, target = pair()
    estimate = torch.zeros_like(target).requires_grad_()
    loss = ComplexSTFTLoss((256,))
    loss(estimate, target).backward()
    assert estimate.grad is not None
    assert 0 < float(estimate.grad.norm()) < 100
    assert loss(-1e-4 * estimate.grad.sign(), target) < loss(torch.zeros_like(target), target)


@settings(max_examples=40, deadline=None)
@given(
    n_fft=st.sampled_from([8, 32, 60]),
    ratio=st.sampled_from([2, 4]),
    extra=st.integers(0, 100),
    framing=st.sampled_from(["center", "same", "valid"]),
)
def test_stft_frames(n_fft: int, ratio: int, extra: int, framing: Framing) -> None:
    hop = n_fft // ratio
    stft = STFT(n_fft, hop, framing)
    samples = stft.min_samples + extra
    frames = {"center": samples // hop + 1, "same": -(-samples // hop), "valid": (samples - n_fft) // hop + 1}
    assert stft(torch.randn(2, 3, samples)).shape == (2, 3, n_fft // 2 + 1, frames[framing])
    with pytest.raises(ValueError, match="samples"):
        stft(torch.randn(1, 1, stft.min_samples - 1))


def test_white_noise_has_one_level_at_every_resolution() -> None:
    torch.manual_seed(0)
    noise = torch.randn(1, 1, 20000)
    for n_fft in (64, 1024):
        energy = STFT(n_fft, n_fft // 4, normalized=True)(noise).abs().square().mean()
        assert float(energy) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("estimate", "target"), [((1, 1, 100), (1, 1, 99)), ((1, 100), (1, 100)), ((2, 1, 9), (1, 9))]
)
def test_other_shapes_are_refused(estimate: tuple[int, ...], target: tuple[int, ...]) -> None:
    loss: PairLoss = WaveformLoss()
    with pytest.raises(ValueError, match="the same"):
        loss(torch.zeros(estimate), torch.zeros(target))


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="n_mels has 1"):
        MultiScaleMelLoss(RATE, (32, 64), (5,))
    with pytest.raises(ValueError, match="framing is 'wide'"):
        STFT(16, 4, "wide")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="hop_length is 0"):
        STFT(16, 0)


def test_import_needs_torch_only() -> None:
    code = (
        "import sys, vocable.losses; print({'torchaudio', 'auraloss', 'einops', 'scipy'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_normalized_error_is_the_inverse_of_the_signal_to_noise_ratio() -> None:
    target = torch.randn(2, 1, 1000)
    gains = torch.tensor([0.1, 0.5]).view(2, 1, 1)
    loss = NormalizedErrorLoss(floor=0.0)(target * (1 + gains), target)
    torch.testing.assert_close(loss, torch.tensor((0.01 + 0.25) / 2))
    silence = torch.zeros(1, 1, 1000)
    assert NormalizedErrorLoss()(silence, silence) == 0
