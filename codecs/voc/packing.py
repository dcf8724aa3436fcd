"""Codes as bits: in each frame the codes of its codebooks, high bit first, zero bits up to a whole byte."""

import numpy as np


def packed_size(frames: int, bits: list[int]) -> int:
    """Bytes of `frames` frames of codes of so many bits."""
    return (frames * sum(bits) + 7) // 8


def pack(codes: np.ndarray, bits: list[int]) -> bytes:
    """Codes (N, K) to bytes."""
    columns = [(codes[:, k, None] >> np.arange(n)[::-1]) & 1 for k, n in enumerate(bits)]
    return np.packbits(np.concatenate(columns, 1).astype(np.uint8)).tobytes()


def unpack(packed: bytes, frames: int, bits: list[int]) -> np.ndarray:
    """Bytes to codes (N, K) int64; ValueError for other bits than zeros after the last."""
    flat = np.unpackbits(np.frombuffer(packed, np.uint8))
    if flat[frames * sum(bits) :].any():
        raise ValueError("the bits after the last code are not all 0; accepted: 0")
    columns = np.split(flat[: frames * sum(bits)].reshape(frames, sum(bits)), np.cumsum(bits)[:-1], axis=1)
    codes = [part @ (1 << np.arange(part.shape[1])[::-1]) for part in columns]
    return np.stack(codes, axis=1)
