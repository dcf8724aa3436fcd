"""Distillation: who gets gradients, what is trained and what is saved, in a step and in a run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vocable.codecs import Codec
from vocable.codecs.backbones.whisper import WhisperEncoder
from vocable.losses.semantic import cosine_loss
from vocable.quantizers.fsq import FSQ
from vocable.quantizers.rvq import ema_rvq, factorized_rvq
from vocable.quantizers.split import SplitRVQ
from vocable.recipes.distillation import Distillation
from vocable.recipes.teachers import Teacher
from vocable.recipes.train import build, train
from vocable.recipes.warmup import autoencode

QUICK = ("experiment=smoke", "discriminator=none", "data.batches_per_epoch=6", "data.valid_seconds=1.0")
TEACHER = (
    "distillation=whisper",
    "distillation.teacher._target_=vocable.recipes.teachers.Teacher",
    "~distillation.teacher.layer",
    "+distillation.teacher.model._target_=vocable.codecs.backbones.whisper.WhisperEncoder",
    "+distillation.teacher.model={dim: 16, heads: 2, layers: 1, n_mels: 20}",
    "+distillation.teacher.dim=16",
    "+distillation.teacher.frame_rate=50.0",
    "distillation.head.out_channels=16",
)


def config(*overrides: str) -> Any:
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        return compose("train", overrides=list(overrides))


def scalars(folder: Path, name: str) -> dict[int, float]:
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {event.step: event.value for event in events.Scalars(name)}


def tiny_teacher() -> Teacher:
    torch.manual_seed(0)
    return Teacher(WhisperEncoder(16, 2, 1, 20), 16, 50.0)


def distillation(dim: int = 8, of: Any = "first") -> Distillation:
    return Distillation(tiny_teacher(), cosine_loss, nn.Conv1d(dim, 16, 1), of=of)


def test_first_is_the_first_codebooks_latents() -> None:
    z = torch.randn(3, 8, 20)
    for quantizer in (factorized_rvq(8, 3, 16, 4), ema_rvq(8, 3, 16)):
        quantizer(z)  # k-means
        out = quantizer.eval()(z)
        assert out.first is not None
        torch.testing.assert_close(out.first, quantizer.decode(out.codes[:, :1]))


def test_first_of_a_split_is_what_its_semantic_stack_gives() -> None:
    quantizer = SplitRVQ(ema_rvq(6, 1, 16), ema_rvq(6, 2, 16), dim=8, unquantized=1.0)
    quantizer(torch.randn(2, 8, 20))  # k-means
    for stack in (quantizer.first, quantizer.rest):
        stack.eval()  # fixed, while the split still leaves them out
    out = quantizer(torch.randn(2, 8, 20))
    assert out.first is not None
    torch.testing.assert_close(out.first, quantizer.decode(out.codes[:, :1]))


@pytest.mark.parametrize("of", ["first", "all"])
def test_gradient_reaches_encoder_and_head_alone(codec: Codec, of: str) -> None:
    codec.train()
    wav = 0.1 * torch.randn(2, 1, 3200)
    teach = distillation(of=of)
    teach(codec(wav, 3), wav, codec).backward()
    assert all(parameter.grad is not None for parameter in teach.head.parameters())
    assert not any(
        name.startswith("teacher") for name, weight in teach.named_parameters() if weight.grad is not None
    )
    assert all(parameter.grad is not None for parameter in codec.encoder.parameters())
    assert all(parameter.grad is None for parameter in codec.decoder.parameters())


def test_similarity_is_the_correlation_with_the_teacher(codec: Codec) -> None:
    wav, teach = 0.1 * torch.randn(1, 1, 3200), distillation()
    teach.head = nn.Identity()
    said = 3 * tiny_teacher().features(wav, 16000, 320) + 1
    out = codec(wav)
    assert float(teach.similarity(out._replace(first=said), wav, codec)) == pytest.approx(1, abs=1e-4)
    noise = torch.randn_like(said)
    assert abs(float(teach.similarity(out._replace(first=noise), wav, codec))) < 0.1


def test_the_last_codebooks_get_no_gradient_from_the_first(codec: Codec) -> None:
    codec.train()
    wav = 0.1 * torch.randn(2, 1, 3200)
    distillation()(codec(wav, 3), wav, codec).backward()
    names = {name for name, weight in codec.quantizer.named_parameters() if weight.grad is not None}
    moved = {name.split(".")[1] for name in names if codec.quantizer.get_parameter(name).grad.any()}  # type: ignore[union-attr]
    assert moved == {"0"}


def test_what_a_quantizer_does_not_tell_is_refused(codec: Codec) -> None:
    class Untold(nn.Module):
        num_codebooks = 2

    wav = torch.randn(1, 1, 800)
    out = codec(wav)._replace(first=None)
    with pytest.raises(ValueError, match=r"RVQ doesn't tell its first codebook.*accepted: of='all'"):
        distillation()(out, wav, codec)
    distillation(of="all")(out, wav, codec)
    codec.quantizer = FSQ(8, (4, 4))  # one codebook: its latents are all there is
    distillation()(codec(wav), wav, codec)
    with pytest.raises(ValueError, match="of is 'last'; accepted: 'first', 'all'"):
        distillation(of="last")


def test_before_the_quantizer_the_encoder_is_taught(codec: Codec) -> None:
    wav = torch.randn(1, 1, 800)
    assert distillation()(autoencode(codec, wav), wav, codec).isfinite()


def test_a_step_learns_what_the_teacher_says(codec: Codec) -> None:
    torch.manual_seed(0)
    teach, wav = distillation(), 0.3 * torch.randn(4, 1, 3200)
    codec.train()
    optimizer = torch.optim.Adam([*codec.encoder.parameters(), *teach.head.parameters()], 3e-3)
    losses: list[Tensor] = []
    for _ in range(30):
        loss = teach(codec(wav), wav, codec)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    assert losses[-1] < 0.6 * losses[0]


def test_run_distils_and_resumes_without_the_teacher_in_its_checkpoint(tmp_path: Path) -> None:
    overrides = (*QUICK, *TEACHER, "validate_every=4", "checkpoint_every=4", f"run_dir={tmp_path}")
    train(config(*overrides, "steps=4", "training.quantize_from=2", "training.schedule.total_steps=8"))
    checkpoint = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    keys = {key for key in checkpoint["state_dict"] if key.startswith("distillation")}
    assert keys == {"distillation.head.weight", "distillation.head.bias"}
    assert list(scalars(tmp_path, "train/distillation")) == [1, 2, 3, 4]
    assert list(scalars(tmp_path, "valid/distillation")) == [4]
    head = checkpoint["state_dict"]["distillation.head.weight"]
    train(config(*overrides, "steps=8", "training.quantize_from=2", "resume=true"))
    checkpoint = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 8
    assert not torch.equal(head, checkpoint["state_dict"]["distillation.head.weight"])


def test_balancer_and_accumulation_leave_the_weight_as_it_is(tmp_path: Path) -> None:
    options = (
        "balancer=encodec",
        "steps=2",
        "training.accumulate=2",
        f"run_dir={tmp_path}",
        "data.valid=null",
    )
    train(config(*QUICK, *TEACHER, *options))
    assert list(scalars(tmp_path, "train/distillation")) == [1, 2]


@pytest.mark.parametrize("name", ["hubert", "wavlm", "w2v_bert", "whisper"])
def test_configurations_build(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def teacher(*args: Any, **kwargs: Any) -> Teacher:
        asked.append(kwargs)
        return Teacher(nn.Identity(), 16, 50.0)

    monkeypatch.setattr("vocable.recipes.teachers.pretrained", teacher)
    monkeypatch.setattr("vocable.recipes.teachers.whisper", teacher)
    built = instantiate(config(f"distillation={name}", "data.train=x").distillation, _convert_="all")
    dims = {"hubert": 768, "wavlm": 1024, "w2v_bert": 1024, "whisper": 384}
    features = built.head(torch.randn(2, 128, 5))
    assert features.shape == (2, dims[name], 5)
    assert built.loss(features, torch.randn(2, dims[name], 5)) > 0
    assert built.of == ("all" if name == "w2v_bert" else "first")
    assert len(asked) == 1


def test_experiment_and_its_twin_differ_in_the_teacher_alone() -> None:
    cfg, twin = (
        config("experiment=distilled_16khz", "data.train=x", *more) for more in ((), ("distillation=none",))
    )
    assert cfg.training.distillation is not None
    assert twin.training.distillation is None
    cfg.distillation = cfg.training.distillation = None
    assert cfg == twin
    module, _ = build(twin)
    assert module.codec.num_codebooks == 8
