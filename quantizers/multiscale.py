"""Multi-scale residual vector quantization, as in SNAC (https://arxiv.org/abs/2410.14411)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.clusters import usage, widened
from vocable.quantizers.codebook import VQ
from vocable.quantizers.estimators import straight_through
from vocable.quantizers.vq import FactorizedVQ


class MultiScaleRVQ(Quantizer):
    """Residual codebooks at falling time scales; level i gives one code for `strides[i]` latents.

    A frame spans strides[0] latents and has a slot for each code in it: K = sum(strides[0] / stride), 7 for
    the strides (4, 2, 1). Slots are depth first, each code before those that refine it, which is the order
    in which language models read them; so only all K make sense. Latents are (B, D, N * strides[0]).
    The loss is the mean over the levels.
    """

    def __init__(self, layers: Sequence[VQ], strides: tuple[int, ...] = (4, 2, 1)) -> None:
        super().__init__()
        strides = tuple(strides)
        dims = {layer.dim for layer in layers}
        if len(dims) != 1 or len(layers) != len(strides):
            found = f"{len(layers)} of widths {sorted(dims)} for {len(strides)} strides"
            raise ValueError(f"layers are {found}; accepted: one a stride, of one width")
        if min(strides) < 1 or any(a % b for a, b in pairwise(strides)):
            raise ValueError(f"strides are {strides}; accepted: each a multiple of the next")
        self.layers = nn.ModuleList(layers)
        self.strides = strides
        self.dim = dims.pop()
        # by where a code begins in its frame, then from coarse to fine
        slots = sorted(
            (start, i) for i, stride in enumerate(strides) for start in range(0, strides[0], stride)
        )
        self.codebook_sizes = tuple(layers[level].codebook_sizes[0] for _, level in slots)
        self.slots = [
            [slot for slot, (_, of) in enumerate(slots) if of == level] for level in range(len(strides))
        ]

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        self._check(z, num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            x = widened(z, self._layer(0).table)
            keep = x.new_ones(len(x), dtype=torch.bool)
            residual, out, loss, levels = x, torch.zeros_like(x), x.new_zeros(()), []
            for i, stride in enumerate(self.strides):
                pooled = F.avg_pool1d(residual, stride)
                # as in RVQ: a level's loss reaches x past the levels before it
                step = self._layer(i).step(straight_through(pooled, F.avg_pool1d(x, stride)), pooled, keep)
                level = step.z.repeat_interleave(stride, dim=-1)
                residual, out = residual - level, out + level
                loss = loss + step.loss.mean() / len(self.strides)
                levels.append(step.codes)
        codes = self.codes_of(levels)
        return Quantized(out.to(z.dtype), codes, loss, usage(codes, self.codebook_sizes))

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        self._check(z, num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            residual, levels = widened(z, self._layer(0).table), []
            for i, stride in enumerate(self.strides):
                levels.append(self._layer(i).search(F.avg_pool1d(residual, stride)))
                if i + 1 < len(self.strides):
                    level = self._layer(i).look_up(levels[i])
                    residual = residual - level.repeat_interleave(stride, dim=-1)
        return self.codes_of(levels)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (B, K, N) int64 to latents (B, D, N * strides[0])."""
        self.check_codes(codes)
        with torch.autocast(codes.device.type, enabled=False):
            latents = [
                widened(self._layer(i).look_up(level)).repeat_interleave(stride, dim=-1)
                for i, (level, stride) in enumerate(zip(self.levels_of(codes), self.strides, strict=True))
            ]
        return torch.stack(latents).sum(0)

    def levels_of(self, codes: Tensor) -> list[Tensor]:
        """Codes (B, K, N) as one (B, N * strides[0] / stride) a level, coarse to fine: SNAC's own form."""
        self.check_num_codebooks(codes.shape[1])
        return [codes[:, slots].transpose(1, 2).flatten(1) for slots in self.slots]

    def codes_of(self, levels: Sequence[Tensor]) -> Tensor:
        """The inverse of `levels_of`; ValueError for levels that don't make whole frames."""
        counts = [len(slots) for slots in self.slots]
        shapes = [tuple(level.shape) for level in levels]
        if not shapes or [(*shapes[0][:-1], shapes[0][-1] * count) for count in counts] != shapes:
            raise ValueError(f"levels have shapes {shapes}; accepted: (B, N * count) for counts {counts}")
        codes = levels[0].new_empty(shapes[0][0], self.num_codebooks, shapes[0][1])
        for level, slots in zip(levels, self.slots, strict=True):
            codes[:, slots] = level.unflatten(1, (-1, len(slots))).transpose(1, 2)
        return codes

    def check_num_codebooks(self, num_codebooks: int | None) -> int:
        """K; ValueError for any other number."""
        if num_codebooks is not None and (type(num_codebooks), num_codebooks) != (int, self.num_codebooks):
            raise ValueError(f"num_codebooks is {num_codebooks!r}; accepted: {self.num_codebooks}, all slots")
        return self.num_codebooks

    def _check(self, z: Tensor, num_codebooks: int | None) -> None:
        self.check_num_codebooks(num_codebooks)
        if z.shape[-1] == 0 or z.shape[-1] % self.strides[0]:
            raise ValueError(
                f"z has {z.shape[-1]} latents; accepted: positive multiples of {self.strides[0]}"
            )

    def _layer(self, level: int) -> VQ:
        layer = self.layers[level]
        assert isinstance(layer, VQ)
        return layer


def factorized_multiscale(
    dim: int, strides: tuple[int, ...] = (4, 2, 1), codebook_size: int = 4096, codebook_dim: int = 8
) -> MultiScaleRVQ:
    """MultiScaleRVQ of factorised codebooks learned by gradient, as in SNAC."""
    return MultiScaleRVQ([FactorizedVQ(dim, codebook_size, codebook_dim) for _ in strides], strides)
