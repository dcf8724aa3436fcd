"""Losses that count for more, or less, where an item has its first codebook alone."""

import math

import torch
from torch import Tensor


def weighed(wav: Tensor, used: Tensor | None, alone: float) -> Tensor:
    """wav (B, C, T) as it is, but that its gradient counts `alone` times for items of one codebook.

    A loss that is a mean over items then weighs them so; its value stays. used: how many codebooks each item
    is of, (B,). ValueError where nothing tells it, unless `alone` is 1.
    """
    if alone == 1:
        return wav
    if used is None:
        raise ValueError(
            f"alone is {alone:g}, and the quantizer does not tell which items have one codebook; "
            "accepted: 1, or an RVQ"
        )
    weights = torch.where(used == 1, alone, 1.0).to(wav)[:, None, None]
    still = wav.detach()
    return still + weights * (wav - still)


def checked(alone: float) -> float:
    """The weight `alone` itself; ValueError unless it is one."""
    if not 0 <= alone < math.inf:
        raise ValueError(f"alone is {alone:g}; accepted: 0 or more, and finite")
    return alone
