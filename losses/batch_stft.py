"""Parallel WaveGAN's STFT loss (https://arxiv.org/abs/1910.11480), as X-codec computes it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocable.losses.spectral import PairLoss
from vocable.losses.stft import STFT


class BatchSTFTLoss(PairLoss):
    """Spectral convergence, one ratio for the whole batch, plus L1 of log magnitudes; the mean over windows.

    Over the bands of a `PQMFLoss` one ratio for all keeps the weak high bands from counting as the low ones.
    windows: their lengths, up to those of `n_ffts`. `floor` is the least energy of a bin.
    """

    def __init__(
        self,
        windows: tuple[int, ...] = (480, 960, 1200),
        hops: tuple[int, ...] = (120, 240, 300),
        n_ffts: tuple[int, ...] = (512, 1024, 2048),
        floor: float = 1e-7,
    ) -> None:
        super().__init__()
        if not len(windows) == len(hops) == len(n_ffts):
            raise ValueError(
                f"windows, hops and n_ffts have {len(windows)}, {len(hops)} and {len(n_ffts)} values; "
                "accepted: as many of each"
            )
        self.floor = floor
        self.stfts = nn.ModuleList(
            STFT(n_fft, hop, window_length=window)
            for window, hop, n_fft in zip(windows, hops, n_ffts, strict=True)
        )

    def compare(self, estimate: Tensor, target: Tensor) -> Tensor:
        losses = []
        for stft in self.stfts:
            x, y = (
                torch.view_as_real(stft(wav)).square().sum(-1).clamp(min=self.floor)
                for wav in (estimate, target)
            )
            # Logs of energies are twice those of magnitudes, without their roots.
            logs = F.l1_loss(x.log(), y.log()) / 2
            x, y = x.sqrt(), y.sqrt()
            losses.append((y - x).norm() / y.norm() + logs)
        return torch.stack(losses).mean()
