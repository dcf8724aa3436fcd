"""A discriminator in training: from when, with what weights, in which order."""

from dataclasses import dataclass

from vocable.losses.game import Game
from vocable.recipes.by_rate import checked
from vocable.recipes.schedule import ramp


@dataclass(frozen=True)
class Adversary(Game):
    """Judges waveforms (B, C, T) from `start_step` on; its weights in the generator's loss ramp up there.

    clip: of the discriminator's gradient norm; None: as the codec's.
    one_pass: both sides learn from one look at real and fake, and the codec moves first. Most published code
        moves the discriminator first and has it look again, two sevenths more work; False is that order.
    alone: how much items that are decoded from one codebook of several count to the codec, others counting 1.
    """

    start_step: int = 0
    ramp_steps: int = 0
    weight: float = 1.0
    feature_weight: float = 2.0
    clip: float | None = None
    one_pass: bool = True
    alone: float = 1.0

    def __post_init__(self) -> None:
        checked(self.alone)

    def weights_at(self, step: int) -> dict[str, float]:
        """The weights of the generator's two terms at a step."""
        scale = ramp(step, self.start_step, self.ramp_steps)
        return {"adversarial": self.weight * scale, "features": self.feature_weight * scale}
