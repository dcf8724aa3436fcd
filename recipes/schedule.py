"""Numbers that depend on the training step alone, so that a resumed run needs no state for them."""

import math


def warmup_cosine(step: int, warmup_steps: int, total_steps: int, final: float = 0.0) -> float:
    """The learning rate's factor: up to 1 along a line in `warmup_steps`, down to `final` along a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def constant(step: int) -> float:
    """1."""
    return 1.0


def exponential(step: int, gamma: float, every: int = 1) -> float:
    """gamma once more after each `every` steps: a step in DAC, an epoch in X-codec."""
    return gamma ** (step // every)


def warmup_linear(
    step: int, warmup_steps: int, down_steps: int, initial: float = 0.0, final: float = 0.0
) -> float:
    """Up from `initial` to 1 along a parabola, then down to `final` along a line (BigCodec, X-codec2)."""
    if step < warmup_steps:
        return initial + (1 - initial) * (step / warmup_steps) ** 2
    return 1 + (final - 1) * min(1.0, (step - warmup_steps) / down_steps)


def inverse(step: int, inverse_gamma: float, power: float = 0.5, warmup: float = 0.0) -> float:
    """(1 + step / inverse_gamma) ** -power, and at the start less by warmup ** (step + 1) (Stable Audio)."""
    return (1 - warmup ** (step + 1)) * (1 + step / inverse_gamma) ** -power


def ramp(step: int, start_step: int, ramp_steps: int) -> float:
    """0 before `start_step`, 1 from `start_step + ramp_steps` on, along a line between them."""
    if step < start_step:
        return 0.0
    return min(1.0, (step - start_step + 1) / (ramp_steps + 1))
