"""PESQ as a loss: the perceptual model of ITU-T P.862.2 without its search for delays.

As in Martín-Doñas et al., "A Deep Learning Loss Function Based on the Perceptual Evaluation of the Speech
Quality" (https://doi.org/10.1109/LSP.2018.2871419). The constants are the Recommendation's.
"""

import math

import torch
from torch import Tensor

from vocable.losses.spectral import PairLoss
from vocable.losses.stft import STFT

SAMPLE_RATE = 16000
WINDOW = 512
TARGET_POWER = 1e7  # mean square between 325 and 3250 Hz that both signals are brought to
LEVEL_BAND = (325.0, 3250.0)  # Hz
PRE_EMPHASIS = ((2.740826, -5.4816519, 2.740826), (1.0, -1.9444777, 0.94597794))  # P.862.2's input filter
POWER_SCALE, LOUDNESS_SCALE = 6.910853e-6, 1.866055e-1
EXPONENT = 0.23  # Zwicker's
# Of the 49 bands: how many bins, the Bark width, correction of the power, and threshold of hearing.
BINS = (
    *(
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        2,
        1,
        1,
        1,
        1,
        1,
        2,
        1,
        1,
        2,
        2,
        2,
        2,
        2,
        2,
        2,
        2,
        3,
        3,
        3,
        3,
        4,
        3,
        4,
        5,
        4,
        5,
    ),
    *(6, 6, 7, 8, 9, 9, 12, 12, 15, 16, 18, 21, 25, 20),
)
BARKS = (
    *(0.157344, 0.317994, 0.322441, 0.326934, 0.331474, 0.336061, 0.340697, 0.345381, 0.350114, 0.354897),
    *(0.359729, 0.364611, 0.369544, 0.374529, 0.379565, 0.384653, 0.389794, 0.394989, 0.400236, 0.405538),
    *(0.410894, 0.416306, 0.421773, 0.427297, 0.432877, 0.438514, 0.444209, 0.449962, 0.455774, 0.461645),
    *(0.467577, 0.473569, 0.479621, 0.485736, 0.491912, 0.498151, 0.504454, 0.510819, 0.517250, 0.523745),
    *(0.530308, 0.536934, 0.543629, 0.550390, 0.557220, 0.564119, 0.571085, 0.578125, 0.585232),
)
CORRECTIONS = (
    *(100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 50.0, 100.0),
    *(100.0, 100.0, 100.0, 100.0, 53.047077, 110.000046, 117.991989, 65.0, 68.760147, 70.0),
    *(71.428818, 75.000038, 76.843384, 80.968781, 88.646126, 63.864388, 68.155350, 72.547775, 75.584831),
    *(58.379192, 80.950836, 64.135651, 54.384785, 73.821884, 64.437073, 59.176456, 65.521278, 61.399822),
    *(58.144047, 57.004543, 64.126297, 54.311001, 61.114979, 55.077751, 56.849335, 55.628868, 53.137054),
    *(54.985844, 79.546974),
)
THRESHOLDS = (
    *(51286152.0, 2454709.5, 70794.59375, 4897.788574, 1174.897705, 389.045166, 104.71286, 45.70882),
    *(17.782795, 9.772372, 4.897789, 3.090296, 1.905461, 1.258925, 0.977237, 0.724436, 0.562341, 0.457088),
    *(0.389045, 0.331131, 0.295121, 0.269153, 0.25704, 0.251189, 0.251189, 0.251189, 0.251189, 0.263027),
    *(0.288403, 0.30903, 0.338844, 0.371535, 0.398107, 0.436516, 0.467735, 0.489779, 0.501187, 0.501187),
    *(0.512861, 0.524807, 0.524807, 0.524807, 0.512861, 0.47863, 0.42658, 0.371535, 0.363078, 0.416869),
    0.537032,
)


