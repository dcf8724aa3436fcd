"""A term of the generator's loss."""

from collections.abc import Callable

from torch import Tensor, nn

from vocable.recipes.by_rate import checked, weighed
from vocable.recipes.schedule import ramp


class Term(nn.Module):
    """A loss of (reconstruction, original), waveforms (B, C, T), whose weight may come late or go early.

    The weight is 0 before `start_step` and grows along a line for `ramp_steps`: phase and waveform terms at
    full weight from the first step can make a codec's latent collapse. From `end_step` on it is 0 again.
    alone: how much items that are decoded from one codebook of several count, where others count 1.
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        weight: float,
        start_step: int = 0,
        ramp_steps: int = 0,
        end_step: int | None = None,
        alone: float = 1.0,
    ) -> None:
        super().__init__()
        if end_step is not None and end_step <= start_step:
            raise ValueError(
                f"end_step is {end_step}; accepted: more than start_step = {start_step}, or None"
            )
        self.loss, self.weight, self.alone = loss, weight, checked(alone)
        self.start_step, self.ramp_steps, self.end_step = start_step, ramp_steps, end_step

    def weight_at(self, step: int) -> float:
        """The weight at a step."""
        if self.end_step is not None and step >= self.end_step:
            return 0.0
        return self.weight * ramp(step, self.start_step, self.ramp_steps)

    def forward(self, estimate: Tensor, target: Tensor, used: Tensor | None = None) -> Tensor:
        """The loss before its weight, a scalar; used: how many codebooks each item is decoded from, (B,)."""
        return self.loss(weighed(estimate, used, self.alone), target)
