"""Finite scalar quantization: every latent coordinate is rounded to one of a few levels."""

import math

import torch
from torch import Tensor, nn

from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.clusters import usage
from vocable.quantizers.estimators import straight_through


class FSQ(Quantizer):
    """One codebook, never stored, of all combinations of `levels` (https://arxiv.org/abs/2309.15505).

    levels: how many values each of the projected coordinates takes, 2 or more; V is their product. The first
    coordinate is the least significant digit of a code. There is nothing to train but the projections, so
    the loss is zero.

    >>> FSQ(dim=64, levels=(8, 5, 5, 5)).codebook_sizes
    (1000,)
    """

    levels: Tensor
    basis: Tensor

    def __init__(self, dim: int, levels: tuple[int, ...]) -> None:
        super().__init__()
        levels = tuple(levels)
        size = math.prod(levels)
        if not levels or min(levels) < 2 or size >= 2**63:
            raise ValueError(f"levels are {levels}; accepted: one or more of at least 2, product below 2**63")
        self.dim = dim
        self.codebook_sizes = (size,)
        self.in_proj = nn.Identity() if dim == len(levels) else nn.Conv1d(dim, len(levels), 1)
        self.out_proj = nn.Identity() if dim == len(levels) else nn.Conv1d(len(levels), dim, 1)
        basis = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("levels", torch.tensor(levels)[:, None], persistent=False)
        self.register_buffer("basis", torch.tensor(basis)[:, None], persistent=False)

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        self.check_num_codebooks(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            bounded = self._bound(z)
            digits = self._round(bounded)
            values = straight_through(self._values(digits), bounded / (self.levels // 2))
            out = self._project_out(values)
        codes = self._pack(digits)
        return Quantized(out.to(z.dtype), codes, out.new_zeros(()), usage(codes, self.codebook_sizes))

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        self.check_num_codebooks(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            return self._pack(self._round(self._bound(z)))

    def decode(self, codes: Tensor) -> Tensor:
        self.check_codes(codes)
        digits = codes // self.basis % self.levels
        with torch.autocast(codes.device.type, enabled=False):
            return self._project_out(self._values(digits))

    def _bound(self, z: Tensor) -> Tensor:
        """Latents (B, D, N) to coordinates (B, d, N) that round to -(L // 2) .. (L - 1) // 2."""
        if isinstance(self.in_proj, nn.Conv1d):
            z = self.in_proj(z.to(self.in_proj.weight.dtype))
        return self._squash(z.to(torch.promote_types(z.dtype, torch.float32)))

    def _squash(self, z: Tensor) -> Tensor:
        # a little wider than the outermost levels, so that rounding reaches them well before tanh saturates
        half = (self.levels - 1).to(z.dtype) * (1.001 / 2)
        offset = (self.levels % 2 == 0) * 0.5
        # zero stays in the middle of a level; with two levels it divides them
        shift = torch.where(self.levels > 2, torch.atanh(offset / half), 0)
        return torch.tanh(z + shift) * half - offset

    def _round(self, bounded: Tensor) -> Tensor:
        """Coordinates to digits (B, d, N) in 0..L-1."""
        digits = bounded.detach().round().long() + self.levels // 2
        return torch.minimum(digits.clamp(min=0), self.levels - 1)

    def _values(self, digits: Tensor) -> Tensor:
        """Digits (B, d, N) to values in -1..1."""
        half = self.levels // 2
        return (digits - half) / half

    def _pack(self, digits: Tensor) -> Tensor:
        return (digits * self.basis).sum(1, keepdim=True)

    def _project_out(self, values: Tensor) -> Tensor:
        if isinstance(self.out_proj, nn.Conv1d):
            values = values.to(self.out_proj.weight.dtype)
        return self.out_proj(values)


class TwiceBoundedFSQ(FSQ):
    """FSQ that bounds its coordinates twice, as X-codec2 was trained (https://arxiv.org/abs/2502.04128)."""

    def _squash(self, z: Tensor) -> Tensor:
        return super()._squash(super()._squash(z))
