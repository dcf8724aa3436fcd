from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from hydra import compose, initialize_config_module
from torch.distributed._tools.mem_tracker import MemTracker

from vocable.codecs.backbones.convnext import STFTEncoder
from vocable.codecs.backbones.dac import DACDecoder, DACEncoder
from vocable.codecs.backbones.seanet import SEANetDecoder, SEANetEncoder
from vocable.codecs.backbones.transformer import CausalTransformer
from vocable.recipes.execution import blocks, checkpoint_blocks, compile_networks
from vocable.recipes.train import train

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "DACEncoder": (lambda: DACEncoder(8, (2, 4), 16), (2, 1, 4000), 2),
    "DACDecoder": (lambda: DACDecoder(32, (4, 2), 16), (2, 16, 500), 2),
    "SEANetEncoder": (lambda: SEANetEncoder(8, (2, 4), 16, lstm=1), (2, 1, 4000), 2),
    "SEANetDecoder": (lambda: SEANetDecoder(8, (4, 2), 16, lstm=0), (2, 16, 500), 2),
    "STFTEncoder": (lambda: STFTEncoder(16, 32, 64, 16, 2, 2, 3), (2, 1, 3200), 5),
    "CausalTransformer": (lambda: CausalTransformer(32, 3, 2, 64, 50), (2, 32, 200), 3),
}


def run(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Output and gradients, the input's first."""
    network.zero_grad()
    x = x.clone().requires_grad_()
    y = network(x)[0]
    y.square().mean().backward()
    return [y.detach(), *(leaf.grad for leaf in (x, *network.parameters()) if leaf.grad is not None)]


def peak(network: nn.Module, x: Tensor) -> int:
    """The most bytes that tensors held at a time."""
    tracker = MemTracker()
    with tracker:
        run(network, x)
    return sum(device["Total"] for device in tracker.get_tracker_snapshot("peak").values())


@pytest.mark.parametrize("name", NETWORKS)
def test_checkpointed_blocks_give_the_same_gradients_from_less_memory(name: str):
    make, shape, count = NETWORKS[name]
    torch.manual_seed(0)
    network, x = make(), torch.randn(shape)
    keys, expected, before = list(network.state_dict()), run(network, x), peak(network, x)
    assert len(list(blocks(network))) == count
    checkpoint_blocks(network)
    found = run(network, x)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).abs().max()) <= 1e-6 * max(1.0, float(b.abs().max()))
    assert peak(network, x) < 0.9 * before
    assert list(network.state_dict()) == keys


def test_frozen_blocks_and_calls_without_gradient_are_left_alone():
    network = DACEncoder(8, (2, 4), 16)
    expected = network(x := torch.randn(1, 1, 800))[0]
    checkpoint_blocks(network)
    with torch.no_grad():
        assert torch.equal(network(x)[0], expected)
    assert list(blocks(network.requires_grad_(False))) == []


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match=r"compile is 'fast'; accepted: .*inductor"):
        compile_networks([nn.Linear(1, 1)], "fast")


def test_runs_compiled_and_checkpointed_have_the_same_losses_and_interchangeable_checkpoints(tmp_path):
    def steps(name: str, *overrides: str) -> dict[str, Tensor]:
        folder = tmp_path / name
        quick = ["experiment=smoke", "steps=2", "validate_every=1000", "discriminator.start_step=1"]
        with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
            cfg = compose("train", [*quick, f"run_dir={folder}", *overrides])
        trainer = train(cfg)
        assert trainer.global_step == 2
        return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]

    plain = steps("plain")
    fast = steps("fast", "training.compile=eager", "training.checkpoint_activations=true")
    assert fast.keys() == plain.keys()
    for key, value in plain.items():
        torch.testing.assert_close(fast[key], value, rtol=1e-4, atol=1e-5)
