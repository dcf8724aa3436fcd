import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vocable.codecs import load
from vocable.recipes.export import export
from vocable.recipes.module import CodecTraining
from vocable.recipes.opponent import FILE, recall
from vocable.recipes.terms import Term
from vocable.recipes.train import build, start_from, train
from vocable.recipes.validation import Validation

QUICK = ("experiment=smoke", "data.batches_per_epoch=6", "validate_every=8", "data.valid_seconds=1.0")


def run(folder: Path, *overrides: str) -> dict[str, Any]:
    """Train, and read the last checkpoint."""
    train(configured(f"run_dir={folder}", *overrides))
    return last(folder)


def configured(*overrides: str) -> DictConfig:
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        return compose("train", overrides=[*QUICK, *overrides])


def last(folder: Path) -> dict[str, Any]:
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


def test_a_soup_is_the_mean_of_its_codecs(whole, tmp_path: Path):
    checkpoint = whole[0] / "checkpoints/last.ckpt"
    last = export(checkpoint, tmp_path / "last", average=False).state_dict()
    averaged = export(checkpoint, tmp_path / "averaged").state_dict()
    soup = export(checkpoint, tmp_path / "soup", soup=[tmp_path / "last", tmp_path / "last"]).state_dict()
    for key, value in soup.items():
        expected = (2 * last[key].float() + averaged[key].float()) / 3
        torch.testing.assert_close(value.float(), expected, rtol=1e-6, atol=1e-8)
    with pytest.raises(ValueError, match="accepted: codecs of the same tensors"):
        export(checkpoint, tmp_path / "none", soup=["vocable-16khz-fsq"])
    assert not (tmp_path / "none").exists()


def start(source: Path, *overrides: str) -> CodecTraining:
    """A training as it begins from another."""
    module, _ = build(configured(*overrides))
    start_from(str(source), module)
    return module


def test_a_training_goes_on_with_the_discriminator_of_another(whole, tmp_path: Path):
    folder, checkpoint = whole
    export(folder / "checkpoints/last.ckpt", tmp_path / "with", half=True, discriminator=True)
    export(folder / "checkpoints/last.ckpt", tmp_path / "without")
    kept = {key: value for key, value in checkpoint["state_dict"].items() if key.startswith("discriminator.")}

    def same(module: CodecTraining) -> bool:
        state = module.state_dict()
        return all(torch.allclose(state[key], value, rtol=1e-3, atol=1e-6) for key, value in kept.items())

    assert same(start(tmp_path / "with"))
    assert same(start(folder / "checkpoints/last.ckpt"))
    assert not same(start(tmp_path / "without"))
    wider = start(tmp_path / "with", "discriminator.discriminator.channels=6")
    assert wider.discriminator is not None
    for kept_in, said in (("with", "0 of 6 layers"), ("without", "none in the source")):
        assert recall(wider.discriminator, tmp_path / kept_in) == f"discriminator: {said}"
    assert start(tmp_path / "with", "discriminator=none").discriminator is None
    run(tmp_path / "bare", "steps=1", "discriminator=none")
    with pytest.raises(ValueError, match="has no discriminator"):
        export(tmp_path / "bare/checkpoints/last.ckpt", tmp_path / "none", discriminator=True)
    assert not (tmp_path / "none").exists()
    (tmp_path / "with" / FILE).write_bytes(b"{}")
    with pytest.raises(ValueError, match=f"{FILE}.*accepted"):
        start(tmp_path / "with")


def test_quantizer_stays_out_of_the_first_steps(tmp_path: Path):
    run(tmp_path, "steps=4", "training.quantize_from=2")
    assert list(scalars(tmp_path, "train/codebook_use")) == [3, 4]
    assert [scalars(tmp_path, "train/quantizer")[step] > 0 for step in (1, 2, 3, 4)] == [0, 0, 1, 1]


def test_a_loss_that_leaves_out_one_codebook_alone_teaches_nothing_by_it(tmp_path: Path):
    drop = "quantizer.dropout={_target_: vocable.quantizers.dropout.PerItem, share: 1.0, counts: [1]}"
    deaf = [f"+loss.{name}.alone=0" for name in ("mel", "waveform", "spectrum")]
    run(tmp_path, "steps=5", drop, "training.quantize_from=2", "training.quantizer_weight=0", *deaf)
    learned = scalars(tmp_path, "train/gradient/codec")
    assert [learned[step] > 0 for step in (1, 2, 3, 4, 5)] == [True, True, False, False, False]
    assert scalars(tmp_path, "train/mel")[5] > 0
    run(
        tmp_path / "judged",
        "steps=3",
        drop,
        "training.quantizer_weight=0",
        *deaf,
        "discriminator.start_step=2",
    )
    judged = scalars(tmp_path / "judged", "train/gradient/codec")
    assert [judged[step] > 0 for step in (1, 2, 3)] == [False, False, True]


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


def test_nan_stops_the_run_and_keeps_the_batch(tmp_path: Path):
    with pytest.raises(FloatingPointError, match=r"step 0: gradient/codec or its .* finite \(loss nan, mel"):
        run(tmp_path, "loss.spectrum.weight=nan")
    wav = load_file(tmp_path / "failed/step-0.safetensors")["wav"]
    assert wav.shape == (4, 1, 8000)
    found = json.loads((tmp_path / "failed/step-0.json").read_text())
    assert found["step"] == 0
    assert found["values"]["loss"] == "nan"
    assert 0 < found["values"]["mel"] < 100
    assert found["peaks"] == wav.abs().amax((1, 2)).tolist()


def test_an_infinite_loss_with_a_finite_gradient_stops_the_run(tmp_path: Path, monkeypatch):
    forward = Term.forward
    monkeypatch.setattr(Term, "forward", lambda self, *args: forward(self, *args) + float("inf"))
    with pytest.raises(FloatingPointError, match=rf"\(loss inf, .*in {tmp_path}/failed/step-0.safetensors"):
        run(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step(whole, tmp_path: Path, monkeypatch, number: int):
    handlers = [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]
    losses = CodecTraining._losses

    def interrupted(self, *args):
        if self.global_step == 6:  # within the seventh step
            os.kill(os.getpid(), number)
        return losses(self, *args)

    monkeypatch.setattr(CodecTraining, "_losses", interrupted)
    with pytest.raises(SystemExit) as ended:
        run(tmp_path)
    assert ended.value.code == 128 + number
    assert [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert last(tmp_path)["global_step"] == 7
    monkeypatch.undo()
    if number == signal.SIGTERM:
        assert_same(run(tmp_path, "resume=true")["state_dict"], whole[1]["state_dict"])


def test_a_signal_in_a_validation_loses_no_step(whole, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(Validation, "add", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        run(tmp_path)
    assert last(tmp_path)["global_step"] == 8
    monkeypatch.undo()
    assert_same(run(tmp_path, "resume=true")["state_dict"], whole[1]["state_dict"])
