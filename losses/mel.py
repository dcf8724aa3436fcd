"""Mel filters and spectra."""

import warnings
from typing import Literal

import torch
from torch import Tensor, nn

from vocable.losses.stft import STFT, Framing

MelScale = Literal["slaney", "htk", "htk-area"]


def mel_filterbank(
    sample_rate: int, n_fft: int, n_mels: int, min_frequency: float = 0.0, scale: MelScale = "slaney"
) -> Tensor:
    """Triangular mel filters (n_fft / 2 + 1, n_mels), up to half the sample rate.

    "slaney" filters have equal areas (librosa's default), "htk" ones equal heights (torchaudio's);
    "htk-area" ones have HTK's frequencies and equal areas.
    """
    from torchaudio.functional import melscale_fbanks  # of the train extra, so not before it is needed

    with warnings.catch_warnings():
        # Short windows leave some filters without a bin; the scales that use them know it.
        warnings.filterwarnings("ignore", message="At least one mel filterbank has all zero values")
        return melscale_fbanks(
            n_freqs=n_fft // 2 + 1,
            f_min=min_frequency,
            f_max=sample_rate / 2,
            n_mels=n_mels,
            sample_rate=sample_rate,
            norm=None if scale == "htk" else "slaney",
            mel_scale="slaney" if scale == "slaney" else "htk",
        )


class MelSpectrogram(nn.Module):
    """Waveforms (B, C, T) to mel spectra (B, C, n_mels, N): magnitudes to `power`, 1 or 2, then `filters`."""

    filters: Tensor

    def __init__(
        self,
        filters: Tensor,
        hop_length: int,
        power: int = 1,
        framing: Framing = "center",
        normalized: bool = False,
        window_length: int | None = None,
    ):
        super().__init__()
        n_fft = 2 * (filters.shape[0] - 1)
        self.stft = STFT(n_fft, hop_length, framing, normalized, window_length)
        self.power = power
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        spec = self.stft(wav)
        # The square needs no root, whose gradient at silence is the trouble.
        magnitude = spec.abs() if self.power == 1 else torch.view_as_real(spec).square().sum(-1)
        return (magnitude.transpose(-1, -2) @ self.filters).transpose(-1, -2)
