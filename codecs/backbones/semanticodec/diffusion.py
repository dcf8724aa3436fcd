"""Sampling from a diffusion model: DDIM (https://arxiv.org/abs/2010.02502)."""

from collections.abc import Callable

import torch
from torch import Tensor

STEPS = 1000  # of the noise schedule


def signal_levels(first: float = 0.0015, last: float = 0.0195) -> Tensor:
    """(STEPS,): the share of signal in the power after each step, whose noises grow from first to last."""
    noise = torch.linspace(first**0.5, last**0.5, STEPS, dtype=torch.float64).square()
    return (1 - noise).cumprod(0).float()


def ddim(velocity: Callable[[Tensor, int], Tensor], draw: Callable[[], Tensor], steps: int) -> Tensor:
    """A sample, in about `steps` steps, 1 to 500: as many as whole strides through the schedule make.

    velocity: of x at a step of the schedule, sqrt(a) * noise - sqrt(1 - a) * signal
    (https://arxiv.org/abs/2202.00512), a the signal's level.
    draw: normal noise of the shape of x; drawn for the beginning and once a step, as eta = 1 says.
    """
    if not 1 <= steps <= STEPS // 2:
        raise ValueError(f"steps is {steps!r}; accepted: 1 to {STEPS // 2}")
    levels = signal_levels().double()
    times = list(range(1, STEPS, STEPS // steps))
    x = draw()
    for time, earlier in zip(reversed(times), reversed([0, *times[:-1]]), strict=True):
        now, then = levels[time].item(), levels[earlier].item()
        v = velocity(x, time)
        signal = now**0.5 * x - (1 - now) ** 0.5 * v
        noise = now**0.5 * v + (1 - now) ** 0.5 * x
        fresh = (1 - then) / (1 - now) * (1 - now / then)
        x = then**0.5 * signal + max(0.0, 1 - then - fresh) ** 0.5 * noise + fresh**0.5 * draw()
    return x
