"""Finite scalar quantization in stages, each on a finer lattice."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.clusters import usage
from vocable.quantizers.dithered_fsq import Lattice
from vocable.quantizers.estimators import straight_through


class ResidualFSQ(Quantizer):
    """tanh(z) on the lattice of the first stage, what is left over on that of the next, and so on.

    One codebook a stage, with nothing to learn: it can replace the quantizer of a codec trained with
    `DitheredFSQ`, at another bit rate (https://arxiv.org/abs/2411.19842). In float64, where no
    residual falls to the wrong side of a rounding.

    levels: of each of the D coordinates, for each stage. scales: half the width of each stage's lattice.

    >>> ResidualFSQ(levels=((5,) * 6, (5,) * 6), scales=(1.0, 0.25)).codebook_sizes
    (15625, 15625)
    """

    def __init__(self, levels: Sequence[Sequence[int]], scales: Sequence[float]) -> None:
        super().__init__()
        dims = {len(stage) for stage in levels}
        if len(dims) != 1 or len(levels) != len(scales):
            raise ValueError(f"levels are {levels}, scales {scales}; accepted: one of each, of one width")
        pairs = zip(levels, scales, strict=True)
        lattices = [Lattice(tuple(stage), scale) for stage, scale in pairs]
        self.lattices = nn.ModuleList(lattices)
        self.dim = dims.pop()
        self.codebook_sizes = tuple(lattice.size for lattice in lattices)

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        codes = self.encode(z, num_codebooks)
        bounded = torch.tanh(z.to(torch.promote_types(z.dtype, torch.float32)))
        out = straight_through(self.decode(codes).to(bounded), bounded)
        return Quantized(out.to(z.dtype), codes, out.new_zeros(()), usage(codes, self.codebook_sizes))

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        used = self.check_num_codebooks(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            residual, codes = torch.tanh(z.detach().double()), []
            for k in range(used):
                codes.append(self._lattice(k).encode(residual))
                residual = residual - self._lattice(k).decode(codes[k], residual.dtype)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        self.check_codes(codes)
        stages = [self._lattice(k).decode(stage) for k, stage in enumerate(codes.unbind(1))]
        return torch.stack(stages).sum(0)

    def _lattice(self, k: int) -> Lattice:
        lattice = self.lattices[k]
        assert isinstance(lattice, Lattice)
        return lattice
