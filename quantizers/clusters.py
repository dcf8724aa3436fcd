"""Nearest entries, cluster statistics and k-means: the same on every rank of a distributed run."""

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor


def nearest(vectors: Tensor, table: Tensor) -> Tensor:
    """Index (M,) of the row of table (V, D) at the least Euclidean distance from each of vectors (M, D).

    In float32 at least: in bfloat16 most distances of a large table tie.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        return distances(widened(vectors.detach()), widened(table.detach())).argmin(1)


def distances(vectors: Tensor, table: Tensor) -> Tensor:
    """|v - t|^2 less |v|^2, which is the same for every row: (M, V), of vectors (M, D) and table (V, D)."""
    return torch.addmm(table.pow(2).sum(1), vectors, table.t(), alpha=-2)


def smallest(values: Tensor, count: int) -> Tensor:
    """Indices (M, count) of the smallest of values (M, V), in order.

    They are in the columns of smallest minima: on a CPU ten times as fast as topk of all.
    """
    rows = math.gcd(values.shape[1], 64)
    grid = values.unflatten(1, (rows, -1))
    if grid.shape[2] <= count:
        return values.topk(count, largest=False).indices
    columns = grid.amin(1).topk(count, largest=False).indices
    candidates = grid.gather(2, columns[:, None].expand(-1, rows, -1)).flatten(1)
    within = candidates.topk(count, largest=False).indices
    return within // count * grid.shape[2] + columns.gather(1, within % count)


def accumulate(vectors: Tensor, codes: Tensor, size: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted count (V,) and sum (V, D) of the vectors (M, D) of each code, over all ranks.

    codes: (M,) in 0..size-1; weights: (M,).
    """
    counts = vectors.new_zeros(size).index_add_(0, codes, weights)
    sums = vectors.new_zeros(size, vectors.shape[1]).index_add_(0, codes, vectors * weights[:, None])
    if _world_size() > 1:
        dist.all_reduce(counts)
        dist.all_reduce(sums)
    return counts, sums


def sample(vectors: Tensor, weights: Tensor, count: int) -> Tensor:
    """(count, D): vectors (M, D) of all ranks drawn by their weights (M,), the same on every rank."""
    world = _world_size()
    share = -(-count // world)
    # a rank whose weights are all zero still has to draw something
    probabilities = weights.float().clamp(min=1e-20)
    drawn = vectors[torch.multinomial(probabilities, share, replacement=share > len(vectors))]
    if world == 1:
        return drawn
    shares = [torch.empty_like(drawn) for _ in range(world)]
    dist.all_gather(shares, drawn.contiguous())
    # rank after rank in turn, so that cutting the surplus takes from all of them
    return torch.stack(shares, dim=1).flatten(0, 1)[:count]


def kmeans(vectors: Tensor, weights: Tensor, size: int, iterations: int) -> tuple[Tensor, Tensor]:
    """Lloyd's k-means of vectors (M, D) with weights (M,): centres (V, D), and the weight (V,) of each."""
    centres = sample(vectors, weights, size)
    for _ in range(iterations):
        counts, sums = accumulate(vectors, nearest(vectors, centres), size, weights)
        empty = counts[:, None] == 0
        centres = torch.where(empty, centres, sums / counts[:, None].masked_fill(empty, 1))
    counts, _ = accumulate(vectors, nearest(vectors, centres), size, weights)
    return centres, counts


def agreed(value: Tensor) -> Tensor:
    """Rank 0's value, on every rank."""
    if _world_size() > 1:
        dist.broadcast(value, 0)
    return value


def usage(codes: Tensor, codebook_sizes: tuple[int, ...]) -> dict[str, Tensor]:
    """Share of entries used, perplexity, and entropy in bits of codes (B, K, N): by codebook, and means."""
    k = codes.shape[1]
    ranked = codes.transpose(0, 1).reshape(k, -1).sort(dim=1).values.contiguous()
    # how often each position's code occurs: work and memory that do not grow with V, and no wait for a device
    last = torch.searchsorted(ranked, ranked, right=True)
    counts = (last - torch.searchsorted(ranked, ranked)).double()
    sizes = torch.tensor(codebook_sizes[:k], device=codes.device)
    entropy = (ranked.shape[1] / counts).log2().mean(1).float()
    perplexity = entropy.exp2()
    used = (counts.reciprocal().sum(1) / sizes).float()
    means = {"codebook_use": used.mean(), "perplexity": perplexity.mean(), "entropy": entropy.mean()}
    each = {"use": used, "perplexity": perplexity, "entropy": entropy}
    return means | {
        f"codebooks/{name}/{i}": v for name, of in each.items() for i, v in enumerate(of.unbind())
    }


def widened(x: Tensor, table: Tensor | None = None) -> Tensor:
    """x in the type of the table (None: its own), at least float32: for residuals and distances."""
    return x.to(torch.promote_types((x if table is None else table).dtype, torch.float32))


def flatten(z: Tensor) -> Tensor:
    """(B, D, N) to its vectors (B * N, D)."""
    return z.transpose(1, 2).reshape(-1, z.shape[1])


def select(table: Tensor, codes: Tensor) -> Tensor:
    """Rows of table (V, D) for codes (B, N), as latents (B, D, N)."""
    return F.embedding(codes, table).transpose(1, 2)


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
