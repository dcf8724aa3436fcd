"""Moving average of the weights: what validation and export use."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` whose parameters follow it; buffers (codebooks learned by averages) are its own.

    The decay grows from 0.1 to `decay`, (1 + n) / (10 + n) at update n, to forget the random start soon.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"ema_decay is {decay}; accepted: 0 up to but not 1")
    average = AveragedModel(model, multi_avg_fn=_follow(decay))
    return average.requires_grad_(False)


def _follow(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    @torch.no_grad()
    def follow(averages: Sequence[Tensor], currents: Sequence[Tensor], count: Tensor | int) -> None:
        n = float(count)
        torch._foreach_lerp_(averages, currents, 1 - min(decay, (1 + n) / (10 + n)))

    return follow
