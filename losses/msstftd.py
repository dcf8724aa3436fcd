"""The multi-scale STFT discriminator (EnCodec, https://arxiv.org/abs/2210.13438)."""

import torch
from torch import Tensor, nn

from vocable.losses.layers import FeatureMaps, conv2d
from vocable.losses.stft import STFT


class STFTDiscriminator(nn.Module):
    """Convolutions over the complex spectrum of waveforms (B, C, T), dilated along time.

    audio_channels: C, judged together. slope: of the leaky ReLUs. overlap: windows over a sample.
    stride: of three layers along the bins. power: the spectrum X becomes X |X|^power (Stable Audio's tools).
    Gives feature maps (B, channels, N, bins), then logits (B, 1, N, bins).
    """

    def __init__(
        self,
        window: int,
        channels: int = 32,
        audio_channels: int = 1,
        slope: float = 0.2,
        overlap: int = 4,
        stride: int = 2,
        power: float = 0.0,
    ):
        super().__init__()
        self.power = power
        self.stft = STFT(window, window // overlap, framing="valid", normalized=True)
        layers = [
            nn.Conv2d(
                2 * audio_channels, channels, (3, 9), padding=(1, 4)
            ),  # the only one with plain weights
            *(conv2d(channels, channels, (3, 9), (1, stride), (dilation, 1)) for dilation in (1, 2, 4)),
            conv2d(channels, channels, (3, 3)),
        ]
        convs = [nn.Sequential(layer, nn.LeakyReLU(slope, inplace=True)) for layer in layers]
        self.layers = FeatureMaps([*convs, conv2d(channels, 1, (3, 3))])

    def forward(self, wav: Tensor) -> list[Tensor]:
        spec = self.stft(wav)
        if self.power:
            spec = spec * (spec.abs() + 1e-6) ** self.power
        maps = torch.cat([spec.real, spec.imag], dim=1).transpose(2, 3)
        # the layers keep this order of memory, in which oneDNN takes a tenth less time
        return self.layers(maps.contiguous(memory_format=torch.channels_last))


class MultiScaleSTFTDiscriminator(nn.Module):
    """One `STFTDiscriminator` for each of `windows`: (B, C, T) to a list of their feature maps."""

    def __init__(
        self,
        windows: tuple[int, ...] = (2048, 1024, 512, 256, 128),
        channels: int = 32,
        audio_channels: int = 1,
        slope: float = 0.2,
        overlap: int = 4,
        stride: int = 2,
        power: float = 0.0,
    ):
        super().__init__()
        self.discriminators = nn.ModuleList(
            STFTDiscriminator(window, channels, audio_channels, slope, overlap, stride, power)
            for window in windows
        )

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        return [discriminator(wav) for discriminator in self.discriminators]
