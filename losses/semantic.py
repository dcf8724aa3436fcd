"""Losses between a codec's features and a speech model's, both (B, D, N); the mean square is torch's own."""

from torch import Tensor
from torch.nn import functional as F


def d_axis_loss(features: Tensor, target: Tensor) -> Tensor:
    """-log sigmoid of the cosine over time, of each dimension, as in SpeechTokenizer.

    https://arxiv.org/abs/2308.16692, section 3.2. Scalar, from 0.313 (all alike) to 1.313.
    """
    return -F.logsigmoid(F.cosine_similarity(features, target, dim=2)).mean()


def correlation_loss(features: Tensor, target: Tensor) -> Tensor:
    """`d_axis_loss` of what is left of each dimension without its mean over time; scalar.

    Where a dimension's mean is large beside its course, the cosine is near 1 for whatever has that mean.
    """
    return -F.logsigmoid(correlation(features, target)).mean()


def correlation(features: Tensor, target: Tensor) -> Tensor:
    """Pearson's correlation over time, (...), of two (..., N)."""
    return F.cosine_similarity(*(x - x.mean(-1, keepdim=True) for x in (features, target)), dim=-1)


def cosine_loss(features: Tensor, target: Tensor) -> Tensor:
    """1 less the cosine of each frame's features, as in Mimi (https://arxiv.org/abs/2410.00037); scalar."""
    return 1 - F.cosine_similarity(features, target, dim=1).mean()
