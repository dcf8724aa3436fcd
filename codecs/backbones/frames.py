"""Features of one frame rate on the frames of another."""

from torch import Tensor
from torch.nn import functional as F


def spread(features: Tensor, frames: int) -> Tensor:
    """Features (B, D, N) of a signal as (B, D, frames), evenly spread over it.

    Linear in between; where frames get fewer, each hears all that it stands for, by a triangle's weights.
    """
    return F.interpolate(features[:, :, None], (1, frames), mode="bilinear", antialias=True)[:, :, 0]
