"""A term of the generator's loss."""

from collections.abc import Callable

from torch import Tensor, nn

from vocable.recipes.schedule import ramp


class Term(nn.Module):
    """A loss of (reconstruction, original), waveforms (B, C, T), with a weight that may come in late.

    The weight is 0 before `start_step` and grows along a line for `ramp_steps`: phase and waveform terms at
    full weight from the first step can make a codec's latent collapse.
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        weight: float,
        start_step: int = 0,
        ramp_steps: int = 0,
    ) -> None:
        super().__init__()
        self.loss, self.weight = loss, weight
        self.start_step, self.ramp_steps = start_step, ramp_steps

    def weight_at(self, step: int) -> float:
        """The weight at a step."""
        return self.weight * ramp(step, self.start_step, self.ramp_steps)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """The loss before its weight, a scalar."""
        return self.loss(estimate, target)
