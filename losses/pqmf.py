"""A pseudo-QMF filter bank (https://ieeexplore.ieee.org/document/258122), and losses on its bands."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocable.losses.spectral import PairLoss

# The prototype's cut-off, as a share of half the sample rate, at which the bank best inverts itself.
# X-codec's for 6 and 8 bands, found in the same way for 2 and 4.
CUTOFFS = {2: 0.267003, 4: 0.1420035, 6: 0.10032791, 8: 0.07949452}


class PQMF(nn.Module):
    """Waveforms (B, C, T) to `bands` signals (B, C, bands, ceil(T / bands)) of as low a rate, and back.

    order: of the filters; beta: of their Kaiser window.
    """

    filters: Tensor

    def __init__(self, bands: int = 6, order: int = 62, beta: float = 9.0) -> None:
        super().__init__()
        if bands not in CUTOFFS:
            raise ValueError(f"bands is {bands}; accepted: {', '.join(map(str, CUTOFFS))}")
        if order < 2 or order % 2:
            raise ValueError(f"order is {order}; accepted: even numbers from 2")
        self.bands, self.order = bands, order
        time = torch.arange(order + 1, dtype=torch.float64) - order / 2
        window = torch.kaiser_window(order + 1, periodic=False, beta=beta, dtype=torch.float64)
        prototype = CUTOFFS[bands] * torch.sinc(CUTOFFS[bands] * time) * window
        band = torch.arange(bands).unsqueeze(1)
        phase = torch.where(band % 2 == 0, math.pi / 4, -math.pi / 4)
        filters = 2 * prototype * torch.cos((2 * band + 1) * math.pi / (2 * bands) * time + phase)
        self.register_buffer("filters", filters.float().unsqueeze(1), persistent=False)

    def forward(self, wav: Tensor) -> Tensor:
        """Waveforms (B, C, T) to bands (B, C, bands, ceil(T / bands)), the lowest first."""
        padding = self.order // 2
        bands = F.conv1d(wav.flatten(0, 1).unsqueeze(1), self.filters, stride=self.bands, padding=padding)
        return bands.unflatten(0, wav.shape[:2])

    def inverse(self, bands: Tensor) -> Tensor:
        """Bands (B, C, bands, N) to waveforms (B, C, N * bands), which are nearly those analysed."""
        # The synthesis filters are the analysis filters reversed, so this is the analysis transposed.
        wav = F.conv_transpose1d(
            bands.flatten(0, 1),
            self.filters * self.bands,
            stride=self.bands,
            padding=self.order // 2,
            output_padding=self.bands - 1,
        )
        return wav.squeeze(1).unflatten(0, bands.shape[:2])


class PQMFLoss(PairLoss):
    """`loss` of the bands of a `PQMF`, as channels: (B, C * bands, T / bands) (X-codec)."""

    def __init__(self, loss: PairLoss, bands: int = 6) -> None:
        super().__init__()
        self.loss, self.pqmf = loss, PQMF(bands)

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        return self.loss(self.pqmf(estimate).flatten(1, 2), self.pqmf(target).flatten(1, 2))
