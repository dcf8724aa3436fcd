"""The contract that every quantizer keeps."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Quantized(NamedTuple):
    """What a quantizer's forward pass gives.

    z: quantized latent (B, D, N), straight-through to the input's gradient.
    codes: (B, K, N) int64.
    loss: scalar, the quantizer's own training loss (commitment, codebook), already weighted.
    metrics: scalars to log, detached.
    first: latent (B, D, N) of the first codebook alone, for a recipe to teach; None: not told apart from z.
    used: how many codebooks each item's z is of, (B,); None: not told.
    """

    z: Tensor
    codes: Tensor
    loss: Tensor
    metrics: dict[str, Tensor]
    first: Tensor | None = None
    used: Tensor | None = None


class Quantizer(nn.Module):
    """Latents (B, D, N) to codes (B, K, N) and back.

    A subclass sets `dim` (D) and `codebook_sizes` (V of each of its K codebooks) and implements
    `forward`, `encode` and `decode`. Codes of fewer than K codebooks are the first of them.
    """

    dim: int
    codebook_sizes: tuple[int, ...]

    @property
    def num_codebooks(self) -> int:
        """K, the number of codebooks."""
        return len(self.codebook_sizes)

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        """Quantize latents (B, D, N) with the first `num_codebooks` codebooks (None: all)."""
        raise NotImplementedError

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        """Latents (B, D, N) to codes (B, K, N) int64."""
        raise NotImplementedError

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, K, N) int64, K from 1 to `num_codebooks`, to latents (B, D, N)."""
        raise NotImplementedError

    def check_num_codebooks(self, num_codebooks: int | None) -> int:
        """The number of codebooks to use; ValueError outside 1..K."""
        if num_codebooks is None:
            return self.num_codebooks
        if type(num_codebooks) is not int or not 1 <= num_codebooks <= self.num_codebooks:
            raise ValueError(f"num_codebooks is {num_codebooks!r}; accepted: 1 to {self.num_codebooks}")
        return num_codebooks

    def check_codes(self, codes: Tensor) -> None:
        """ValueError unless codes are int64 (B, K, N), K in 1..num_codebooks, each in 0..V-1."""
        if codes.dtype != torch.int64 or codes.ndim != 3:
            raise ValueError(f"codes are {codes.dtype} {tuple(codes.shape)}; accepted: torch.int64 (B, K, N)")
        self.check_num_codebooks(codes.shape[1])
        if torch.compiler.is_compiling():  # a graph can't depend on what the codes are
            return
        sizes = torch.tensor(self.codebook_sizes[: codes.shape[1]], device=codes.device)[None, :, None]
        if bool(((codes < 0) | (codes >= sizes)).any()):
            low, high = int(codes.min()), int(codes.max())
            raise ValueError(f"codes lie in {low}..{high}; accepted: 0..V-1, V = {self.codebook_sizes}")
