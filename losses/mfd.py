"""X-codec's multi-frequency discriminator (https://arxiv.org/abs/2408.17175)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from vocable.losses.layers import FeatureMaps, conv2d, fold_channels
from vocable.losses.mel import mel_filterbank
from vocable.losses.stft import STFT


class MelDiscriminator(nn.Module):
    """Convolutions over mel magnitudes, linear and in decibels, of waveforms (B, C, T).

    As many mel bands as bins. channels: of the widest layer; the first has a 32nd of them.
    Gives feature maps (B * C, channels, bands, N), then logits (B * C, 1, bands, N).
    """

    filters: Tensor

    def __init__(self, sample_rate: int, window: int, channels: int = 512) -> None:
        super().__init__()
        self.stft = STFT(window, window // 4)
        filters = mel_filterbank(sample_rate, window, window // 2 + 1, scale="htk")
        # Low bands narrower than a bin are empty but for the floor. The root is the STFT's normalisation.
        self.register_buffer("filters", filters.clamp(min=1e-6), persistent=False)
        self.scale = window**-0.5
        widths = [2, *(channels // 2**i for i in range(5, -1, -1))]
        convs = [
            conv2d(before, after, (3, 3), (1 + i % 2, 1 + i % 2), pad_mode="reflect")
            for i, (before, after) in enumerate(pairwise(widths))
        ]
        logits = conv2d(channels, 1, (3, 3), pad_mode="reflect")
        self.layers = FeatureMaps([*(nn.Sequential(conv, nn.LeakyReLU(0.2)) for conv in convs), logits])

    def forward(self, wav: Tensor) -> list[Tensor]:
        spec = self.stft(fold_channels(wav)).squeeze(1) * self.scale
        magnitude = torch.view_as_real(spec).square().sum(-1).clamp(min=1e-7).sqrt()
        mel = (magnitude.transpose(1, 2) @ self.filters).transpose(1, 2)
        decibels = (0.2 * mel.log10() + 0.8).clamp(0, 1)  # 0 at -80 dB, 1 at 20 dB
        return self.layers(torch.stack([mel, decibels], dim=1))


class MultiFrequencyDiscriminator(nn.Module):
    """One `MelDiscriminator` for each of `windows`, as wide as `channels` says: (B, C, T) to a list of their
    feature maps."""

    def __init__(
        self,
        sample_rate: int,
        windows: tuple[int, ...] = (128, 256, 512, 1024, 2048, 4096),
        channels: tuple[int, ...] = (64, 128, 256, 512, 512, 512),
    ) -> None:
        super().__init__()
        if len(windows) != len(channels):
            raise ValueError(
                f"channels has {len(channels)} values; accepted: one for each of {len(windows)} windows"
            )
        self.discriminators = nn.ModuleList(
            MelDiscriminator(sample_rate, window, width)
            for window, width in zip(windows, channels, strict=True)
        )

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        return [discriminator(wav) for discriminator in self.discriminators]
