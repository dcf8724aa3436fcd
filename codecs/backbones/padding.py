"""Padding in time, and the lengths that need none."""

import torch
from torch import Tensor
from torch.nn import functional as F

PAD_MODES = ("constant", "reflect", "replicate")


def pad(x: Tensor, left: int, right: int, mode: str) -> Tensor:
    """x (..., T) padded in time; a signal too short to reflect is first continued by zeros, as in EnCodec."""
    if not (left or right):
        return x
    if mode != "reflect":
        return F.pad(x, (left, right), mode)
    if isinstance(x.shape[-1], torch.SymInt):
        return _reflect(x, left, right)
    missing = max(0, max(left, right) - x.shape[-1] + 1)
    x = F.pad(x, (0, missing)) if missing else x
    # joined by hand: on long signals three times as fast as F.pad
    padded = torch.cat([x[..., 1 : left + 1].flip(-1), x, x[..., -right - 1 : -1].flip(-1)], -1)
    return padded[..., : padded.shape[-1] - missing]


def _reflect(x: Tensor, left: int, right: int) -> Tensor:
    """The same by indices, in a graph for signals of any length, short ones among them."""
    length = x.shape[-1]
    last = torch.sym_max(length, max(left, right) + 1) - 1  # of the signal, with zeros where it is short
    after = torch.arange(right, device=x.device) + length
    sources = (torch.arange(left, 0, -1, device=x.device), last - (last - after).abs())
    parts = [x[..., at.clamp(max=length - 1)] * (at < length) for at in sources]
    return torch.cat([parts[0], x, parts[1]], -1)


def check_multiple(length: int, stride: int) -> None:
    """ValueError unless the length is a positive multiple of the stride."""
    if length == 0 or length % stride:
        raise ValueError(f"length is {length}; accepted: positive multiples of {stride}")
