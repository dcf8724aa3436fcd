"""Both sides of the training benchmark take the same step, and its figures are what they say."""

import re
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from vocable.benchmarks import train_peers, train_profile, train_steps
from vocable.benchmarks.train_speed import MATCHES, app, speech
from vocable.codecs.zoo import dac, encodec

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of the peers' weight norm
    pytest.mark.filterwarnings("ignore:stft_data changed shape"),
]
KEYS = {
    "dac": [
        (r"^discriminators\.([0-4])\.", r"discriminator.discriminators.0.discriminators.\1."),
        (
            r"^discriminators\.(\d)\.",
            lambda m: f"discriminator.discriminators.1.discriminators.{int(m[1]) - 5}.",
        ),
        (r"\.conv_post\.", ".logits."),
        (r"(0\.discriminators\.\d)\.logits", r"\1.layers.5"),
        (r"(0\.discriminators\.\d)\.convs\.", r"\1.layers."),
        (r"\.band_convs\.", ".stacks."),
    ],
    "encodec": [
        (r"convs\.(\d)\.conv\.", r"layers.\1.0."),
        (r"conv_post\.conv\.", "layers.5."),
    ],
}


def renamed(state: dict[str, Tensor], rules: list[tuple[str, Any]]) -> dict[str, Tensor]:
    weights = [
        ("weight_g$", "parametrizations.weight.original0"),
        ("weight_v$", "parametrizations.weight.original1"),
    ]
    named = {}
    for key, value in state.items():
        for pattern, replacement in [*rules, *weights]:
            key = re.sub(pattern, replacement, key)
        named[key] = value
    return {key: value for key, value in named.items() if not key.endswith("spec_transform.window")}


def thin(monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth of the channels in DAC's discriminators, which no argument of the peer's changes."""
    peer = pytest.importorskip("dac.model.discriminator")
    conv = peer.WNConv2d

    def thinner(before: int, after: int, *arguments: Any, **options: Any) -> nn.Module:
        before = before if before == 2 else max(1, before // 8)  # 2 are a spectrum's parts
        return conv(before, max(1, after // 8), *arguments, **options)

    monkeypatch.setattr(peer, "WNConv2d", thinner)
    widths = (4, 16, 64, 128, 128)
    periods = partial(train_steps.MultiPeriodDiscriminator, channels=widths)
    monkeypatch.setattr(train_steps, "MultiPeriodDiscriminator", periods)
    monkeypatch.setattr(
        train_steps, "MultiBandDiscriminator", partial(train_steps.MultiBandDiscriminator, channels=4)
    )


@pytest.mark.parametrize("one_pass", [False, True])
@pytest.mark.parametrize("name", ["dac", "encodec"])
def test_both_sides_take_the_same_step(name: str, one_pass: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the same weights: every loss, and the weights of decoder and discriminator after. The peer has
    a pass of its own for each loss."""
    pytest.importorskip(name)
    if name == "dac":
        thin(monkeypatch)
    torch.manual_seed(0)
    match = MATCHES[name]
    peer, ours = match.peer(4), match.ours(4)
    peer = replace(peer, both=lambda *pair: (peer.judge(*pair), peer.play(*pair)))

    def states() -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        state = peer.codec.state_dict()
        state = dac.state({"state_dict": state}) if name == "dac" else encodec.state(state)
        judges = renamed(peer.discriminator.state_dict(), KEYS[name])
        return [(state, ours.codec.state_dict()), (judges, ours.discriminator.state_dict())]

    for (theirs, _), module in zip(states(), (ours.codec, ours.discriminator), strict=True):
        module.load_state_dict(theirs)
    wav = speech(match.sample_rate, 1, 0.1)
    # Adam would make a whole step of the rounding in a gradient near zero
    recipes = [replace(match.recipe(), optimizer=partial(torch.optim.SGD, lr=0.1)) for _ in range(2)]
    before = {key: value.clone() for key, value in ours.discriminator.state_dict().items()}
    losses = train_steps.Training(peer, recipes[0], one_pass).step(wav)
    for key, value in train_steps.Training(ours, recipes[1], one_pass).step(wav).items():
        torch.testing.assert_close(value, losses[key].reshape(()), rtol=1e-4, atol=1e-6, msg=key)
    assert set(losses) == {"mel", "adversarial", "features", "quantizer", "discriminator"}
    for theirs, own in states():
        for key, value in own.items():
            if key.startswith(("encoder.", "quantizer.")):
                continue
            torch.testing.assert_close(value, theirs[key].reshape(value.shape), rtol=1e-3, atol=1e-4, msg=key)
    after = ours.discriminator.state_dict()
    assert not all(torch.equal(after[key], value) for key, value in before.items())


def test_shares_tell_parts_and_directions_apart() -> None:
    heavy, light = nn.Linear(400, 400), nn.Linear(4, 400)
    parts: dict[str, list[nn.Module]] = {"heavy": [heavy], "light": [light]}
    optimizer = torch.optim.SGD(heavy.parameters(), 0.1)

    def step(x: Tensor) -> None:
        heavy(heavy(light(x))).square().mean().backward()
        optimizer.step()

    found = {share.part: share for share in train_profile.shares(step, parts, torch.randn(4000, 4))}
    assert list(found) == ["heavy", "light", "optimizers", "rest"]
    assert found["heavy"].backward > found["light"].backward > 0
    assert found["heavy"].forward > 0
    assert found["light"].forward > 0
    assert found["optimizers"].forward > 0
    assert not heavy._forward_hooks


def test_peak_memory_is_of_all_tensors_at_a_time() -> None:
    def make() -> Any:
        weight = torch.zeros(1000)

        def step(x: Tensor) -> Tensor:
            return (weight + x).sum() + (weight - x).sum()  # one of the two at a time

        return step

    assert 8000 <= train_profile.peak_memory(make, torch.zeros(1000)) < 9000


@pytest.mark.full
def test_the_command_prints_a_row_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("encodec")
    for module in (train_steps, train_peers):
        monkeypatch.setattr(module, "WINDOWS", (256,))
    options = ["--codec", "encodec", "--dim", "2", "--batch", "1", "--seconds", "0.1", "--rounds", "1"]
    result = CliRunner().invoke(app, [*options, "--threads", "1"])
    assert result.exit_code == 0, result.output
    rows = result.output.splitlines()[2:4]
    for order, row in zip(("discriminator first", "one pass, codec first"), rows, strict=True):
        numbers = re.fullmatch(
            rf"\| encodec \| encodec \| {order} \| (.+) \| (.+) \| (.+) \| (.+) \| (\d+) of (\d+) MiB \|", row
        )
        assert numbers
        assert all(float(number) > 0 for number in numbers.groups())
        assert int(numbers[5]) < int(numbers[6])
    result = CliRunner().invoke(app, [*options, "--threads", "1", "--profile"])
    assert result.exit_code == 0, result.output
    assert "| MSSTFTD |" in result.output
    result = CliRunner().invoke(app, ["--codec", "mp3"])
    assert "accepted: dac, encodec" in " ".join(result.output.split())
