"""Residual vector quantization: each codebook quantizes what those before it left over."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vocable.quantizers.base import Quantized, Quantizer
from vocable.quantizers.clusters import distances, smallest, usage, widened
from vocable.quantizers.codebook import VQ
from vocable.quantizers.dropout import Dropout, PerItem
from vocable.quantizers.estimators import Estimator, straight_through
from vocable.quantizers.vq import EMAVQ, FactorizedVQ


class RVQ(Quantizer):
    """A stack of one-codebook quantizers of the same width (https://arxiv.org/abs/2107.03312).

    dropout: in training, draws how many codebooks each item uses; a number is the share of `PerItem`.
    `num_codebooks` in a call overrides it. Codes of all codebooks that the batch ran through are returned;
    z and loss leave out those that an item does not use, and these do not learn from it.
    The loss is the mean over the codebooks that the batch ran through.
    beam: how many ways through the codebooks `encode` follows, for Euclidean ones, from the first one's
    nearest entry on, which alone is the best; it gives the way of all codebooks that comes closest.
    1, which is how `forward` trains, takes each codebook's nearest entry.
    """

    def __init__(self, layers: Sequence[VQ], dropout: float | Dropout = 0.0, beam: int = 1) -> None:
        super().__init__()
        dims = {layer.dim for layer in layers}
        if len(dims) != 1:
            raise ValueError(f"layers have widths {sorted(dims)}; accepted: one or more layers of one width")
        self.layers = nn.ModuleList(layers)
        self.dim = dims.pop()
        self.codebook_sizes = tuple(size for layer in layers for size in layer.codebook_sizes)
        self.dropout = dropout if callable(dropout) else PerItem(dropout)
        if beam < 1 or (beam > 1 and not all(isinstance(layer, EMAVQ) for layer in layers)):
            kinds = sorted({type(layer).__name__ for layer in layers})
            raise ValueError(f"beam is {beam} over {', '.join(kinds)}; accepted: 1, or more over EMAVQ")
        self.beam = beam

    def forward(self, z: Tensor, num_codebooks: int | None = None) -> Quantized:
        used, counts = self._counts(z, num_codebooks)
        counts = counts.to(z.device)
        with torch.autocast(z.device.type, enabled=False):
            x = widened(z, self._layer(0).table)
            residual, first, out, loss, codes = x, x, torch.zeros_like(x), x.new_zeros(()), []
            for k in range(used):
                keep = counts > k
                # A codebook's loss must reach x past the codebooks before it. Through their straight-through
                # outputs the residual's gradient cancels, and only the first would pull the latent closer.
                step = self._layer(k).step(straight_through(residual, x), residual, keep)
                residual = residual - step.z
                first = step.z if k == 0 else first
                out = out + step.z * keep[:, None, None]
                loss = loss + (step.loss * keep).mean() / used
                codes.append(step.codes)
        stacked = torch.stack(codes, dim=1)
        metrics = usage(stacked, self.codebook_sizes)
        return Quantized(out.to(z.dtype), stacked, loss, metrics, first.to(z.dtype), counts)

    def encode(self, z: Tensor, num_codebooks: int | None = None) -> Tensor:
        used = self.check_num_codebooks(num_codebooks)
        with torch.autocast(z.device.type, enabled=False):
            residual = widened(z, self._layer(0).table)
            if self.beam > 1:
                return self._beam_search(residual)[:, :used]
            codes = []
            for k in range(used):
                codes.append(self._layer(k).search(residual))
                if k + 1 < used:
                    residual = residual - self._layer(k).look_up(codes[k])
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        self.check_codes(codes)
        with torch.autocast(codes.device.type, enabled=False):
            z = widened(self._layer(0).look_up(codes[:, 0]))
            for k in range(1, codes.shape[1]):
                z = z + self._layer(k).look_up(codes[:, k])
        return z

    def _beam_search(self, z: Tensor) -> Tensor:
        """Codes (B, K, N) of latents (B, D, N), of all codebooks: fewer are then a part of more."""
        frames = z.transpose(1, 2)
        left = frames.reshape(-1, 1, self.dim)  # what each way leaves over, (B * N, ways, D)
        codes: Tensor | None = None
        for k in range(self.num_codebooks):
            table = widened(self._layer(k).table)
            apart = distances(left.flatten(0, 1), table).view(*left.shape[:2], len(table))
            errors = left.square().sum(-1, keepdim=True) + apart
            ways = min(self.beam if k else 1, left.shape[1] * len(table))
            best = smallest(errors.flatten(1), ways)[..., None]  # the closest first
            way, entry = best // len(table), best % len(table)
            left = left.gather(1, way.expand(-1, -1, self.dim)) - table[entry.squeeze(-1)]
            codes = entry if codes is None else torch.cat([codes.gather(1, way.expand(-1, -1, k)), entry], -1)
        assert codes is not None
        return codes[:, 0].view(*frames.shape[:2], -1).transpose(1, 2)

    def _layer(self, k: int) -> VQ:
        layer = self.layers[k]
        assert isinstance(layer, VQ)
        return layer

    def _counts(self, z: Tensor, num_codebooks: int | None) -> tuple[int, Tensor]:
        """How many codebooks the batch runs through, and how many each item uses, (B,)."""
        if self.training and num_codebooks is None:
            return self.dropout(z, self.num_codebooks)
        used = self.check_num_codebooks(num_codebooks)
        return used, torch.full((len(z),), used)


def factorized_rvq(
    dim: int,
    num_codebooks: int = 12,
    codebook_size: int = 1024,
    codebook_dim: int = 8,
    dropout: float | Dropout = 0.5,
    kmeans_init: bool = False,
    estimator: Estimator = straight_through,
) -> RVQ:
    """RVQ of factorised codebooks learned by gradient, as in DAC."""
    layers = [
        FactorizedVQ(dim, codebook_size, codebook_dim, kmeans_init=kmeans_init, estimator=estimator)
        for _ in range(num_codebooks)
    ]
    return RVQ(layers, dropout)


def ema_rvq(
    dim: int,
    num_codebooks: int,
    codebook_size: int,
    dropout: float | Dropout = 0.0,
    decay: float = 0.99,
    dead_threshold: float = 2.0,
    commitment: float = 1.0,
    estimator: Estimator = straight_through,
    beam: int = 1,
) -> RVQ:
    """RVQ of Euclidean codebooks learned by moving averages, as in EnCodec."""
    layers = [
        EMAVQ(
            dim,
            codebook_size,
            decay,
            dead_threshold=dead_threshold,
            commitment=commitment,
            estimator=estimator,
        )
        for _ in range(num_codebooks)
    ]
    return RVQ(layers, dropout, beam)
