"""Discriminators of published codecs against their own code: installed, or its numbers in tests/assets."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vocable.losses.adversarial import (
    clamped_hinge_generator_loss,
    feature_loss,
    hinge_discriminator_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    mean_feature_loss,
    split,
)
from vocable.losses.complex_stft import ComplexSTFTDiscriminator, ComplexUnit
from vocable.losses.discriminators import Discriminators, MatchedMaps, PeakNormalized
from vocable.losses.groups import Averaged, Grouped
from vocable.losses.mfd import MultiFrequencyDiscriminator
from vocable.losses.mpd import MultiPeriodDiscriminator
from vocable.losses.mrd import MultiBandDiscriminator
from vocable.losses.msd import (
    HIFIGAN,
    MELGAN,
    Layers,
    MultiScaleDiscriminator,
    ScaleDiscriminator,
    melgan_discriminator,
)
from vocable.losses.msstftd import MultiScaleSTFTDiscriminator
from vocable.losses.spec_discriminator import SpectrogramDiscriminator
from vocable.losses.stft import STFT

GOLDEN = {
    key: value.float()
    for key, value in load_file(Path(__file__).parent / "assets" / "losses.safetensors").items()
}
THIN = 8  # the peers' channels, which no argument changes, divided by it
TINY = ((4, 15, 1, 1), (8, 41, 4, 4), (8, 5, 1, 1))
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of the peers' weight norm


def load(ours: nn.Module, theirs: dict[str, Tensor], renames: list[tuple[str, str]]) -> None:
    """Load a peer's weights under our names; every key must match."""
    state = {}
    weight = [
        (r"weight_orig$", "parametrizations.weight.original"),
        (r"weight_u$", "parametrizations.weight.0._u"),
    ]
    for key, value in theirs.items():
        spectral = key.replace("weight_v", "weight_orig") in theirs
        last = "parametrizations.weight.0._v" if spectral else "parametrizations.weight.original1"
        name = key
        for pattern, replacement in [
            *renames,
            *weight,
            (r"weight_g$", "parametrizations.weight.original0"),
            (r"weight_v$", last),
        ]:
            name = re.sub(pattern, replacement, name)
        state[name] = value
    ours.load_state_dict(state)


