"""STOI as a loss: how well the envelopes of third octaves follow the target's, over 384 ms at a time.

Taal et al., "An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech"
(https://doi.org/10.1109/TASL.2011.2114881), whose constants these are, at any sample rate from 10 kHz on.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vocable.losses.semantic import correlation
from vocable.losses.spectral import PairLoss
from vocable.losses.stft import STFT

WINDOW_SECONDS = 0.0256
SEGMENT = 30  # frames, half a window apart
BANDS, LOWEST = 15, 150.0  # third octaves, and the centre of the first in Hz
DYNAMIC_RANGE_DB = 40.0  # frames of the target that much below its loudest are silence, and left out
CLIP_DB = 15.0  # how far an envelope may be above the target's
MIN_SAMPLE_RATE = 10000


class STOILoss(PairLoss):
    """1 minus the mean correlation of the envelopes, 0 where they are alike, for waveforms aligned in time.

    Neither's level matters. Items with less than 384 ms of speech don't count.
    """

    bands: Tensor

    def __init__(self, sample_rate: int = 16000):
        super().__init__()
        if sample_rate < MIN_SAMPLE_RATE:
            raise ValueError(f"sample_rate is {sample_rate}; accepted: {MIN_SAMPLE_RATE} or more")
        window = round(WINDOW_SECONDS * sample_rate)
        n_fft = 1 << (2 * window - 1).bit_length()
        self.stft = STFT(n_fft, window // 2, "valid", window_length=window)
        frequencies = torch.arange(n_fft // 2 + 1) * sample_rate / n_fft
        edges = LOWEST * 2 ** ((torch.arange(BANDS + 1) - 0.5) / 3)
        band = torch.bucketize(frequencies, edges, right=True) - 1  # -1 and BANDS lie outside
        members = F.one_hot(band.clamp(0, BANDS), BANDS + 1)[:, :BANDS] * (band >= 0)[:, None]
        self.register_buffer("bands", members.float(), persistent=False)

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        scores, counts = self.scores(estimate, target)
        heard = (counts > 0).float()
        return ((1 - scores) * heard).sum() / heard.sum().clamp(min=1)

    def scores(self, estimate: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """STOI (B, C) of waveforms (B, C, T), up to 1, and of how many segments (B, C) it is the mean.

        The package `pystoi` resamples to 10 kHz and leaves silence out of the waveform: its scores to 0.02.
        """
        powers = [self.stft(wav).abs().square().transpose(-1, -2) for wav in (estimate, target)]
        x, y = (self._envelopes(power) for power in powers)
        energy = powers[1].sum(-1)
        if y.shape[-1] < SEGMENT:
            return y.new_zeros(y.shape[:2]), y.new_zeros(y.shape[:2])
        speech = energy > energy.amax(-1, keepdim=True) * 10 ** (-DYNAMIC_RANGE_DB / 10)
        order = (~speech).to(torch.uint8).argsort(dim=-1, stable=True)  # speech first, silence after it
        order = order.unsqueeze(-2).expand_as(y)
        x, y = (part.gather(-1, order).unfold(-1, SEGMENT, 1) for part in (x, y))  # (B, C, bands, M, SEGMENT)
        x = x * (y.norm(dim=-1, keepdim=True) / x.norm(dim=-1, keepdim=True))
        x = torch.minimum(x, y * (1 + 10 ** (CLIP_DB / 20)))
        alike = correlation(x, y).mean(-2)  # (B, C, M)
        counts = (speech.sum(-1) - SEGMENT + 1).clamp(min=0)
        valid = torch.arange(alike.shape[-1], device=counts.device) < counts.unsqueeze(-1)
        return (alike * valid).sum(-1) / counts.clamp(min=1), counts

    def _envelopes(self, power: Tensor) -> Tensor:
        """Powers (B, C, N, bins) to magnitudes of bands (B, C, bands, N)."""
        # the floor bounds the root's gradient at silence, and keeps the norm of a segment above 0
        return (power @ self.bands + 1e-9).sqrt().transpose(-1, -2)
