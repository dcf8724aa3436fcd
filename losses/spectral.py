"""Losses between two waveforms: their mel, magnitude and complex spectra, and their samples.

Each takes an estimate and a target, both (B, C, T), and returns a scalar computed in float32, whatever the
precision around it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocable.losses.mel import MelSpectrogram, mel_filterbank
from vocable.losses.stft import STFT


class PairLoss(nn.Module):
    """A loss of an estimate against a target. A subclass implements `compare`, which sees float32 only."""

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Scalar loss of `estimate` (B, C, T) against `target` (B, C, T)."""
        if estimate.shape != target.shape or estimate.ndim != 3:
            raise ValueError(
                f"estimate is {tuple(estimate.shape)} and target {tuple(target.shape)}; "
                "accepted: the same (B, C, T)"
            )
        with torch.autocast(estimate.device.type, enabled=False):
            return self.compare(estimate.float(), target.float())

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError


class MultiScaleMelLoss(PairLoss):
    """L1 distance of log10 mel magnitudes, summed over window lengths (DAC, https://arxiv.org/abs/2306.06546)."""

    def __init__(
        self,
        sample_rate: int,
        windows: tuple[int, ...] = (32, 64, 128, 256, 512, 1024, 2048),
        n_mels: tuple[int, ...] = (5, 10, 20, 40, 80, 160, 320),
        floor: float = 1e-5,
    ):
        super().__init__()
        if len(windows) != len(n_mels):
            raise ValueError(
                f"n_mels has {len(n_mels)} values; accepted: one for each of {len(windows)} windows"
            )
        self.floor = floor
        self.mels = nn.ModuleList(
            MelSpectrogram(mel_filterbank(sample_rate, window, mels), window // 4)
            for window, mels in zip(windows, n_mels, strict=True)
        )

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        losses = [
            F.l1_loss(mel(estimate).clamp(min=self.floor).log10(), mel(target).clamp(min=self.floor).log10())
            for mel in self.mels
        ]
        return torch.stack(losses).sum()


class PowerMelLoss(PairLoss):
    """EnCodec's mel loss (https://arxiv.org/abs/2210.13438): L1 of mel powers plus squared error of their
    log10, the mean of both over window lengths.

    log_weights: of the squared errors, one for each window; () weighs all alike, as EnCodec was trained.
    """

    def __init__(
        self,
        sample_rate: int,
        windows: tuple[int, ...] = (64, 128, 256, 512, 1024),
        n_mels: int = 64,
        min_frequency: float = 64.0,
        floor: float = 1e-5,
        log_weights: tuple[float, ...] = (),
    ):
        super().__init__()
        self.floor = floor
        self.weights = tuple(log_weights) or (1.0,) * len(windows)
        if len(self.weights) != len(windows):
            raise ValueError(
                f"log_weights has {len(log_weights)} values; accepted: one for each of {len(windows)} windows"
            )
        self.mels = nn.ModuleList(
            MelSpectrogram(
                mel_filterbank(sample_rate, window, n_mels, min_frequency, "htk"),
                window // 4,
                2,
                "same",
                True,
            )
            for window in windows
        )

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        losses = []
        for mel, weight in zip(self.mels, self.weights, strict=True):
            x, y = mel(estimate), mel(target)
            logs = F.mse_loss((x + self.floor).log10(), (y + self.floor).log10())
            losses.append(F.l1_loss(x, y) + weight * logs)
        return torch.stack(losses).sum() / sum(weight + 1 for weight in self.weights)


class ComplexSTFTLoss(PairLoss):
    """Squared error of power-compressed spectra: magnitudes |X|^c, and |X|^c with the phase of X, whose share
    is `complex_share`; the mean over window lengths (Braun and Tashev, https://arxiv.org/abs/2009.12286).

    `floor` is the magnitude below which compression stops; it bounds the gradient at silence.
    """

    def __init__(
        self,
        windows: tuple[int, ...] = (256, 512, 1024),
        exponent: float = 0.3,
        complex_share: float = 0.3,
        floor: float = 1e-4,
    ):
        super().__init__()
        self.exponent, self.complex_share, self.floor = exponent, complex_share, floor
        self.stfts = nn.ModuleList(STFT(window, window // 4, normalized=True) for window in windows)

    def compress(self, spec: Tensor) -> tuple[Tensor, Tensor]:
        """Complex (...) to compressed magnitudes (...) and compressed real and imaginary parts (..., 2)."""
        parts = torch.view_as_real(spec)
        energy = parts.square().sum(-1) + self.floor**2
        return energy ** (self.exponent / 2), parts * energy.unsqueeze(-1) ** ((self.exponent - 1) / 2)

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        losses = []
        for stft in self.stfts:
            (x_magnitude, x), (y_magnitude, y) = self.compress(stft(estimate)), self.compress(stft(target))
            phased = (x - y).square().sum(-1).mean()
            magnitude = F.mse_loss(x_magnitude, y_magnitude)
            losses.append(self.complex_share * phased + (1 - self.complex_share) * magnitude)
        return torch.stack(losses).mean()


class MultiResolutionSTFTLoss(PairLoss):
    """Spectral convergence plus L1 of log magnitudes, the mean over window lengths (Parallel WaveGAN,
    https://arxiv.org/abs/1910.11480), by auraloss."""

    def __init__(
        self,
        windows: tuple[int, ...] = (512, 1024, 2048),
        convergence: float = 1.0,
        log_magnitude: float = 1.0,
    ):
        super().__init__()
        from auraloss.freq import MultiResolutionSTFTLoss as Auraloss

        hops = [window // 4 for window in windows]
        self.loss = Auraloss(list(windows), hops, list(windows), w_sc=convergence, w_log_mag=log_magnitude)

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        return self.loss(estimate.contiguous(), target.contiguous())


class WaveformLoss(PairLoss):
    """Mean absolute difference of the samples."""

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(estimate, target)


class NormalizedErrorLoss(PairLoss):
    """Energy of the difference over the target's, the mean over items: 1 is what silence would score.

    Unlike SI-SDR's logarithm its gradient fades as the fit gets better, and silence is no special case:
    `floor`, a mean square, is added to the target's.
    """

    def __init__(self, floor: float = 1e-6):
        super().__init__()
        self.floor = floor

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        error = (estimate - target).square().mean((1, 2))
        return (error / (target.square().mean((1, 2)) + self.floor)).mean()


class SISDRLoss(PairLoss):
    """Minus the scale-invariant signal-to-distortion ratio in dB (auraloss's)."""

    def __init__(self):
        super().__init__()
        from auraloss.time import SISDRLoss as Auraloss

        self.loss = Auraloss()

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        return self.loss(estimate, target)
