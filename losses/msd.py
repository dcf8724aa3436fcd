"""Multi-scale discriminators on samples: HiFi-GAN's (https://arxiv.org/abs/2010.05646; SpeechTokenizer) and
MelGAN's (https://arxiv.org/abs/1910.06711; SoundStream)."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from vocable.losses.layers import FeatureMaps, fold_channels

Layers = tuple[tuple[int, int, int, int], ...]  # channels, kernel, stride and groups of each

HIFIGAN: Layers = (
    (128, 15, 1, 1),
    (128, 41, 2, 4),
    (256, 41, 2, 16),
    (512, 41, 4, 16),
    (1024, 41, 4, 16),
    (1024, 41, 1, 16),
    (1024, 5, 1, 1),
)
MELGAN: Layers = (
    (16, 15, 1, 1),
    (64, 41, 4, 4),
    (256, 41, 4, 16),
    (1024, 41, 4, 64),
    (1024, 41, 4, 256),
    (1024, 5, 1, 1),
)


class ScaleDiscriminator(nn.Module):
    """Strided convolutions over samples (B, C, T), some of them grouped.

    Gives feature maps (B * C, channels, L), then logits (B * C, 1, L).
    """

    def __init__(self, layers: Layers = HIFIGAN, norm: Callable[[nn.Module], nn.Module] = weight_norm):
        super().__init__()
        inputs = (1, *(channels for channels, *_ in layers))
        convs = [
            norm(nn.Conv1d(before, channels, kernel, stride, kernel // 2, groups=groups))
            for before, (channels, kernel, stride, groups) in zip(inputs, layers, strict=False)
        ]
        logits = norm(nn.Conv1d(inputs[-1], 1, 3, padding=1))
        self.layers = FeatureMaps([*(nn.Sequential(conv, nn.LeakyReLU(0.1)) for conv in convs), logits])

    def forward(self, wav: Tensor) -> list[Tensor]:
        return self.layers(fold_channels(wav))


class MultiScaleDiscriminator(nn.Module):
    """One `ScaleDiscriminator` a scale, each at half the last one's rate: (B, C, T) to a list of their maps.

    spectral: how many of the first scales have spectral instead of weight normalisation, 1 in HiFi-GAN.
    """

    def __init__(self, scales: int = 3, layers: Layers = HIFIGAN, spectral: int = 1):
        super().__init__()
        self.discriminators = nn.ModuleList(
            ScaleDiscriminator(layers, spectral_norm if scale < spectral else weight_norm)
            for scale in range(scales)
        )

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        outputs = [self.discriminators[0](wav)]
        for discriminator in list(self.discriminators)[1:]:
            wav = F.avg_pool1d(wav, 4, 2, padding=2)
            outputs.append(discriminator(wav))
        return outputs


def melgan_discriminator(scales: int = 3, layers: Layers = MELGAN) -> MultiScaleDiscriminator:
    """SoundStream's discriminator on samples, which is MelGAN's: weight normalisation at every scale."""
    return MultiScaleDiscriminator(scales, layers, spectral=0)
