"""Two ranks with half a batch each learn what one process learns from the whole of it.

This file is also the program of a rank: `python test_distributed_quantizers.py RANK FOLDER`.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from vocable.quantizers import clusters
from vocable.quantizers.base import Quantizer
from vocable.quantizers.dropout import PerBatch
from vocable.quantizers.rvq import RVQ, ema_rvq, factorized_rvq
from vocable.quantizers.vq import EMAVQ, FactorizedVQ

Results = dict[str, Any]


def random_latent(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mine(batch: Tensor) -> Tensor:
    """This rank's part of a batch; all of it in a process of its own."""
    return batch.chunk(dist.get_world_size())[dist.get_rank()] if dist.is_initialized() else batch


def averages() -> Results:
    """Three steps from a given codebook; one item in four is left out."""
    quantizer = EMAVQ(6, 8, kmeans_iterations=0, dead_threshold=0).train()
    quantizer.embed.copy_(random_latent(8, 6))
    quantizer.embed_avg.copy_(quantizer.embed)
    for seed in range(3):
        z = mine(random_latent(4, 6, 20, seed=seed))
        quantizer.step(z, z, mine(torch.tensor([True, False, True, True])))
    return dict(quantizer.state_dict())


def started(make: Callable[[], Quantizer]) -> Callable[[], Results]:
    """k-means of the first batch, from centres that one process and two would not draw alike."""

    def run() -> Results:
        torch.manual_seed(0)
        quantizer = make().train()
        centres = random_latent(8, quantizer.state_dict()[TABLES[type(quantizer)]].shape[1])
        with mock.patch.object(clusters, "sample", return_value=centres):
            quantizer(mine(random_latent(4, 6, 20)))
        return dict(quantizer.state_dict())

    return run


TABLES: dict[type, str] = {EMAVQ: "embed", FactorizedVQ: "codebook.weight"}


def by_gradient() -> Results:
    """Codebooks that learn by gradient, averaged over ranks by torch's own wrapper."""
    torch.manual_seed(0)
    rvq = factorized_rvq(6, 3, 8, 4, dropout=0.0).train()
    model = DistributedDataParallel(rvq) if dist.is_initialized() else rvq
    optimizer = torch.optim.SGD(rvq.parameters(), 0.1)
    for seed in range(3):
        z = mine(random_latent(4, 6, 20, seed=seed))
        out = model(z)
        optimizer.zero_grad()
        ((out.z - z).pow(2).mean() + out.loss).backward()
        optimizer.step()
    return dict(rvq.state_dict())


def of_its_own(make: Callable[[], RVQ]) -> Callable[[], Results]:
    """k-means, updates, dead codes and dropout with each rank's own random numbers."""

    def run() -> Results:
        torch.manual_seed(0)
        rvq = make().train()
        torch.manual_seed(1 + dist.get_rank() if dist.is_initialized() else 1)
        counts = []
        for seed in range(6):
            for layer in rvq.layers:
                if isinstance(layer, EMAVQ):
                    layer.cluster_size[3] = 0  # dead
            counts.append(rvq(mine(random_latent(4, 6, 20, seed=seed))).codes.shape[1])
        return {**rvq.state_dict(), "counts": torch.tensor(counts)}

    return run


def restart() -> Results:
    """All codes but two die at once."""
    torch.manual_seed(dist.get_rank() if dist.is_initialized() else 0)
    quantizer = EMAVQ(6, 64, kmeans_iterations=0).train()
    quantizer.embed.copy_(random_latent(64, 6))
    quantizer.cluster_size[2:] = 0
    quantizer.embed[2:] = 100
    quantizer.embed_avg.copy_(quantizer.embed * quantizer.cluster_size[:, None])
    quantizer(mine(random_latent(4, 6, 20)))
    return dict(quantizer.state_dict())


# what two ranks learn is what one process does from the whole batch
EQUAL: dict[str, Callable[[], Results]] = {
    "ema": averages,
    "ema k-means": started(lambda: EMAVQ(6, 8, kmeans_iterations=10)),
    "factorized k-means": started(lambda: FactorizedVQ(6, 8, 4, kmeans_init=True)),
    "gradient": by_gradient,
}
# random numbers differ, so ranks need only agree with each other
AGREED: dict[str, Callable[[], Results]] = {
    "restart": restart,
    "per item": of_its_own(lambda: ema_rvq(6, 4, 8, dropout=1.0)),
    "per batch": of_its_own(lambda: ema_rvq(6, 4, 8, dropout=PerBatch())),
    "factorized": of_its_own(lambda: factorized_rvq(6, 4, 8, 4, dropout=0.5, kmeans_init=True)),
}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Results]]:
    """What each of two ranks has learned."""
    folder = tmp_path_factory.mktemp("ranks")
    programs = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(folder)], stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    errors = [program.communicate(timeout=120)[1].decode() for program in programs]
    assert [program.returncode for program in programs] == [0, 0], errors
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", [*EQUAL, *AGREED])
def test_ranks_have_one_codebook(ranks: list[dict[str, Results]], name: str) -> None:
    first, second = (rank[name] for rank in ranks)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert all(value.isfinite().all() for value in first.values())


@pytest.mark.parametrize("name", EQUAL)
def test_two_ranks_are_one_process_with_the_whole_batch(ranks: list[dict[str, Results]], name: str) -> None:
    alone, together = EQUAL[name](), ranks[0][name]
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, atol=1e-5, rtol=1e-5)


def test_dead_codes_become_vectors_of_both_ranks(ranks: list[dict[str, Results]]) -> None:
    entries = ranks[0]["restart"]["embed"][2:]
    vectors = clusters.flatten(random_latent(4, 6, 20))
    found = (entries[:, None] == vectors).all(2).int()
    assert found.any(1).all()
    halves = found.argmax(1) // 40
    assert halves.bincount().tolist() == [31, 31]


def test_dropout_per_batch_draws_as_many_codebooks_on_all_ranks(ranks: list[dict[str, Results]]) -> None:
    counts = ranks[0]["per batch"]["counts"]
    assert counts.unique().numel() > 1
    assert ranks[0]["per item"]["counts"].tolist() == [4] * 6


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    results = {name: run() for name, run in (EQUAL | AGREED).items()}
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
