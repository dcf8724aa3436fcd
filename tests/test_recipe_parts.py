import errno
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from hydra import compose, initialize_config_module
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vocable.codecs import build as build_module
from vocable.losses.spectral import WaveformLoss
from vocable.recipes import conf
from vocable.recipes.adversary import Adversary
from vocable.recipes.checkpoint import AtomicCheckpointIO
from vocable.recipes.ema import average_of
from vocable.recipes.schedule import ramp, warmup_cosine
from vocable.recipes.terms import Term

ROOT = Path(str(conf.__file__)).parent
OPTIONS = sorted((path.parent.name, path.stem) for path in ROOT.glob("*/*.yaml"))
NEEDED = {
    "huggingface": "data.train.path=data",
    "librispeech": "data.train.root=data",
    "libritts": "data.train.root=data",
    "webdataset": "data.train.urls=data",
}
SMALL = {
    "stft_convnext": ["encoder.dim=16"],
    "istft": ["decoder.dim=16"],
    "istft_direction": ["decoder.dim=16"],
    "encoder/dac": ["encoder.dim=4"],
    "decoder/dac": ["decoder.dim=32"],
    "rvq": ["quantizer.codebook_size=16"],
    "rvq_ema": ["quantizer.codebook_size=16"],
}


def composed(*overrides: str) -> Any:
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        data = [option for option in NEEDED if f"data={option}" in overrides]
        return compose("train", overrides=[NEEDED[data[0]] if data else "data.train=data", *overrides])


def targets(node: Any):
    if isinstance(node, dict):
        if "_target_" in node:
            yield node
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_option_names_what_exists_with_its_arguments(group: str, name: str):
    tree = OmegaConf.to_container(composed(f"{group}={name}"), resolve=True)
    assert isinstance(tree, dict)
    found = list(targets(tree))
    assert len(found) >= 10
    for node in found:
        module, _, attribute = node["_target_"].rpartition(".")
        function = getattr(import_module(module), attribute)
        arguments = {key: value for key, value in node.items() if not key.startswith("_")}
        inspect.signature(function).bind_partial(*node.get("_args_", []), **arguments)


@pytest.mark.parametrize(
    ("encoder", "decoder", "quantizer"),
    [
        ("stft_convnext", "istft", "rvq"),
        ("stft_convnext", "istft_direction", "fsq"),
        ("dac", "dac", "rvq_ema"),
    ],
)
def test_hydra_and_build_give_the_same_codec(encoder: str, decoder: str, quantizer: str):
    choice = {"encoder": encoder, "decoder": decoder, "quantizer": quantizer}
    small = [x for group, name in choice.items() for x in SMALL.get(name, SMALL.get(f"{group}/{name}", []))]
    cfg = composed(*(f"{group}={name}" for group, name in choice.items()), *small)
    torch.manual_seed(0)
    ours = instantiate(cfg.codec, _convert_="all")
    torch.manual_seed(0)
    built = build_module.build(OmegaConf.to_container(cfg.codec, resolve=True))
    assert ours.state_dict().keys() == built.state_dict().keys()
    assert all(torch.equal(value, built.state_dict()[key]) for key, value in ours.state_dict().items())
    assert ours(torch.zeros(1, 1, 700)).wav.shape == (1, 1, 700)


def test_an_unknown_option_is_refused():
    with pytest.raises(ConfigCompositionException):
        composed("quantizer.no_such_option=1")


def test_schedule_and_ramp():
    assert [warmup_cosine(step, 4, 104, 0.1) for step in (0, 3, 4)] == [0.25, 1.0, 1.0]
    assert warmup_cosine(54, 4, 104, 0.1) == pytest.approx(0.55)
    assert warmup_cosine(104, 4, 104, 0.1) == warmup_cosine(999, 4, 104, 0.1) == pytest.approx(0.1)
    assert warmup_cosine(0, 0, 10) == 1.0
    assert [ramp(step, 2, 3) for step in range(7)] == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert [ramp(step, 2, 0) for step in range(4)] == [0, 0, 1, 1]


def test_term_weight_comes_in():
    term = Term(WaveformLoss(), weight=4.0, start_step=10, ramp_steps=3)
    assert [term.weight_at(step) for step in (9, 10, 12, 50)] == [0, 1, 3, 4]
    assert float(term(torch.ones(1, 1, 8), torch.zeros(1, 1, 8))) == 1.0


