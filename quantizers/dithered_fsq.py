"""Finite scalar quantization on evenly spaced levels, trained with dither."""

import math

import torch
from torch import Tensor, nn

from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.clusters import usage
from vocable.quantizers.estimators import straight_through


class Lattice(nn.Module):
    """All combinations of evenly spaced levels, `levels` of them in each coordinate from -scale to scale.

    A code's least significant digit is that of the first coordinate.
    """

    levels: Tensor
    basis: Tensor

    def __init__(self, levels: tuple[int, ...], scale: float = 1.0) -> None:
        super().__init__()
        self.size, self.scale = math.prod(levels), scale
        if not levels or min(levels) < 2 or self.size >= 2**63:
            raise ValueError(f"levels are {levels}; accepted: one or more of at least 2, product below 2**63")
        if scale <= 0:
            raise ValueError(f"scale is {scale}; accepted: more than 0")
        basis = [math.prod(levels[:i]) for i in range(len(levels))]
        self.register_buffer("levels", torch.tensor(levels)[:, None], persistent=False)
        self.register_buffer("basis", torch.tensor(basis)[:, None], persistent=False)

    @property
    def step(self) -> Tensor:
        """Distance (D, 1) of neighbours; float32 in any model, as where the published codes were made."""
        return (2 * self.scale / (self.levels - 1)).float()

    def encode(self, values: Tensor) -> Tensor:
        """Values (B, D, N) to the codes (B, N) of the points next to them."""
        digits = ((values + self.scale) / self.step).round().long()
        return (torch.minimum(digits.clamp(min=0), self.levels - 1) * self.basis).sum(1)

    def decode(self, codes: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Codes (B, N) to points (B, D, N)."""
        digits = codes[:, None] // self.basis % self.levels
        return digits * self.step.to(dtype) - self.scale


class DitheredFSQ(Quantizer):
    """One codebook of all combinations of `levels` of tanh(z) (https://arxiv.org/abs/2411.19842).

    levels: of each of the D coordinates. dither: in training, the share of a batch's items whose coordinates
    get uniform noise, one level wide, instead of rounding; noise is what rounding looks like to the
    decoder, and has a true gradient. Of the other items a share `dither` is rounded, the rest is left as is.
    Nothing is stored or learned; the loss is zero.

    >>> DitheredFSQ((17,) * 6).codebook_sizes
    (24137569,)
    """

    def __init__(self, levels: tuple[int, ...], dither: float = 0.95) -> None:
        super().__init__()
        if not 0 <= dither <= 1:
            raise ValueError(f"dither is {dither}; accepted: 0 to 1")
        self.lattice = Lattice(tuple(levels))
        self.dim, self.dither = len(levels), dither
        self.codebook_sizes = (self.lattice.size,)

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        self.check_num_codebooks(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            values = _bound(z)
            codes = self.lattice.encode(values.detach())
            out = straight_through(self.lattice.decode(codes, values.dtype), values)
            if self.training:
                out = self._dithered(values, out)
        stacked = codes[:, None]
        loss = out.new_zeros(())
        return Quantized(out.to(z.dtype), stacked, loss, usage(stacked, self.codebook_sizes))

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        self.check_num_codebooks(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            return self.lattice.encode(_bound(z))[:, None]

    def decode(self, codes: Tensor) -> Tensor:
        self.check_codes(codes)
        return self.lattice.decode(codes[:, 0])

    def _dithered(self, values: Tensor, rounded: Tensor) -> Tensor:
        """Item by item: values (B, D, N) with noise, rounded, or as they are."""
        noise = (torch.rand_like(values) - 0.5) * self.lattice.step.to(values)
        noisy, kept = torch.rand(2, len(values), 1, 1, device=values.device) < self.dither
        return torch.where(noisy, values + noise, torch.where(kept, rounded, values))


def _bound(z: Tensor) -> Tensor:
    return torch.tanh(z.to(torch.promote_types(z.dtype, torch.float32)))
