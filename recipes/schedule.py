"""Numbers that depend on the training step alone, so that a resumed run needs no state for them."""

import math


def warmup_cosine(step: int, warmup_steps: int, total_steps: int, final: float = 0.0) -> float:
    """The learning rate's factor: up to 1 along a line in `warmup_steps`, down to `final` along a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def ramp(step: int, start_step: int, ramp_steps: int) -> float:
    """0 before `start_step`, 1 from `start_step + ramp_steps` on, along a line between them."""
    if step < start_step:
        return 0.0
    return min(1.0, (step - start_step + 1) / (ramp_steps + 1))
