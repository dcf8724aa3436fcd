"""A discriminator and the losses played with it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vocable.losses.adversarial import feature_loss, hinge_discriminator_loss, hinge_generator_loss, split
from vocable.recipes.schedule import ramp


@dataclass(frozen=True)
class Adversary:
    """Judges waveforms (B, C, T) from `start_step` on; its weights in the generator's loss ramp up there.

    clip: of the discriminator's gradient norm; None: as the codec's.
    """

    discriminator: nn.Module
    start_step: int = 0
    ramp_steps: int = 0
    weight: float = 1.0
    feature_weight: float = 2.0
    discriminator_loss: Callable[[list[Tensor], list[Tensor]], Tensor] = hinge_discriminator_loss
    generator_loss: Callable[[list[Tensor]], Tensor] = hinge_generator_loss
    feature_loss: Callable[[list[list[Tensor]], list[list[Tensor]]], Tensor] = feature_loss
    clip: float | None = None

    def weights_at(self, step: int) -> dict[str, float]:
        """The weights of the generator's two terms at a step."""
        scale = ramp(step, self.start_step, self.ramp_steps)
        return {"adversarial": self.weight * scale, "features": self.feature_weight * scale}

    def judge(self, wav: Tensor, wav_hat: Tensor) -> Tensor:
        """The discriminator's loss; no gradient to `wav_hat`."""
        # One batch of both: weights are normalised once, and convolutions have more to do at a time.
        logits, _ = split(self.discriminator(torch.cat([wav, wav_hat.detach()])))
        real, fake = (list(half) for half in zip(*(x.chunk(2) for x in logits), strict=True))
        return self.discriminator_loss(real, fake)

    def terms(self, wav: Tensor, wav_hat: Tensor) -> dict[str, Tensor]:
        """The generator's terms, before their weights; the discriminator's own weights get no gradient."""
        self.discriminator.requires_grad_(False)
        try:
            with torch.no_grad():
                _, real = split(self.discriminator(wav))
            logits, fake = split(self.discriminator(wav_hat))
            return {"adversarial": self.generator_loss(logits), "features": self.feature_loss(real, fake)}
        finally:
            self.discriminator.requires_grad_(True)
