"""Padding in time, and the lengths that need none."""

from torch import Tensor
from torch.nn import functional as F

PAD_MODES = ("constant", "reflect", "replicate")


def pad(x: Tensor, left: int, right: int, mode: str) -> Tensor:
    """x (..., T) padded in time; a signal too short to reflect is first continued by zeros, as in EnCodec."""
    if mode == "constant" or not (left or right):
        return F.pad(x, (left, right))
    missing = max(left, right) - x.shape[-1] + 1 if mode == "reflect" else 0
    if missing <= 0:
        return F.pad(x, (left, right), mode)
    padded = F.pad(F.pad(x, (0, missing)), (left, right), mode)
    return padded[..., : padded.shape[-1] - missing]


def check_multiple(length: int, stride: int) -> None:
    """ValueError unless the length is a positive multiple of the stride."""
    if length == 0 or length % stride:
        raise ValueError(f"length is {length}; accepted: positive multiples of {stride}")
