"""The multi-period discriminator (HiFi-GAN, https://arxiv.org/abs/2010.05646), as DAC has it."""

import torch.nn.functional as F
from torch import Tensor, nn

from vocable.losses.layers import FeatureMaps, conv2d, fold_channels


class PeriodDiscriminator(nn.Module):
    """Samples (B, C, T) folded into rows of `period`, convolved along each column.

    channels: width of the layers; the last layer keeps the resolution, the others divide it by 3.
    last_kernel: of the logits' convolution, 3 or BigCodec's 2.
    Gives feature maps (B * C, channels, L, period), then logits (B * C, 1, L, period).
    """

    def __init__(
        self, period: int, channels: tuple[int, ...] = (32, 128, 512, 1024, 1024), last_kernel: int = 3
    ):
        super().__init__()
        self.period = period
        strides = [(3, 1)] * (len(channels) - 1) + [(1, 1)]
        inputs = (1, *channels[:-1])
        convs = [
            nn.Sequential(conv2d(before, after, (5, 1), stride), nn.LeakyReLU(0.1, inplace=True))
            for before, after, stride in zip(inputs, channels, strides, strict=True)
        ]
        self.layers = FeatureMaps([*convs, conv2d(channels[-1], 1, (last_kernel, 1))])

    def forward(self, wav: Tensor) -> list[Tensor]:
        wav = fold_channels(wav)
        # DAC pads a full period where HiFi-GAN pads none; the weights don't mind, a comparison does.
        wav = F.pad(wav, (0, self.period - wav.shape[-1] % self.period), mode="reflect")
        return self.layers(wav.unflatten(-1, (-1, self.period)))


class MultiPeriodDiscriminator(nn.Module):
    """One `PeriodDiscriminator` for each of `periods`: (B, C, T) to a list of their feature maps."""

    def __init__(
        self,
        periods: tuple[int, ...] = (2, 3, 5, 7, 11),
        channels: tuple[int, ...] = (32, 128, 512, 1024, 1024),
        last_kernel: int = 3,
    ):
        super().__init__()
        self.discriminators = nn.ModuleList(
            PeriodDiscriminator(period, channels, last_kernel) for period in periods
        )

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        return [discriminator(wav) for discriminator in self.discriminators]
