"""Rotary position embedding (https://arxiv.org/abs/2104.09864), in both of its layouts.

Pairs of a head's channels turn by an angle that grows with the position: fast for the first pairs, slowly
for the last. What a pair is, two neighbours or channel i of each half, is a convention that goes with the
weights. `to_pairs` translates between them.
"""

import math

import torch
from torch import Tensor


def rotary(positions: Tensor, dim: int, period: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine (..., N, dim / 2) of the angles at positions (..., N), any integers.

    dim: how many of a head's channels turn, even; `period` is the slowest pair's, in 2 pi positions.
    """
    if dim < 2 or dim % 2:
        raise ValueError(f"dim is {dim}; accepted: even, 2 or more")
    # float32 whatever the model's type: in half precision far positions would fall together
    pairs = torch.arange(dim // 2, device=positions.device, dtype=torch.float32)
    frequencies = torch.exp(pairs * (-2 * math.log(period) / dim))
    angles = positions[..., None].float() * frequencies
    return angles.cos(), angles.sin()


def rotate_pairs(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn x (..., N, d), a pair being channels 2i and 2i + 1 (Moshi, torchtune).

    cos, sin (..., N, r / 2) of `rotary`: the first r of the d channels turn, the others stay.
    """
    turned, rest = _split(x, cos)
    even, odd = turned.unflatten(-1, (-1, 2)).unbind(-1)
    even, odd = even * cos - odd * sin, even * sin + odd * cos
    return _join(torch.stack([even, odd], -1).flatten(-2), rest, x)


def rotate_halves(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn x (..., N, d), a pair being channels i and i + r / 2 (GPT-NeoX, Llama in transformers).

    cos, sin (..., N, r / 2) of `rotary`: the first r of the d channels turn, the others stay.
    """
    turned, rest = _split(x, cos)
    low, high = turned.chunk(2, -1)
    return _join(torch.cat([low * cos - high * sin, low * sin + high * cos], -1), rest, x)


def to_pairs(weight: Tensor, heads: int) -> Tensor:
    """A query or key projection (heads * d, D) made for `rotate_halves`, rows put in the order of pairs."""
    halves = weight.unflatten(0, (heads, 2, -1))
    return halves.transpose(1, 2).flatten(0, 2)


def _split(x: Tensor, cos: Tensor) -> tuple[Tensor, Tensor]:
    turning = 2 * cos.shape[-1]
    return x[..., :turning], x[..., turning:]


def _join(turned: Tensor, rest: Tensor, x: Tensor) -> Tensor:
    """Both parts in x's type; angles are float32 and the product with them is too."""
    turned = turned.to(x.dtype)
    return torch.cat([turned, rest], -1) if rest.shape[-1] else turned