def test_average_forgets_the_start_then_follows_slowly():
    model = nn.BatchNorm1d(1)
    average = average_of(model, 0.5)
    values = []
    for value in (1.0, 3.0, 5.0, 9.0):
        nn.init.constant_(model.weight, value)
        model.running_mean.fill_(value)  # type: ignore[union-attr]
        average.update_parameters(model)
        values.append(float(average.module.weight))  # type: ignore[arg-type]
    expected = [1.0]
    for n, value in ((1, 3.0), (2, 5.0), (3, 9.0)):
        decay = min(0.5, (1 + n) / (10 + n))
        expected.append(decay * expected[-1] + (1 - decay) * value)
    assert values == pytest.approx(expected)
    assert float(average.module.running_mean) == 9.0  # type: ignore[arg-type]
    assert not any(parameter.requires_grad for parameter in average.parameters())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_average_refuses_a_decay(decay: float):
    with pytest.raises(ValueError, match="accepted: 0 up to but not 1"):
        average_of(nn.Linear(1, 1), decay)


class Mean(nn.Module):
    """Judges by the mean, after one feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, wav):
        return [[self.scale * wav, (self.scale * wav).mean((1, 2))]]


def test_adversary_trains_one_side_at_a_time():
    adversary = Adversary(Mean(), start_step=10, ramp_steps=1, weight=2.0, feature_weight=4.0)
    wav, wav_hat = torch.full((2, 1, 4), 0.5), torch.full((2, 1, 4), -0.5, requires_grad=True)
    loss = adversary.judge(wav, wav_hat)
    assert float(loss) == pytest.approx(0.5 + 0.5)  # max(0, 1 - 0.5) + max(0, 1 - 0.5)
    loss.backward()
    assert wav_hat.grad is None
    scale = next(adversary.discriminator.parameters())
    assert scale.grad is not None
    scale.grad = None
    terms = adversary.terms(wav, wav_hat)
    assert {name: float(value) for name, value in terms.items()} == {"adversarial": 0.5, "features": 1.0}
    torch.stack(list(terms.values())).sum().backward()
    assert scale.grad is None
    assert scale.requires_grad
    assert wav_hat.grad is not None
    assert adversary.weights_at(9) == {"adversarial": 0.0, "features": 0.0}
    assert adversary.weights_at(10) == {"adversarial": 1.0, "features": 2.0}
    assert adversary.weights_at(11) == {"adversarial": 2.0, "features": 4.0}


def test_one_pass_teaches_both_sides_what_two_do():
    wav, wav_hat = torch.full((2, 1, 4), 0.5), torch.full((2, 1, 4), -0.5, requires_grad=True)
    calls = []

    class Counted(Mean):
        def forward(self, wav):
            calls.append(len(wav))
            return super().forward(wav)

    twice, once = Adversary(Mean()), Adversary(Counted())
    expected, found = twice.terms(wav, wav_hat), once.play(wav, wav_hat)
    assert {k: v.item() for k, v in found[1].items()} == {k: v.item() for k, v in expected.items()}
    for name in expected:  # one by one, as a balancer asks
        (a,), (b,) = (torch.autograd.grad(x[name], wav_hat, retain_graph=True) for x in (found[1], expected))
        torch.testing.assert_close(a, b)
    gradients = []
    for terms in (found[1], expected):
        (3 * terms["adversarial"] + 2 * terms["features"]).backward()
        gradients.append(wav_hat.grad)
        wav_hat.grad = None
    torch.testing.assert_close(*gradients)
    (scale,), (own,) = ([*adversary.discriminator.parameters()] for adversary in (twice, once))
    assert own.grad is None
    for loss in (twice.judge(wav, wav_hat), found[0]):
        loss.backward()
    assert own.grad is not None
    torch.testing.assert_close(own.grad, scale.grad)
    assert own.grad.item() != 0
    assert wav_hat.grad is None
    assert calls == [2, 2]


def test_a_failed_save_leaves_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"step": 1}, path)

    def fail(checkpoint, file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        AtomicCheckpointIO().save_checkpoint({"step": 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
