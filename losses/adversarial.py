"""Adversarial and feature-matching losses, each normalised as in the paper that it comes from.

A discriminator gives a list over its sub-discriminators of feature maps, the last of which are the logits
(any shape); `split` takes them apart. Logits near 1 mean real. Every loss is a scalar in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def split(outputs: list[list[Tensor]]) -> tuple[list[Tensor], list[list[Tensor]]]:
    """A discriminator's output to the logits and the other feature maps of each sub-discriminator."""
    return [maps[-1] for maps in outputs], [maps[:-1] for maps in outputs]


def hinge_discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean over sub-discriminators of max(0, 1 - real) + max(0, 1 + fake) (EnCodec,
    https://arxiv.org/abs/2210.13438)."""
    check_pairs(real, fake)
    losses = [
        (1 - r.float()).relu().mean() + (1 + f.float()).relu().mean() for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def hinge_generator_loss(fake: list[Tensor]) -> Tensor:
    """Mean over sub-discriminators of -fake, which unlike a hinge keeps its gradient past the margin."""
    return -torch.stack([f.float().mean() for f in fake]).mean()


def clamped_hinge_generator_loss(fake: list[Tensor]) -> Tensor:
    """Mean over sub-discriminators of max(0, 1 - fake) (EnCodec's paper, vocos)."""
    return torch.stack([(1 - f.float()).relu().mean() for f in fake]).mean()


def least_squares_discriminator_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Sum over sub-discriminators of (1 - real)^2 + fake^2 (HiFi-GAN, https://arxiv.org/abs/2010.05646)."""
    check_pairs(real, fake)
    losses = [
        (1 - r.float()).square().mean() + f.float().square().mean() for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).sum()


def least_squares_generator_loss(fake: list[Tensor]) -> Tensor:
    """Sum over sub-discriminators of (1 - fake)^2."""
    return torch.stack([(1 - f.float()).square().mean() for f in fake]).sum()


def feature_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """L1 distance summed over feature maps and sub-discriminators (HiFi-GAN, DAC); no gradient to `real`."""
    return torch.stack(
        [torch.stack([distance(*pair) for pair in pairs]).sum() for pairs in zipped(real, fake)]
    ).sum()


def mean_feature_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """L1 distance, the mean over feature maps and then sub-discriminators (audiocraft's EnCodec, SoundStream,
    X-codec, Stable Codec); no gradient to `real`."""
    return torch.stack(
        [torch.stack([distance(*pair) for pair in pairs]).mean() for pairs in zipped(real, fake)]
    ).mean()


def relative_feature_loss(real: list[list[Tensor]], fake: list[list[Tensor]]) -> Tensor:
    """L1 distance of each feature map over the mean magnitude of its real one, the mean over maps and then
    sub-discriminators (EnCodec's paper); no gradient to `real`."""
    means = [
        torch.stack(
            [distance(r, f) / r.detach().float().abs().mean().clamp(min=1e-8) for r, f in pairs]
        ).mean()
        for pairs in zipped(real, fake)
    ]
    return torch.stack(means).mean()


def distance(real: Tensor, fake: Tensor) -> Tensor:
    """Mean absolute difference of two maps, in float32."""
    return F.l1_loss(fake.float(), real.detach().float())


def zipped(real: list[list[Tensor]], fake: list[list[Tensor]]) -> list[list[tuple[Tensor, Tensor]]]:
    """For each sub-discriminator, the pairs of its real and fake feature maps."""
    check_pairs(real, fake)
    for real_maps, fake_maps in zip(real, fake, strict=True):
        check_pairs(real_maps, fake_maps)
    return [list(zip(*maps, strict=True)) for maps in zip(real, fake, strict=True)]


def check_pairs(real: list, fake: list) -> None:
    """ValueError unless both lists have the same length, at least 1."""
    if len(real) != len(fake) or not real:
        raise ValueError(f"real has {len(real)} entries and fake {len(fake)}; accepted: as many, at least 1")