class PESQLoss(PairLoss):
    """4.5 minus the raw score of wideband PESQ: 0.1 and 0.0309 times the symmetric and the asymmetric
    disturbance, from 0, for waveforms at 16 kHz that are aligned in time. Neither's level matters.
    """

    bands: Tensor
    barks: Tensor
    corrections: Tensor
    thresholds: Tensor
    exponents: Tensor
    emphasis: Tensor
    in_level_band: Tensor

    def __init__(self, sample_rate: int = SAMPLE_RATE):
        super().__init__()
        if sample_rate != SAMPLE_RATE:
            raise ValueError(f"sample_rate is {sample_rate}; accepted: {SAMPLE_RATE}")
        self.stft = STFT(WINDOW, WINDOW // 2, "valid")
        barks = torch.tensor(BARKS)
        centres = barks.cumsum(0) - barks / 2
        frequencies = torch.arange(WINDOW // 2) * SAMPLE_RATE / WINDOW
        unit = torch.exp(2j * math.pi * frequencies / SAMPLE_RATE)
        top, bottom = (
            torch.stack([c * unit**-n for n, c in enumerate(part)]).sum(0) for part in PRE_EMPHASIS
        )
        low, high = LEVEL_BAND
        constants = {
            "bands": torch.block_diag(*(torch.ones(count, 1) for count in BINS)),  # (bins, bands)
            "barks": barks,
            "corrections": torch.tensor(CORRECTIONS) * POWER_SCALE,
            "thresholds": torch.tensor(THRESHOLDS),
            "exponents": EXPONENT * (6 / (centres + 2)).clamp(1, 2) ** 0.15,
            "emphasis": (top / bottom).abs().square() * (frequencies > 0),
            "in_level_band": ((frequencies >= low) & (frequencies <= high)).float(),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        symmetric, asymmetric = self.disturbances(estimate, target)
        return (0.1 * symmetric + 0.0309 * asymmetric).mean()

    def mos(self, estimate: Tensor, target: Tensor) -> Tensor:
        """MOS-LQO (B,), 1.04 to 4.64, of waveforms (B, C, T), the mean over channels: `pesq`'s to a tenth."""
        symmetric, asymmetric = self.disturbances(estimate, target)
        raw = 4.5 - 0.1 * symmetric - 0.0309 * asymmetric
        return (0.999 + 4 / (1 + torch.exp(-1.3669 * raw + 3.8224))).mean(1)

    def disturbances(self, estimate: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Symmetric and asymmetric, each (B, C), of waveforms (B, C, T)."""
        x, y = self._bark_powers(estimate), self._bark_powers(target)
        # What a listener forgives: the target takes the estimate's mean spectrum, in which frames of silence
        # don't count, and each frame of the estimate the target's power.
        heard = (self._audible(y, 100).sum(-1, keepdim=True) >= 1e7).float()
        means = [(self._audible(power, 100) * heard).mean(-2, keepdim=True) for power in (x, y)]
        y = y * ((means[0] + 1000) / (means[1] + 1000)).clamp(0.01, 100)
        loud = self._audible(y).sum(-1, keepdim=True)
        gain = (loud + 5e3) / (self._audible(x).sum(-1, keepdim=True) + 5e3)
        gain = torch.cat([gain[..., :1, :], 0.8 * gain[..., 1:, :] + 0.2 * gain[..., :-1, :]], -2)
        x = x * gain.clamp(3e-4, 5)
        x_loudness, y_loudness = self._loudness(x), self._loudness(y)
        difference = x_loudness - y_loudness
        masked = 0.25 * torch.minimum(x_loudness, y_loudness)
        difference = difference.sign() * (difference.abs() - masked).clamp(min=0)
        # what a codec adds is worse than what it leaves out
        added = ((x + 50) / (y + 50)) ** 1.2
        added = torch.where(added < 3, 0, added.clamp(max=12))
        weight = (loud.squeeze(-1) + 1e5) / 1e7
        squares = (difference * self.barks)[..., 1:].square().sum(-1)
        symmetric = (self.barks[1:].sum() * squares + 1e-12).sqrt()
        asymmetric = (difference * added * self.barks)[..., 1:].abs().sum(-1)
        return _over_time(symmetric, weight), _over_time(asymmetric, weight)

    def _bark_powers(self, wav: Tensor) -> Tensor:
        """Waveforms (B, C, T), brought to one level, to powers (B, C, N, 49)."""
        power = self.stft(wav)[..., :-1, :].abs().square().transpose(-1, -2)
        energy = 2 * (power @ self.in_level_band).mean(-1) / (WINDOW * self.stft.window.square().sum())
        power = power * (TARGET_POWER / (energy + 1e-10))[..., None, None] * self.emphasis
        return (power @ self.bands) * self.corrections

    def _audible(self, power: Tensor, factor: float = 1.0) -> Tensor:
        return torch.where(power > self.thresholds * factor, power, 0)

    def _loudness(self, power: Tensor) -> Tensor:
        """Zwicker's, in sone per Bark."""
        over = (0.5 + 0.5 * power / self.thresholds) ** self.exponents - 1
        sones = LOUDNESS_SCALE * (2 * self.thresholds) ** self.exponents * over
        return torch.where(power > self.thresholds, sones, 0)


def _over_time(disturbance: Tensor, weight: Tensor) -> Tensor:
    """Disturbances (..., N) of frames: a norm of 6 over 20 frames, of 2 over these."""
    scaled = (disturbance / weight**0.04).clamp(1e-6, 45)
    pieces = scaled.unfold(-1, min(20, scaled.shape[-1]), 10)
    return pieces.pow(6).mean(-1).pow(1 / 6).square().mean(-1).sqrt()
