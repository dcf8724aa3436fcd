"""Two processes, started by Lightning's own flags, train what one process does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from hydra import compose, initialize_config_module

from vocable.recipes.train import train

# what a rank ends with; Lightning itself saves rank 0 alone
SCRIPT = """
import torch
from vocable.recipes import train
from vocable.recipes.module import CodecTraining

CodecTraining.on_train_end = lambda self: torch.save(self.state_dict(), f"rank{self.global_rank}.pt")
train.main()
"""
TWO = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=2")
# every loss a mean over the items, nothing drawn at random, steps that are linear in the gradient
EXACT = (
    "experiment=smoke",
    "~loss.spectrum",
    "steps=4",
    "keep_every=2",
    "validate_every=1000",
    "discriminator.start_step=1",
    "training.optimizer._target_=torch.optim.SGD",
    "training.optimizer.lr=0.1",
    "~training.optimizer.betas",
    "quantizer._target_=vocable.quantizers.vq.EMAVQ",
    "~quantizer.num_codebooks",
    "~quantizer.codebook_dim",
    "~quantizer.dropout",
    "~quantizer.kmeans_init",
    "+quantizer.kmeans_iterations=0",
    "+quantizer.dead_threshold=0",
)
LIVELY = (
    "experiment=smoke",
    "quantizer=rvq_ema",
    "steps=3",
    "validate_every=3",
    "data.valid_seconds=1.0",
    "training.checkpoint_activations=true",
)


def run_two(folder: Path, *overrides: str) -> list[dict[str, Tensor]]:
    """The state that each of two ranks ends with."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), *overrides, *TWO, f"run_dir={folder / 'run'}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def run_one(folder: Path, *overrides: str) -> dict[str, Tensor]:
    """The state of one process, with as large a batch."""
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        cfg = compose("train", [*EXACT, "data.batch_size=4", f"run_dir={folder}", *overrides])
    return {key: value.detach().clone() for key, value in train(cfg).lightning_module.state_dict().items()}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(
            found[key], value, rtol=1e-5, atol=1e-5, msg=lambda m, key=key: f"{key}: {m}"
        )


def assert_equal(ranks: list[dict[str, Tensor]]) -> None:
    assert ranks[0].keys() == ranks[1].keys()
    assert [key for key, value in ranks[0].items() if not torch.equal(value, ranks[1][key])] == []


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("two")
    return folder, run_two(folder, *EXACT)


def test_two_ranks_train_as_one_of_double_batch(exact, tmp_path: Path):
    ranks = exact[1]
    assert_equal(ranks)
    start = run_one(tmp_path / "start", "steps=1", "training.optimizer.lr=0.0")
    one = run_one(tmp_path / "one")
    assert_close(ranks[0], one)
    for part in ("codec.encoder", "codec.decoder", "codec.quantizer.embed", "discriminator"):
        moved = [float((one[key] - start[key]).abs().max()) for key in one if key.startswith(part)]
        assert max(moved) > 1e-3, part  # what could differ did change


def test_a_run_of_two_ranks_goes_on_in_one(exact, tmp_path: Path):
    folder, ranks = exact
    (tmp_path / "checkpoints").mkdir()
    kept = (folder / "run/checkpoints/step-2.ckpt").read_bytes()
    (tmp_path / "checkpoints/last.ckpt").write_bytes(kept)
    assert_close(run_one(tmp_path, "resume=true"), ranks[0])


@pytest.mark.full
def test_ranks_agree_where_codebooks_are_drawn_dropped_and_replaced(tmp_path: Path):
    ranks = run_two(tmp_path, *LIVELY, "discriminator.start_step=1")
    assert_equal(ranks)
    assert all(float(value) == 1 for key, value in ranks[0].items() if key.endswith("inited"))