def thin(conv: type[nn.Module]) -> Callable[..., nn.Module]:
    """A convolution with fewer channels than it is told."""

    def build(before: int, after: int, *arguments: Any, **options: Any) -> nn.Module:
        return conv(max(1, before // THIN), max(1, after // THIN), *arguments, **options)

    return build


def thinner(layers: Layers) -> Layers:
    return tuple((max(1, width // THIN), size, stride, groups) for width, size, stride, groups in layers)


def golden_state(name: str) -> dict[str, Tensor]:
    prefix = f"{name}.state."
    return {key.removeprefix(prefix): value for key, value in GOLDEN.items() if key.startswith(prefix)}


def assert_equal(ours: list[list[Tensor]], theirs: list[list[Tensor]]) -> None:
    """Every feature map, to 1e-5 of its largest value."""
    for a, b in zip(ours, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            assert float((x.reshape(y.shape) - y).abs().max() / y.abs().max()) < 1e-5


def assert_golden(outputs: list[list[Tensor]], name: str) -> None:
    """The logits, and the mean magnitudes of the other maps."""
    for i, (*maps, logits) in enumerate(outputs):
        expected = GOLDEN[f"{name}.logits.{i}"]
        torch.testing.assert_close(logits.reshape(expected.shape), expected, rtol=1e-4, atol=1e-6)
        means = torch.stack([x.abs().mean() for x in maps])
        torch.testing.assert_close(means, GOLDEN[f"{name}.means.{i}"], rtol=1e-5, atol=1e-7)


@torch.no_grad()
def test_multi_scale_and_its_losses_equal_speechtokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = pytest.importorskip("speechtokenizer.discriminators")
    losses = pytest.importorskip("speechtokenizer.trainer.loss")
    monkeypatch.setattr(peer, "Conv1d", thin(nn.Conv1d))
    torch.manual_seed(0)
    theirs, ours = peer.MultiScaleDiscriminator().eval(), MultiScaleDiscriminator(3, thinner(HIFIGAN)).eval()
    load(ours, theirs.state_dict(), [(r"convs\.(\d)\.", r"layers.\1.0."), (r"conv_post\.", "layers.7.")])
    wav, wav_hat = 0.3 * torch.randn(2, 1, 1, 1501)
    expected = theirs(wav, wav_hat)
    (real, real_maps), (fake, fake_maps) = (split(MatchedMaps(ours)(x)) for x in (wav, wav_hat))
    assert_equal(real_maps, expected[2])
    assert_equal(fake_maps, expected[3])
    torch.testing.assert_close(
        least_squares_discriminator_loss(real, fake), losses.discriminator_loss(*expected[:2])
    )
    torch.testing.assert_close(least_squares_generator_loss(fake), losses.adversarial_loss(expected[1]))
    torch.testing.assert_close(2 * feature_loss(real_maps, fake_maps), losses.feature_loss(*expected[2:]))


@torch.no_grad()
def test_samples_discriminator_of_soundstream_equals_dacs_of_melgan() -> None:
    peer = pytest.importorskip("dac.model.discriminator")
    torch.manual_seed(0)
    theirs, ours = peer.MSD(rate=1, sample_rate=16000), ScaleDiscriminator(MELGAN)
    load(ours, theirs.state_dict(), [(r"convs\.(\d)\.", r"layers.\1."), (r"conv_post\.", "layers.6.")])
    wav = torch.randn(2, 1, 1201)
    assert_equal([ours(wav)], [theirs(wav)])


@torch.no_grad()
def test_both_discriminators_and_their_losses_equal_vocos(monkeypatch: pytest.MonkeyPatch) -> None:
    peer, losses = pytest.importorskip("vocos.discriminators"), pytest.importorskip("vocos.loss")
    monkeypatch.setattr(peer, "Conv2d", thin(nn.Conv2d))  # of the multi-period discriminator
    torch.manual_seed(0)
    wav, wav_hat = 0.1 + 0.3 * torch.randn(2, 1, 1, 2311)
    theirs = [peer.MultiPeriodDiscriminator((2, 11)), peer.MultiResolutionDiscriminator((512, 128))]
    parts = [
        MultiPeriodDiscriminator((2, 11), (4, 16, 64, 128, 128)),
        MultiBandDiscriminator((512, 128), framing="center"),
    ]
    load(parts[0], theirs[0].state_dict(), [(r"convs\.(\d)\.", r"layers.\1.0."), ("conv_post", "layers.5")])
    state = {key: value for key, value in theirs[1].state_dict().items() if "spec_fn" not in key}
    load(parts[1], state, [(r"band_convs\.(\d)\.(\d)\.", r"stacks.\1.\2.0."), ("conv_post", "logits")])
    ours = Discriminators([MatchedMaps(parts[0], 5), MatchedMaps(PeakNormalized(parts[1]), 5)])
    (real, real_maps), (fake, fake_maps) = (split(ours(x)) for x in (wav, wav_hat))
    expected = [model(wav.squeeze(1), wav_hat.squeeze(1)) for model in theirs]
    assert_equal(real_maps, [*expected[0][2], *expected[1][2]])

    hinge = Grouped((2, 2), (hinge_discriminator_loss, hinge_discriminator_loss))
    totals = [losses.DiscriminatorLoss()(*outputs[:2])[0].squeeze() / 2 for outputs in expected]
    torch.testing.assert_close(hinge(real, fake), totals[0] + totals[1])
    clamped = Grouped((2, 2), (clamped_hinge_generator_loss,) * 2)
    totals = [losses.GeneratorLoss()(outputs[1])[0].squeeze() / 2 for outputs in expected]
    torch.testing.assert_close(clamped(fake), totals[0] + totals[1])
    features = Grouped((2, 2), (Averaged(feature_loss),) * 2)
    totals = [losses.FeatureMatchingLoss()(*outputs[2:]).squeeze() / 2 for outputs in expected]
    torch.testing.assert_close(features(real_maps, fake_maps), totals[0] + totals[1])


@torch.no_grad()
def test_spectrogram_discriminator_equals_xcodec2() -> None:
    ours = SpectrogramDiscriminator((78, 334), channels=(2, 4, 8, 8, 8))
    renames = [
        (r"^model\.disc_(\d)\.model\.layer_5\.", r"discriminators.\1.layers.5."),
        (r"^model\.disc_(\d)\.model\.layer_", r"discriminators.\1.layers."),
    ]
    load(ours, golden_state("spec"), renames)
    assert_golden(ours(GOLDEN["wav"]), "spec")


@torch.no_grad()
def test_multi_period_equals_xcodec2() -> None:
    ours = MultiPeriodDiscriminator((3, 7), (2, 8, 8, 8, 8), last_kernel=2)
    load(ours, golden_state("mpd"), [(r"convs\.", "layers."), ("output_conv", "layers.5")])
    assert_golden(ours(GOLDEN["wav"][..., :-1]), "mpd")


@torch.no_grad()
def test_multi_frequency_and_its_losses_equal_xcodec() -> None:
    pytest.importorskip("torchaudio")
    ours = MultiFrequencyDiscriminator(16000, (64, 256), (32, 32))
    renames = [
        (r"discriminator\.0\.1\.", "layers.0.0."),
        (r"discriminator\.6\.2\.", "layers.6."),
        (r"discriminator\.(\d)\.2\.", r"layers.\1.0."),
    ]
    load(ours, golden_state("mfd"), renames)
    outputs = [ours(GOLDEN[name]) for name in ("wav", "estimate")]
    assert_golden(outputs[0], "mfd")
    (real, real_maps), (fake, fake_maps) = map(split, outputs)
    results = {
        "discriminator": Averaged(least_squares_discriminator_loss)(real, fake),
        "generator": Averaged(least_squares_generator_loss)(fake),
        "features": mean_feature_loss(real_maps, fake_maps),
    }
    for name, value in results.items():
        torch.testing.assert_close(value, GOLDEN[f"mfd.{name}"], rtol=1e-5, atol=0)


@torch.no_grad()
def test_complex_unit_equals_audiolm() -> None:
    unit, state = ComplexUnit(2, 3, (2, 2)), {}
    names = {"0.fn.0": "residual.0", "0.fn.2": "residual.2", "1": "down"}
    theirs = golden_state("unit")
    for old, new in names.items():
        weight = theirs[f"{old}.weight"]
        state |= {f"{new}.real": weight[..., 0], f"{new}.imag": weight[..., 1]}
        state[f"{new}.bias"] = theirs[f"{old}.bias"].T.flatten()
    unit.load_state_dict(state | {"residual.1.bias": theirs["0.fn.1.b"]})
    x = GOLDEN["unit.input"].permute(0, 4, 1, 2, 3).flatten(1, 2)
    y = unit(x).unflatten(1, (2, -1)).permute(0, 2, 3, 4, 1)
    torch.testing.assert_close(y, GOLDEN["unit.output"], rtol=1e-5, atol=1e-5)


def test_stft_power_is_stable_audios() -> None:
    """X |X|^p of the spectrum is what the plain discriminator sees of a signal so compressed."""
    torch.manual_seed(0)
    wav = torch.randn(1, 1, 300)
    plain, scaled = (MultiScaleSTFTDiscriminator((78,), 4, overlap=2, stride=1, power=p) for p in (0.0, -0.5))
    scaled.load_state_dict(plain.state_dict())
    spec = STFT(78, 39, "valid", normalized=True)(wav)
    expected = spec / (spec.abs() + 1e-6).sqrt()
    plain.discriminators[0].stft = nn.Identity()
    for a, b in zip(scaled(wav)[0], plain(expected)[0], strict=True):
        torch.testing.assert_close(a, b)
        assert a.shape[-2:] == (6, 40)


@pytest.mark.parametrize(
    ("discriminator", "maps"),
    [
        (MultiScaleDiscriminator(2, TINY), [4, 4]),
        (melgan_discriminator(3, TINY), [4, 4, 4]),
        (SpectrogramDiscriminator((78, 126), channels=(2, 4, 4)), [4, 4]),
        (ComplexSTFTDiscriminator(256, 2), [8]),
        (MultiScaleSTFTDiscriminator((64,), 4, overlap=2, stride=1, power=-0.5), [6]),
    ],
)
def test_every_map_is_given_and_every_weight_learns(discriminator: nn.Module, maps: list[int]) -> None:
    torch.manual_seed(0)
    wav = torch.randn(2, 1, 1500)
    wav[1] = 0.0  # silence must not make a gradient NaN
    wav.requires_grad_()
    outputs = discriminator(wav)
    assert [len(output) for output in outputs] == maps
    torch.stack([output[-1].square().sum() for output in outputs]).sum().backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()), name
        assert bool(parameter.grad.isfinite().all()), name
    assert wav.grad is not None
    assert bool(wav.grad.isfinite().all())


def test_every_weight_of_the_multi_frequency_discriminator_learns() -> None:
    pytest.importorskip("torchaudio")
    test_every_map_is_given_and_every_weight_learns(
        MultiFrequencyDiscriminator(16000, (64, 256), (32, 32)), [7, 7]
    )


def test_complex_logits_are_one_column_of_time() -> None:
    maps = ComplexSTFTDiscriminator(1024, 1)(torch.randn(2, 1, 8000))[0]
    assert maps[-1].shape == (2, 2, 5, 1)
    assert [x.shape[1] for x in maps[:-1]] == [2, 2, 4, 8, 8, 16, 16]


def test_channels_are_judged_one_by_one() -> None:
    torch.manual_seed(0)
    wav = torch.randn(3, 2, 600)
    parts = [
        MultiScaleDiscriminator(2, TINY, 0),
        SpectrogramDiscriminator((78,), channels=(2, 4)),
        ComplexSTFTDiscriminator(64, 1),
    ]
    for discriminator in parts:
        alone = discriminator(wav[1:2, 1:])[0][-1]
        torch.testing.assert_close(discriminator(wav)[0][-1][3:4], alone)


def test_matched_maps_are_chosen() -> None:
    class Numbers(nn.Module):
        def forward(self, wav: Tensor) -> list[list[Tensor]]:
            return [[wav + i for i in range(length)] for length in (6, 11)]

    def chosen(**options: int) -> list[list[int]]:
        return [[int(x) for x in maps] for maps in MatchedMaps(Numbers(), **options)(torch.zeros(()))]

    assert chosen() == [[*range(6), 5], [*range(11), 10]]
    assert chosen(skip=5) == [[1, 2, 3, 4, 5, 5], [1, 2, 3, 4, 6, 7, 8, 9, 10, 10]]


def test_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="sizes has 2 values and losses 1"):
        Grouped((1, 2), (hinge_discriminator_loss,))
    with pytest.raises(ValueError, match="there are 2 sub-discriminators"):
        Grouped((3,), (clamped_hinge_generator_loss,))([torch.zeros(1)] * 2)
    with pytest.raises(ValueError, match="channels has 1"):
        MultiFrequencyDiscriminator(16000, (64, 256), (32,))
