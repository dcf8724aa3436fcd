"""A codec's codebooks apart: each one's tokens, and what they stand for alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vocable.codecs import Codec
from vocable.quantizers.base import Quantizer
from vocable.quantizers.multiscale import MultiScaleRVQ


class Books:
    """The codebooks of a codec, from the first; those of a multi-scale one are its levels, not its slots.

    sizes: V of each. counts: tokens that each gives for a frame, 1 but for levels.
    """

    def __init__(self, codec: Codec) -> None:
        quantizer = codec.quantizer
        levels = isinstance(quantizer, MultiScaleRVQ)
        self._slots = quantizer.slots if levels else [[k] for k in range(codec.num_codebooks)]
        self._quantizer = quantizer
        self.sizes = tuple(codec.codebook_sizes[slots[0]] for slots in self._slots)
        self.counts = tuple(map(len, self._slots))

    def tokens(self, codes: Tensor, book: int) -> Tensor:
        """The tokens (N * count,) of one codebook, in time, of codes (K, N)."""
        return codes[self._slots[book]].T.reshape(-1)

    @torch.no_grad()
    def latents(self, codes: Tensor, books: Sequence[int]) -> Tensor:
        """What some codebooks' tokens stand for, (N * count, D) in the steps of the finest, of codes (K, N).

        Quantized latents with entry 0 in place of all other tokens, of those that can't be left out: where
        a codebook's part is added or appended to the others', as everywhere here, they add a constant.
        """
        chosen = [slot for book in books for slot in self._slots[book]]
        used = max(chosen) + 1
        held = torch.zeros_like(codes[: used if _takes(self._quantizer, used) else None])
        held[chosen] = codes[chosen]
        z = self._quantizer.decode(held[None])[0].T
        count = max(self.counts[book] for book in books)
        return z[:: len(z) // (codes.shape[1] * count)]


def _takes(quantizer: Quantizer, num_codebooks: int) -> bool:
    try:
        quantizer.check_num_codebooks(num_codebooks)
    except ValueError:
        return False
    return True
