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
