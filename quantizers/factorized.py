"""A codebook learned by gradient, in a projection of few dimensions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vocable.quantizers.clusters import flatten, kmeans, nearest, select, straight_through
from vocable.quantizers.vq import VQ


class FactorizedVQ(VQ):
    """Codebook of few dimensions, searched by cosine and learned by gradient (https://arxiv.org/abs/2306.06546).

    kmeans_init: the first training batch sets the entries by k-means.
    """

    inited: Tensor

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        codebook_dim: int = 8,
        commitment: float = 0.25,
        codebook_weight: float = 1.0,
        kmeans_init: bool = False,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.codebook_sizes = (codebook_size,)
        self.commitment = commitment
        self.codebook_weight = codebook_weight
        self.in_proj = weight_norm(nn.Conv1d(dim, codebook_dim, 1))
        self.out_proj = weight_norm(nn.Conv1d(codebook_dim, dim, 1))
        self.codebook = nn.Embedding(codebook_size, codebook_dim)
        # kept in a checkpoint only where it can change
        self.register_buffer("inited", torch.tensor(not kmeans_init), persistent=kmeans_init)

    @property
    def table(self) -> Tensor:
        """(V, codebook_dim), the entries."""
        return self.codebook.weight

    def search(self, z: Tensor) -> Tensor:
        vectors = F.normalize(flatten(self.in_proj(z)))
        return nearest(vectors, F.normalize(self.table)).view(len(z), -1)

    def look_up(self, codes: Tensor) -> Tensor:
        return self.out_proj(select(self.table, codes))

    def pass_through(self, z: Tensor, codes: Tensor) -> Tensor:
        return self.out_proj(straight_through(select(self.table, codes), self.in_proj(z)))

    def losses(self, z: Tensor, codes: Tensor) -> Tensor:
        projected, entries = self.in_proj(z), select(self.table, codes)
        commitment = (projected - entries.detach()).pow(2).mean((1, 2))
        codebook = (entries - projected.detach()).pow(2).mean((1, 2))
        return self.commitment * commitment + self.codebook_weight * codebook

    @torch.no_grad()
    def prepare(self, z: Tensor, weights: Tensor) -> None:
        if self.inited:
            return
        centres, _ = kmeans(flatten(self.in_proj(z)), weights, self.codebook_sizes[0], iterations=50)
        self.codebook.weight.copy_(centres)
        self.inited.fill_(True)
