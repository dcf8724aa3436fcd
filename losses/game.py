"""Real against made: what a discriminator and a generator learn from each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vocable.losses.adversarial import feature_loss, hinge_discriminator_loss, hinge_generator_loss, split


@dataclass(frozen=True)
class Game:
    """A discriminator of waveforms (B, C, T), and the losses played with it: `play`; or `judge`, `terms`."""

    discriminator: nn.Module
    discriminator_loss: Callable[[list[Tensor], list[Tensor]], Tensor] = hinge_discriminator_loss
    generator_loss: Callable[[list[Tensor]], Tensor] = hinge_generator_loss
    feature_loss: Callable[[list[list[Tensor]], list[list[Tensor]]], Tensor] = feature_loss

    def play(self, wav: Tensor, wav_hat: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss and the generator's terms, before their weights, of one pass.

        The generator's backward pass comes first, and gives the discriminator's own weights no gradient; nor
        does the discriminator's `wav_hat`.
        """
        # Not in one batch: of the real half the generator's terms need no gradient.
        heard = wav_hat.detach().requires_grad_()
        (real, real_maps), (fake, fake_maps) = (split(self.discriminator(x)) for x in (wav, heard))
        terms = self._terms(real_maps, fake, fake_maps)
        values = _Through.apply(wav_hat, heard, list(terms.values()))
        return self.discriminator_loss(real, fake), dict(zip(terms, values, strict=True))

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
            return self._terms(real, logits, fake)
        finally:
            self.discriminator.requires_grad_(True)

    def _terms(
        self, real: list[list[Tensor]], logits: list[Tensor], fake: list[list[Tensor]]
    ) -> dict[str, Tensor]:
        return {"adversarial": self.generator_loss(logits), "features": self.feature_loss(real, fake)}


class _Through(torch.autograd.Function):
    """Losses of `heard`, a copy of `wav_hat` without its history, as losses of `wav_hat`.

    The way back goes through the losses' own graph, which stays for another backward pass, and to no weights
    in it: they are no part of this function's graph, so that DistributedDataParallel doesn't wait for them.
    """

    @staticmethod
    def forward(ctx: Any, wav_hat: Tensor, heard: Tensor, losses: list[Tensor]) -> tuple[Tensor, ...]:  # type: ignore[override]
        ctx.set_materialize_grads(False)
        ctx.heard, ctx.losses = heard, losses
        return tuple(loss.detach().clone() for loss in losses)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, None, None]:  # type: ignore[override]
        asked = [(loss, g) for loss, g in zip(ctx.losses, gradients, strict=True) if g is not None]
        losses, scales = zip(*asked, strict=True)
        (gradient,) = torch.autograd.grad(losses, ctx.heard, scales, retain_graph=True)
        return gradient, None, None
