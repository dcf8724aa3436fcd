"""What gradient a latent gets through the rounding to a codebook entry, which has none of its own."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Estimator = Callable[[Tensor, Tensor], Tensor]
"""Of value and z (B, D, N): exactly `value`, with a gradient to z and none to value."""


def straight_through(value: Tensor, z: Tensor) -> Tensor:
    """Exactly `value`, with a gradient of ones to z and none to value (https://arxiv.org/abs/1308.3432)."""
    return value.detach() + (z - z.detach())


def rotation(value: Tensor, z: Tensor) -> Tensor:
    """Exactly `value`, as if it were z (B, D, N) turned and scaled by constants (https://arxiv.org/abs/2410.06424).

    The gradient keeps its angle to the vector on the way from value to z, and |value| / |z| of its length.
    Where either vector is zero it has no direction, and the gradient is straight-through.
    """
    target, source = value.detach(), z.detach()
    target_length, length = target.norm(dim=1, keepdim=True), source.norm(dim=1, keepdim=True)
    q, e = F.normalize(target, dim=1), F.normalize(source, dim=1)
    between = F.normalize(q + e, dim=1)
    # a reflection across `between`, then one across q: together the turn from e to q
    turned = z - 2 * between * (between * z).sum(1, keepdim=True) + 2 * q * (e * z).sum(1, keepdim=True)
    directed = (target_length > 1e-6) & (length > 1e-6)
    moved = (target_length / length.masked_fill(~directed, 1)) * turned
    return straight_through(target, moved.where(directed, z))
