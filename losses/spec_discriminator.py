"""The multi-resolution magnitude discriminator of BigCodec (https://arxiv.org/abs/2409.05377) and X-codec2
(https://arxiv.org/abs/2502.04128)."""

import torch
from torch import Tensor, nn

from vocable.losses.layers import FeatureMaps, conv2d, fold_channels
from vocable.losses.stft import STFT


class MagnitudeDiscriminator(nn.Module):
    """Square convolutions over the magnitudes of waveforms (B, C, T).

    overlap: windows over a sample. channels: width of the layers, all but the last of which halve the bins
    and frames.
    Gives feature maps (B * C, channels, bins, N), then logits (B * C, 1, bins, N).
    """

    def __init__(
        self, window: int, overlap: int = 2, channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    ) -> None:
        super().__init__()
        self.stft = STFT(window, window // overlap)
        pairs = list(zip((1, *channels), channels, strict=False))
        convs = [conv2d(before, after, (5, 5), (2, 2)) for before, after in pairs[:-1]]
        convs.append(conv2d(*pairs[-1], (3, 3)))
        activated = [nn.Sequential(conv, nn.LeakyReLU(0.2)) for conv in convs]
        self.layers = FeatureMaps([*activated, conv2d(channels[-1], 1, (3, 3))])

    def forward(self, wav: Tensor) -> list[Tensor]:
        energy = torch.view_as_real(self.stft(fold_channels(wav))).square().sum(-1)
        # The floor bounds the root's gradient at silence; the ceiling, which loud bins reach, is published.
        return self.layers(energy.clamp(1e-7, 1e3).sqrt())


class SpectrogramDiscriminator(nn.Module):
    """One `MagnitudeDiscriminator` for each of `windows`: (B, C, T) to a list of their feature maps.

    X-codec2's windows, no one a simple multiple of another; BigCodec has 128 to 2048 and an overlap of 4.
    """

    def __init__(
        self,
        windows: tuple[int, ...] = (78, 126, 206, 334, 542, 876, 1418, 2296),
        overlap: int = 2,
        channels: tuple[int, ...] = (32, 64, 128, 256, 512),
    ) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            MagnitudeDiscriminator(window, overlap, channels) for window in windows
        )

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        return [discriminator(wav) for discriminator in self.discriminators]
