"""Attention within a window around each frame, in memory that grows linearly with the signal."""

import torch
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 64  # queries at once, at the least: shorter blocks are more calls than work


def banded_attention(q: Tensor, k: Tensor, v: Tensor, left: int, right: int, first: int = 0) -> Tensor:
    """Attention of q, k, v (B, H, N, d) in which frame i sees frames i - left to i + right, to (B, H, N, d).

    first: the frame of the first query, where there are queries of some of the frames only.

    What FlashAttention calls `window_size=(left, right)` (https://github.com/Dao-AILab/flash-attention), on
    any device and in any dtype. Only blocks around the diagonal are computed, never an N x N matrix.
    """
    if left < 0 or right < 0:
        raise ValueError(f"the window is {left} to the left, {right} to the right; accepted: 0 or more")
    length, end = k.shape[-2], first + q.shape[-2]
    block = max(_BLOCK, left + right + 1)
    position = torch.arange(length, device=q.device)
    blocks = []
    for start in range(first, end, block):
        rows = slice(start, min(start + block, end))
        seen = slice(max(0, start - left), min(rows.stop + right, length))
        ahead = position[seen] - position[rows, None]
        band = (ahead >= -left) & (ahead <= right)
        keys, values = k[..., seen, :], v[..., seen, :]
        queries = q[..., start - first : rows.stop - first, :]
        blocks.append(F.scaled_dot_product_attention(queries, keys, values, attn_mask=band))
    return torch.cat(blocks, dim=-2)
