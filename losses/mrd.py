"""The multi-band multi-resolution discriminator on complex spectra (DAC, https://arxiv.org/abs/2306.06546)."""

import torch
from torch import Tensor, nn

from vocable.losses.layers import FeatureMaps, conv2d, fold_channels
from vocable.losses.stft import STFT, Framing

Bands = tuple[tuple[float, float], ...]

BANDS: Bands = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


class BandDiscriminator(nn.Module):
    """The spectrum of waveforms (B, C, T) cut into bands, each with convolutions of its own.

    bands: ranges of frequency as shares of half the sample rate. framing: "same" in DAC, "center" in vocos.
    Gives the feature maps (B * C, channels, N, bins) of band after band, then logits (B * C, 1, N, bins).
    """

    def __init__(self, window: int, channels: int = 32, bands: Bands = BANDS, framing: Framing = "same"):
        super().__init__()
        self.stft = STFT(window, window // 4, framing)
        bins = window // 2 + 1
        self.bands = [(int(low * bins), int(high * bins)) for low, high in bands]
        self.stacks = nn.ModuleList(self.stack(channels) for _ in bands)
        self.logits = conv2d(channels, 1, (3, 3))

    @staticmethod
    def stack(channels: int) -> FeatureMaps:
        """Five layers that reduce the number of bins to an eighth."""
        layers = [
            conv2d(2, channels, (3, 9)),
            conv2d(channels, channels, (3, 9), (1, 2)),
            conv2d(channels, channels, (3, 9), (1, 2)),
            conv2d(channels, channels, (3, 9), (1, 2)),
            conv2d(channels, channels, (3, 3)),
        ]
        return FeatureMaps(nn.Sequential(layer, nn.LeakyReLU(0.1, inplace=True)) for layer in layers)

    def forward(self, wav: Tensor) -> list[Tensor]:
        spec = torch.view_as_real(self.stft(fold_channels(wav)).squeeze(1)).permute(0, 3, 2, 1)
        maps = [
            stack(spec[..., low:high]) for stack, (low, high) in zip(self.stacks, self.bands, strict=True)
        ]
        logits = self.logits(torch.cat([band[-1] for band in maps], dim=-1))
        return [*(x for band in maps for x in band), logits]


class MultiBandDiscriminator(nn.Module):
    """One `BandDiscriminator` for each of `windows`: (B, C, T) to a list of their feature maps."""

    def __init__(
        self,
        windows: tuple[int, ...] = (2048, 1024, 512),
        channels: int = 32,
        bands: Bands = BANDS,
        framing: Framing = "same",
    ):
        super().__init__()
        self.discriminators = nn.ModuleList(
            BandDiscriminator(window, channels, bands, framing) for window in windows
        )

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        return [discriminator(wav) for discriminator in self.discriminators]
