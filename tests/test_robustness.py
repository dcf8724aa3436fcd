import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vocable.recipes.checkpoint import AtomicCheckpointIO, CheckpointNotWrittenError

STEPS, EVERY = 20, 3
OVERRIDES = ["experiment=smoke", f"steps={STEPS}", f"checkpoint_every={EVERY}", "data.valid=null"]
OVERRIDES += ["data.batches_per_epoch=7", "data.batch_size=2", "data.crop_seconds=0.25", "resume=true"]
# Imports once what a training needs; then each line is run in a process of its own, forked at once.
NURSERY = """
import json, os, sys, traceback
import torch.utils.tensorboard
from vocable.recipes.train import main
for line in sys.stdin:
    if (pid := os.fork()) == 0:
        folder, code, sys.argv[1:] = json.loads(line)
        output = os.open(folder + "/output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1), os.dup2(output, 2)
        status = 1
        try:
            exec(code)
            main()
            status = 0
        except SystemExit as end:
            status = end.code
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)  # threads that the fork hasn't got can't be joined
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Nursery:
    """Trainings, one after another, in processes of their own."""

    def __init__(self) -> None:
        env = os.environ | {"OMP_NUM_THREADS": "1"}  # a fork keeps none of the threads
        pipe: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": env}
        self.process = subprocess.Popen([sys.executable, "-c", NURSERY], **pipe)

    def start(self, folder: Path, *overrides: str, code: str = "") -> int:
        folder.mkdir(exist_ok=True)
        (folder / "output.txt").write_text("")
        arguments = [*OVERRIDES, f"run_dir={folder}", *overrides]
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([str(folder), code, arguments]) + "\n")
        self.process.stdin.flush()
        return self._number()

    def ended(self) -> int:
        """The exit code of the training, when it has ended."""
        return self._number()

    def _number(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.process.communicate("")


@pytest.fixture(scope="module")
def whole(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    nursery.start(folder)
    assert nursery.ended() == 0, (folder / "output.txt").read_text()
    return folder


def last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def saved_step(folder: Path) -> int:
    return last(folder)["global_step"] if (folder / "checkpoints/last.ckpt").is_file() else 0


def steps(folder: Path) -> list[int]:
    """The steps that the process in hand has reported."""
    return [int(step) for step in re.findall(r"step (\d+):", (folder / "output.txt").read_text())]


def curve(folder: Path, name: str) -> dict[int, float]:
    """Values by step; where a run was resumed the later ones."""
    found: dict[int, float] = {}
    for file in sorted((folder / "tensorboard").glob("events*"), key=lambda path: path.stat().st_mtime):
        events = EventAccumulator(str(file)).Reload()
        if name in events.Tags()["scalars"]:
            found |= {event.step: event.value for event in events.Scalars(name)}
    return found


def kill(nursery: Nursery, folder: Path, rng: random.Random) -> None:
    """Start or resume a training, and kill it within one of its next steps, or before the first."""
    before = saved_step(folder)
    target, delay = before + rng.randrange(5), rng.uniform(0, 0.3)
    pid = nursery.start(folder)
    while Path(f"/proc/{pid}").exists() and target > max([before, *steps(folder)]):
        time.sleep(0.002)
    time.sleep(delay)
    if Path(f"/proc/{pid}").exists():
        os.kill(pid, signal.SIGKILL)
    assert nursery.ended() in (0, -signal.SIGKILL)
    done = max([before, *steps(folder)])
    assert saved_step(folder) >= (done - 1) // EVERY * EVERY


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and fork")
@pytest.mark.parametrize("kills", [3, pytest.param(10, marks=pytest.mark.full)])
def test_a_run_killed_at_random_ends_as_one_that_was_not(
    nursery: Nursery, whole: Path, tmp_path: Path, kills: int
):
    rng = random.Random(kills)
    for _ in range(kills):
        kill(nursery, tmp_path, rng)
    nursery.start(tmp_path)
    assert nursery.ended() == 0, (tmp_path / "output.txt").read_text()
    for name in ("train/loss", "train/mel", "train/discriminator", "train/gradient/codec"):
        found, expected = curve(tmp_path, name), curve(whole, name)
        assert found == expected
        assert max(found) == STEPS
    found, expected = last(tmp_path), last(whole)
    assert found["global_step"] == expected["global_step"] == STEPS
    assert found["state_dict"].keys() == expected["state_dict"].keys()
    for key, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][key], value), key


KILLED_WHILE_WRITING = """
import signal, torch
save = torch.save
def torn(checkpoint, file):
    if checkpoint["global_step"] == 6:
        file.write(b"half of a checkpoint")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    save(checkpoint, file)
torch.save = torn
"""


def test_a_kill_within_a_checkpoint_leaves_the_one_before(nursery: Nursery, whole: Path, tmp_path: Path):
    nursery.start(tmp_path, code=KILLED_WHILE_WRITING)
    assert nursery.ended() == -signal.SIGKILL
    assert (tmp_path / "checkpoints/last.part").read_bytes() == b"half of a checkpoint"
    assert saved_step(tmp_path) == 3
    nursery.start(tmp_path)
    assert nursery.ended() == 0
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["last.ckpt"]
    assert curve(tmp_path, "train/loss") == curve(whole, "train/loss")


LITTLE_SPACE = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"


def test_a_checkpoint_without_space_is_an_error_by_its_name(nursery: Nursery, tmp_path: Path):
    nursery.start(tmp_path, "steps=3")
    assert nursery.ended() == 0
    before = (tmp_path / "checkpoints/last.ckpt").read_bytes()
    nursery.start(tmp_path, code=LITTLE_SPACE)
    assert nursery.ended() == 1
    error = (tmp_path / "output.txt").read_text()
    assert re.search(
        r"CheckpointNotWrittenError: .*File too large, [\d.]+ MB free on its disk; the one before is whole: "
        rf"'{tmp_path}/checkpoints/last.ckpt'",
        error,
    )
    assert (tmp_path / "checkpoints/last.ckpt").read_bytes() == before
    assert not (tmp_path / "checkpoints/last.part").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path):
    target, state = tmp_path / "last.ckpt", {"weights": torch.randn(1000)}
    (tmp_path / "last.part").symlink_to("/dev/full")
    with pytest.raises(CheckpointNotWrittenError, match=r"No space left on device, .* free.*there is none"):
        AtomicCheckpointIO().save_checkpoint(state, target)
    AtomicCheckpointIO().save_checkpoint(state, target)
    (tmp_path / "last.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="the one before is whole"):
        AtomicCheckpointIO().save_checkpoint(state, target)
    assert torch.equal(torch.load(target, weights_only=True)["weights"], state["weights"])
