"""Quantizers of one codebook: learned by moving averages (EMAVQ), or by gradient (FactorizedVQ)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from vocable.quantizers.clusters import accumulate, flatten, kmeans, nearest, sample, select, widened
from vocable.quantizers.codebook import VQ
from vocable.quantizers.estimators import Estimator, straight_through


class EMAVQ(VQ):
    """Euclidean codebook that follows the moving average of its vectors (https://arxiv.org/abs/1711.00937).

    The first training batch sets it by k-means (kmeans_iterations=0: it starts random). A code whose average
    use falls below `dead_threshold` vectors a batch, or below a tenth of an even share where that is less,
    is replaced by a vector of the batch; 0 replaces none.
    estimator: the gradient through the codebook, `straight_through` or `rotation`.
    """

    inited: Tensor
    cluster_size: Tensor
    embed: Tensor
    embed_avg: Tensor

    def __init__(
        self,
        dim: int,
        codebook_size: int,
        decay: float = 0.99,
        epsilon: float = 1e-5,
        kmeans_iterations: int = 50,
        dead_threshold: float = 2.0,
        commitment: float = 1.0,
        estimator: Estimator = straight_through,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.codebook_sizes = (codebook_size,)
        self.decay = decay
        self.epsilon = epsilon
        self.kmeans_iterations = kmeans_iterations
        self.dead_threshold = dead_threshold
        self.commitment = commitment
        self.estimator = estimator
        embed = nn.init.kaiming_uniform_(torch.empty(codebook_size, dim))
        self.register_buffer("inited", torch.tensor([float(kmeans_iterations == 0)]))
        self.register_buffer("cluster_size", torch.ones(codebook_size))
        self.register_buffer("embed", embed)
        self.register_buffer("embed_avg", embed.clone())

    @property
    def table(self) -> Tensor:
        """(V, D), the entries."""
        return self.embed

    def match(self, vectors: Tensor) -> Tensor:
        return nearest(flatten(vectors), self.embed).view(vectors.shape[0], -1)

    def look_up(self, codes: Tensor) -> Tensor:
        return select(self.embed, codes)

    def pass_through(self, vectors: Tensor, codes: Tensor) -> Tensor:
        return self.estimator(self.look_up(codes), vectors)

    def losses(self, vectors: Tensor, codes: Tensor) -> Tensor:
        return self.commitment * (vectors - self.look_up(codes)).pow(2).mean((1, 2))

    @torch.no_grad()
    def prepare(self, vectors: Tensor, weights: Tensor) -> None:
        if self.inited:
            return
        centres, counts = kmeans(flatten(vectors), weights, self.codebook_sizes[0], self.kmeans_iterations)
        if not counts.any():  # quantizer dropout left it no item, on any rank: a later batch will
            return
        self.embed.copy_(centres)
        self.cluster_size.copy_(counts)
        self.embed_avg.copy_(centres * counts[:, None])
        self.inited.fill_(1)

    @torch.no_grad()
    def update(self, vectors: Tensor, codes: Tensor, weights: Tensor) -> None:
        flat = flatten(vectors)
        counts, sums = accumulate(flat, codes.flatten(), self.codebook_sizes[0], weights)
        self.cluster_size.lerp_(counts, 1 - self.decay)
        self.embed_avg.lerp_(sums, 1 - self.decay)
        total = self.cluster_size.sum()
        # Laplace smoothing: an unused code's entry stays finite
        smooth = (self.cluster_size + self.epsilon) / (total + len(self.embed) * self.epsilon) * total
        self.embed.copy_(self.embed_avg / smooth[:, None])
        if self.dead_threshold > 0:
            self._replace_dead(sample(flat, weights, len(self.embed)))

    def _replace_dead(self, candidates: Tensor) -> None:
        """Give each dead code a candidate (V, D), and an even share of use: time to find its own."""
        even = self.cluster_size.mean()
        dead = self.cluster_size < (even / 10).clamp(max=self.dead_threshold)
        self.cluster_size.copy_(torch.where(dead, even, self.cluster_size))
        self.embed.copy_(torch.where(dead[:, None], candidates, self.embed))
        self.embed_avg.copy_(torch.where(dead[:, None], candidates * even, self.embed_avg))


class FactorizedVQ(VQ):
    """Codebook of few dimensions, searched by cosine and learned by gradient (https://arxiv.org/abs/2306.06546).

    kmeans_init: the first training batch sets the entries by k-means.
    estimator: the gradient through the codebook, `straight_through` or `rotation`.
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
        estimator: Estimator = straight_through,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.codebook_sizes = (codebook_size,)
        self.commitment = commitment
        self.codebook_weight = codebook_weight
        self.estimator = estimator
        self.in_proj = weight_norm(nn.Conv1d(dim, codebook_dim, 1))
        self.out_proj = weight_norm(nn.Conv1d(codebook_dim, dim, 1))
        self.codebook = nn.Embedding(codebook_size, codebook_dim)
        # kept in a checkpoint only where it can change
        self.register_buffer("inited", torch.tensor(not kmeans_init), persistent=kmeans_init)

    @property
    def table(self) -> Tensor:
        """(V, codebook_dim), the entries."""
        return self.codebook.weight

    def project(self, z: Tensor) -> Tensor:
        return self.in_proj(z.to(self.table.dtype))

    def match(self, vectors: Tensor) -> Tensor:
        directions = F.normalize(widened(flatten(vectors)))
        return nearest(directions, F.normalize(widened(self.table))).view(vectors.shape[0], -1)

    def look_up(self, codes: Tensor) -> Tensor:
        return self.out_proj(select(self.table, codes))

    def pass_through(self, vectors: Tensor, codes: Tensor) -> Tensor:
        return self.out_proj(self.estimator(select(self.table, codes), vectors))

    def losses(self, vectors: Tensor, codes: Tensor) -> Tensor:
        entries = select(self.table, codes)
        commitment = (vectors - entries.detach()).pow(2).mean((1, 2))
        codebook = (entries - vectors.detach()).pow(2).mean((1, 2))
        return self.commitment * commitment + self.codebook_weight * codebook

    @torch.no_grad()
    def prepare(self, vectors: Tensor, weights: Tensor) -> None:
        if self.inited:
            return
        centres, _ = kmeans(flatten(vectors), weights, self.codebook_sizes[0], iterations=50)
        self.codebook.weight.copy_(centres)
        self.inited.fill_(True)
