"""Discriminators put together.

Every discriminator takes waveforms (B, C, T) and gives a list over its sub-discriminators of feature maps,
the last of which are the logits.
"""

from collections.abc import Iterable

from torch import Tensor, nn


class Discriminators(nn.Module):
    """Several discriminators as one: their sub-discriminators in one list."""

    def __init__(self, discriminators: Iterable[nn.Module]):
        super().__init__()
        self.discriminators = nn.ModuleList(discriminators)

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        return [maps for discriminator in self.discriminators for maps in discriminator(wav)]


class PeakNormalized(nn.Module):
    """A discriminator that sees each channel without its mean and scaled to a peak of 0.8, as in DAC, so that
    loudness is not what it judges by."""

    def __init__(self, discriminator: nn.Module):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        wav = wav - wav.mean(dim=-1, keepdim=True)
        return self.discriminator(0.8 * wav / (wav.abs().amax(dim=-1, keepdim=True) + 1e-9))


class MatchedMaps(nn.Module):
    """A discriminator whose logits are feature maps too, as in HiFi-GAN, SpeechTokenizer and vocos.

    skip: leaves out the first of every so many maps; 5 in vocos, which has none of its stacks' first layers.
    """

    def __init__(self, discriminator: nn.Module, skip: int = 0):
        super().__init__()
        self.discriminator, self.skip = discriminator, skip

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        return [self.matched(*maps) for maps in self.discriminator(wav)]

    def matched(self, *maps: Tensor) -> list[Tensor]:
        *features, logits = maps
        kept = [x for i, x in enumerate(features) if not self.skip or i % self.skip]
        return [*kept, logits, logits]
