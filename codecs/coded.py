"""Codes on their way between a quantizer and a file, piece by piece."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Coded(NamedTuple):
    """Codes (B, K, n) of the next frames, and the scales (B, s) that begin with them or are at hand by then.

    final: whether they are the signal's last, where that is asked.
    """

    codes: Tensor
    scales: Tensor | None = None
    final: bool = False


def joined(parts: Iterable[Coded]) -> tuple[Tensor, Tensor | None]:
    """The codes (B, K, N) and the scales (B, S), if there are any, of the whole signal."""
    parts = list(parts)
    scales = [part.scales for part in parts if part.scales is not None]
    return torch.cat([part.codes for part in parts], -1), torch.cat(scales, -1) if scales else None
