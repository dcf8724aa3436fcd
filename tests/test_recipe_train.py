import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from hydra import compose, initialize_config_module
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vocable.codecs import load
from vocable.recipes.export import export
from vocable.recipes.train import train

QUICK = ("experiment=smoke", "data.batches_per_epoch=6", "validate_every=8", "data.valid_seconds=1.0")


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    """Train, and read the last checkpoint."""
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        cfg = compose("train", overrides=[*QUICK, f"run_dir={folder}", *overrides])
    train(cfg)
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def scalars(folder: Path, name: str) -> dict[int, float]:
    """Values by step; where a run was resumed the later ones."""
    found: dict[int, float] = {}
    for file in sorted((folder / "tensorboard").glob("events*"), key=lambda path: path.stat().st_mtime):
        events = EventAccumulator(str(file)).Reload()
        if name in events.Tags()["scalars"]:
            found |= {event.step: event.value for event in events.Scalars(name)}
    return found


def assert_same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)


def test_smoke_trains_and_reports(whole):
    folder, checkpoint = whole
    assert checkpoint["global_step"] == 20
    assert {key.split(".")[0] for key in checkpoint["state_dict"]} == {"codec", "ema", "discriminator"}
    mel = scalars(folder, "train/mel")
    assert list(mel) == list(range(1, 21))
    assert mel[20] < mel[1]
    assert min(scalars(folder, "train/spectrum")) == 3  # start_step is 2: the third step
    assert min(scalars(folder, "train/adversarial")) == 11
    for name in ("valid/STOI@4", "valid/PESQ-WB@2", "codebooks/perplexity/0", "codebooks/use/3"):
        assert list(scalars(folder, name)) == [8, 16]
    tags = EventAccumulator(str(folder / "tensorboard")).Reload().Tags()
    assert "spectrogram/0@4" in tags["images"]
    assert "reconstruction/0@4" in tags["audio"]


def test_killed_run_resumes_to_the_same_losses_and_weights(whole, tmp_path: Path):
    overrides = [*QUICK, f"run_dir={tmp_path}"]
    command = [sys.executable, "-m", "vocable.recipes.train", *overrides]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    log, deadline = tmp_path / "train.log", time.monotonic() + 240
    while not (log.is_file() and "step 12:" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["global_step"] in (10, 15)
    resumed = run(tmp_path, "resume=true")
    folder, expected = whole
    for name in ("train/loss", "train/mel", "train/discriminator"):
        losses, truth = scalars(tmp_path, name), scalars(folder, name)
        assert {step: losses[step] for step in range(16, 21)} == {step: truth[step] for step in range(16, 21)}
    assert_same(resumed["state_dict"], expected["state_dict"])


def test_finished_run_goes_on_with_more_steps(whole, tmp_path: Path):
    run(tmp_path, "steps=7", "training.schedule.total_steps=20")  # stops between two checkpoints
    assert_same(run(tmp_path, "resume=true")["state_dict"], whole[1]["state_dict"])


def test_resume_at_an_epochs_end(whole, tmp_path: Path):
    run(tmp_path, "steps=12", "checkpoint_every=6", "training.schedule.total_steps=20")
    assert_same(run(tmp_path, "resume=true")["state_dict"], whole[1]["state_dict"])


def test_discriminator_joins_a_resumed_run(tmp_path: Path):
    first = run(tmp_path, "steps=4", "discriminator=none")
    assert not any(key.startswith("discriminator") for key in first["state_dict"])
    second = run(tmp_path, "steps=8", "resume=true", "discriminator.start_step=4")
    assert any(key.startswith("discriminator") for key in second["state_dict"])
    assert min(scalars(tmp_path, "train/discriminator")) == 5


def test_accumulated_parts_are_one_step(tmp_path: Path):
    checkpoint = run(tmp_path, "steps=3", "training.accumulate=2", "discriminator.start_step=0")
    assert checkpoint["global_step"] == 3
    assert list(scalars(tmp_path, "train/discriminator")) == [1, 2, 3]


def test_balancer_and_bfloat16(tmp_path: Path):
    overrides = ["balancer=encodec", "trainer.precision=bf16-mixed", "discriminator.start_step=1"]
    run(tmp_path, "steps=3", *overrides)
    assert list(scalars(tmp_path, "train/features")) == [2, 3]


def test_export_gives_the_averaged_codec(whole, tmp_path: Path):
    folder, checkpoint = whole
    exported = export(folder / "checkpoints/last.ckpt", tmp_path / "codec")
    wav = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0)).mul(0.1)
    codec = load(tmp_path / "codec")
    assert torch.equal(codec.encode(wav).codes, exported.eval().encode(wav).codes)
    state = codec.state_dict()
    key = "encoder.inp.weight"
    assert torch.equal(state[key], checkpoint["state_dict"][f"ema.module.{key}"])
    assert not torch.equal(state[key], checkpoint["state_dict"][f"codec.{key}"])
    last = export(folder / "checkpoints/last.ckpt", tmp_path / "last", average=False)
    assert torch.equal(last.state_dict()[key], checkpoint["state_dict"][f"codec.{key}"])


def test_export_in_half_precision_is_half_the_size(whole, tmp_path: Path):
    checkpoint = whole[0] / "checkpoints/last.ckpt"
    for half in (False, True):
        export(checkpoint, tmp_path / str(half), half=half)
    full, small = (load(tmp_path / str(half)).state_dict() for half in (False, True))
    for key, value in full.items():
        torch.testing.assert_close(small[key], value, rtol=1e-3, atol=1e-6)
    sizes = [(tmp_path / str(half) / "model.safetensors").stat().st_size for half in (False, True)]
    assert sizes[1] < 0.6 * sizes[0]


def test_quantizer_stays_out_of_the_first_steps(tmp_path: Path):
    run(tmp_path, "steps=4", "training.quantize_from=2")
    assert list(scalars(tmp_path, "train/codebook_use")) == [3, 4]
    assert [scalars(tmp_path, "train/quantizer")[step] > 0 for step in (1, 2, 3, 4)] == [0, 0, 1, 1]


def test_export_refuses_other_files(tmp_path: Path):
    torch.save({"weights": torch.ones(1)}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="accepted: a checkpoint"):
        export(tmp_path / "other.ckpt", tmp_path / "codec")


def test_a_run_is_not_overwritten(whole):
    with pytest.raises(ValueError, match="resume=true"):
        run(whole[0])


@pytest.mark.parametrize("precision", ["16-mixed", "16-true", "16"])
def test_float16_is_refused(tmp_path: Path, precision: str):
    with pytest.raises(ValueError, match="accepted: 32-true, bf16-mixed"):
        run(tmp_path, f"trainer.precision={precision}")


def test_nan_stops_the_run(tmp_path: Path):
    with pytest.raises(FloatingPointError, match=r"step 0: the codec's gradient norm is nan \(loss nan, mel"):
        run(tmp_path, "loss.spectrum.weight=nan")
