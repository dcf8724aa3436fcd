"""Quantizer dropout: training with fewer codebooks now and then, so that one model serves every bit rate."""

from collections.abc import Callable

import torch
from torch import Tensor

from vocable.quantizers.clusters import agreed

Dropout = Callable[[Tensor, int], tuple[int, Tensor]]
"""Of latents (B, D, N) and K: how many codebooks the batch runs through, how many each item uses (B,)."""


class PerItem:
    """A share of a batch's items use only the first n codebooks (https://arxiv.org/abs/2306.06546).

    n: one of `counts`, all as likely, and twice as likely what stands there twice; () is 1..K. The batch
    still runs through all of them.
    """

    def __init__(self, share: float, counts: tuple[int, ...] = ()) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"dropout is {share}; accepted: 0 to 1")
        self.share, self.counts = share, tuple(counts)

    def __call__(self, z: Tensor, num_codebooks: int) -> tuple[int, Tensor]:
        counts = torch.full((len(z),), num_codebooks)
        # rounded at random, so that the share is right on average for any batch size
        dropped = int(len(z) * self.share + torch.rand(()).item())
        choices = torch.tensor(_choices(self.counts, num_codebooks))
        counts[:dropped] = choices[torch.randint(len(choices), (dropped,))]
        return num_codebooks, counts


class PerBatch:
    """A whole batch, on all ranks, runs through the first n codebooks only (https://arxiv.org/abs/2210.13438).

    n: one of `counts`, all as likely; () is 1..K. Ranks agree, for they also learn their codebooks together.
    """

    def __init__(self, counts: tuple[int, ...] = ()) -> None:
        self.counts = tuple(counts)

    def __call__(self, z: Tensor, num_codebooks: int) -> tuple[int, Tensor]:
        counts = _choices(self.counts, num_codebooks)
        used = counts[int(agreed(torch.randint(len(counts), (1,)).to(z.device)))]
        return used, torch.full((len(z),), used)


def _choices(counts: tuple[int, ...], num_codebooks: int) -> tuple[int, ...]:
    counts = counts or tuple(range(1, num_codebooks + 1))
    if not 1 <= min(counts) <= max(counts) <= num_codebooks:
        raise ValueError(f"dropout counts are {counts}; accepted: each 1 to {num_codebooks}")
    return counts
