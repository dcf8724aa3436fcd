"""The balancer's gradient in closed form, alone, over time, resumed and on two ranks."""

import copy
import doctest
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vocable.losses import balancer as module
from vocable.losses.balancer import Balancer

WEIGHTS = {"mel": 1.0, "features": 4.0, "wav": 0.5}


def losses(wav: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Losses of very different scales."""
    target = torch.randn(wav.shape, generator=torch.Generator().manual_seed(seed))
    error = wav - target
    return {"wav": error.abs().mean(), "mel": 50 * error.square().mean(), "features": error.pow(4).sum()}


def expected(steps: list[Tensor], weights: dict[str, float], decay: float, total_norm: float) -> Tensor:
    """The published formula at the last of `steps`, in float64 and one loss at a time."""
    total: dict[str, float] = dict.fromkeys(weights, 0.0)
    count, gradient = 0.0, torch.zeros(())
    for seed, wav in enumerate(steps):
        wav = wav.double().requires_grad_()
        values, count, gradient = losses(wav, seed), decay * count + 1, torch.zeros(())
        for name, weight in weights.items():
            (g,) = torch.autograd.grad(values[name], wav, retain_graph=True)
            total[name] = decay * total[name] + float(torch.stack([item.norm() for item in g]).mean())
            share = weight / sum(weights.values())
            gradient = gradient + share * total_norm * g / (1e-12 + total[name] / count)
    return gradient.float()


def test_gradient_follows_the_formula_over_steps() -> None:
    torch.manual_seed(0)
    balancer = Balancer(WEIGHTS, total_norm=3.0, decay=0.9)
    steps = list(torch.randn(5, 2, 1, 40))
    for seed, wav in enumerate(steps):
        wav = wav.clone().requires_grad_()
        balancer(losses(wav, seed), wav).backward()
        torch.testing.assert_close(wav.grad, expected(steps[: seed + 1], WEIGHTS, 0.9, 3.0))


def test_first_gradient_has_the_total_norm_whatever_the_scales() -> None:
    wav = torch.zeros(3, 1, 16, requires_grad=True)
    balancer = Balancer({"a": 1.0, "b": 3.0}, total_norm=2.0)
    gradient = balancer.gradient({"a": 1e-3 * wav.sum(), "b": 1e3 * wav.sum()}, wav)
    torch.testing.assert_close(gradient.norm(dim=(1, 2)), torch.full((3,), 2.0))
    norms = balancer.average_norms
    assert float(norms["b"] / norms["a"]) == pytest.approx(1e6, rel=1e-5)


def test_network_gets_the_balanced_gradient_and_the_other_losses_once() -> None:
    torch.manual_seed(0)
    network = nn.Linear(8, 8)
    x = torch.randn(2, 1, 8)
    wav = network(x)
    loss = Balancer(WEIGHTS)(losses(wav), wav) + network.bias.square().sum()
    loss.backward()

    twin = nn.Linear(8, 8)
    twin.load_state_dict(network.state_dict())
    wav = twin(x)
    wav.backward(expected([wav.detach()], WEIGHTS, 0.999, 1.0))
    assert twin.bias.grad is not None
    torch.testing.assert_close(network.weight.grad, twin.weight.grad)
    torch.testing.assert_close(network.bias.grad, twin.bias.grad + 2 * network.bias.detach())


def test_a_loss_that_comes_later_starts_its_own_average() -> None:
    balancer = Balancer({"a": 1.0, "late": 1.0})
    wav = torch.zeros(1, 1, 4, requires_grad=True)
    for _ in range(3):
        torch.testing.assert_close(balancer.gradient({"a": 7 * wav.sum()}, wav), torch.full((1, 1, 4), 0.5))
    assert balancer.average_norms["late"].isnan()
    both = balancer.gradient({"late": -3 * wav.sum(), "a": 7 * wav.sum()}, wav)
    torch.testing.assert_close(both, torch.zeros(1, 1, 4))
    assert float(balancer.average_norms["late"]) == pytest.approx(6)
    assert float(balancer.average_norms["a"]) == pytest.approx(14)


def test_resume_is_exact_in_any_order_of_weights() -> None:
    torch.manual_seed(0)
    steps = torch.randn(6, 2, 1, 20)
    balancer = Balancer(WEIGHTS)

    def run(balancer: Balancer, seeds: range) -> list[Tensor]:
        gradients = []
        for seed in seeds:
            wav = steps[seed].clone().requires_grad_()
            gradients.append(balancer.gradient(losses(wav, seed), wav))
        return gradients

    run(balancer, range(3))
    saved = copy.deepcopy(balancer.state_dict())
    resumed = Balancer(dict(reversed(WEIGHTS.items())))
    resumed.load_state_dict(saved)
    for a, b in zip(run(balancer, range(3, 6)), run(resumed, range(3, 6)), strict=True):
        assert torch.equal(a, b)


def test_low_precision_output_has_a_float32_gradient() -> None:
    wav = torch.zeros(2, 1, 8, dtype=torch.bfloat16, requires_grad=True)
    balancer = Balancer({"a": 1.0})
    assert balancer.gradient({"a": wav.float().sum()}, wav).dtype == torch.float32
    assert balancer({"a": wav.float().sum()}, wav).dtype == torch.float32


@pytest.mark.parametrize("names", [[], ["other"], ["mel", "other"]])
def test_unknown_losses_are_refused(names: list[str]) -> None:
    wav = torch.zeros(1, 1, 4, requires_grad=True)
    with pytest.raises(ValueError, match="accepted"):
        Balancer(WEIGHTS)({name: wav.sum() for name in names}, wav)


RANK = """
import sys, torch, torch.distributed as dist
from vocable.losses.balancer import Balancer
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
scales = torch.tensor([[1.0, 2.0, 6.0], [4.0, 8.0, 0.0]])[rank, : 3 - rank].view(-1, 1, 1)
balancer = Balancer({"a": 1.0})
wav = torch.zeros(len(scales), 1, 4, requires_grad=True)
gradient = balancer.gradient({"a": (scales * wav).sum()}, wav)
torch.save((gradient, balancer.state_dict()), f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


def test_ranks_share_the_average_over_all_items(tmp_path: Path) -> None:
    """Norms 2, 4, 12 on one rank and 8, 16 on the other: the mean is 8.4 on both."""
    runs = [
        subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(tmp_path)], stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for run in runs:
        _, errors = run.communicate(timeout=120)
        assert run.returncode == 0, errors.decode()
    (first, state), (second, other) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    torch.testing.assert_close(first[:, 0, 0], torch.tensor([1.0, 2.0, 6.0]) / 8.4)
    torch.testing.assert_close(second[:, 0, 0], torch.tensor([4.0, 8.0]) / 8.4)
    assert all(torch.equal(state[key], other[key]) for key in state)
    assert float(state["norms"]) == pytest.approx(8.4)


def test_the_example_runs() -> None:
    failed, attempted = doctest.testmod(module)
    assert (failed, attempted) == (0, 4)
