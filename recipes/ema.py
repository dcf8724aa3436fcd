"""Moving average of the weights: what validation and export use."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def average_of(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of `model` whose parameters follow it; buffers (codebooks learned by averages) are its own.

    The decay grows towards `decay`, as (1 + n) / (10 + n) at update n, to forget the random start soon.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"ema_decay is {decay}; accepted: 0 up to but not 1")

    def follow(averages, currents, count) -> None:
        n = float(count)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averages, currents, count)

    return AveragedModel(model, multi_avg_fn=follow).requires_grad_(False)
