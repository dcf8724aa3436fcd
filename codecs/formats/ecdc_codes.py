"""The codes of a segment of an .ecdc file, as bits."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vocable.codecs.formats.arithmetic import Decoder, Encoder, cumulative
from vocable.codecs.formats.ecdc_header import BITS
from vocable.codecs.formats.language_model import LanguageModel


def pack(codes: Tensor) -> bytes:
    """(K, N) codes to bytes."""
    bits = (codes.T.numpy()[..., None] >> np.arange(BITS)) & 1
    return np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()


def unpack(packed: bytes, books: int, frames: int) -> Tensor:
    """Bytes to (K, N) codes."""
    count = books * frames * BITS
    if 8 * len(packed) < count:
        raise ValueError(f"{8 * len(packed)} bits for {frames} frames of codes; accepted: {count}")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=count, bitorder="little")
    codes = bits.reshape(frames, books, BITS) @ (1 << np.arange(BITS))
    return torch.from_numpy(codes.T.copy())


def entropy_code(codes: Tensor, lm: LanguageModel) -> bytes:
    """(K, N) codes to bytes."""
    coder, frames = Encoder(), iter(codes.T.tolist())

    def push(ends: np.ndarray) -> list[int]:
        frame = next(frames)
        for code, row in zip(frame, ends, strict=True):
            coder.push(code, row)
        return frame

    _walk(lm, len(codes), codes.shape[1], push)
    return coder.finish()


def entropy_decode(coder: Decoder, lm: LanguageModel, books: int, frames: int) -> Tensor:
    """The next (K, N) codes."""
    return _walk(lm, books, frames, lambda ends: [coder.pull(row) for row in ends])


@torch.no_grad()
def _walk(lm: LanguageModel, books: int, frames: int, step: Callable[[np.ndarray], list[int]]) -> Tensor:
    """(K, N) codes, frame by frame as `step` gives them for the cumulative (K, V) of their distributions."""
    if books > lm.num_codebooks or lm.codebook_size != 2**BITS:
        found = f"{lm.num_codebooks} codebooks of {lm.codebook_size}"
        raise ValueError(f"the language model is of {found}; accepted: {books} or more of {2**BITS}")
    device = next(lm.parameters()).device
    before, past, rows = torch.zeros(1, books, 1, dtype=torch.int64, device=device), None, []
    for _ in range(frames):
        with torch.autocast(device.type, enabled=False):
            probabilities, past = lm(before, past)
        rows.append(step(cumulative(probabilities[0, :, :, 0].T)))
        before = 1 + torch.tensor(rows[-1], device=device).view(1, -1, 1)
    return torch.tensor(rows).T.contiguous()
