"""Which weights a codec has, told by a hash."""

import hashlib
import re
from collections.abc import Mapping

import torch
from torch import Tensor


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """SHA-256, in hexadecimal, of a state's tensors, the same on any machine and for any float type they fit.

    In the order of their names' code points, each is: its name in UTF-8, a zero byte, its shape as JSON's
    list without spaces, a zero byte, its values, little-endian: float32 (real and imaginary part where it is
    complex) or, of integers and booleans, int64.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        values = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
        kind, order = (torch.float32, "<f4") if values.is_floating_point() else (torch.int64, "<i8")
        shape = ",".join(str(size) for size in tensor.shape)
        digest.update(name.encode() + f"\0[{shape}]\0".encode())
        digest.update(values.to(kind).contiguous().numpy().astype(order, copy=False).data)
    return digest.hexdigest()


def check_weights(weights: object) -> None:
    """ValueError unless `weights` is what `fingerprint` gives, or ""."""
    if not isinstance(weights, str) or not re.fullmatch(r"([0-9a-f]{64})?", weights):
        raise ValueError(f"weights are {weights!r}; accepted: a SHA-256, 64 hexadecimal digits, or ''")
