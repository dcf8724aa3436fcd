"""Discriminators against the packages that they were published with."""

import re

import pytest
import torch
from torch import Tensor, nn

from vocable.losses.discriminators import Discriminators, PeakNormalized
from vocable.losses.mpd import MultiPeriodDiscriminator, PeriodDiscriminator
from vocable.losses.mrd import BandDiscriminator, MultiBandDiscriminator
from vocable.losses.msstftd import MultiScaleSTFTDiscriminator, STFTDiscriminator

SMALL = (4, 4, 8, 8)


def load(ours: nn.Module, theirs: dict[str, Tensor], renames: list[tuple[str, str]]) -> None:
    """Load a peer's weights under our names; every key must match."""
    state = {}
    for key, value in theirs.items():
        for pattern, name in [
            *renames,
            (r"weight_g$", "parametrizations.weight.original0"),
            (r"weight_v$", "parametrizations.weight.original1"),
        ]:
            key = re.sub(pattern, name, key)
        state[key] = value
    ours.load_state_dict(state)


def largest_difference(ours: list[list[Tensor]], theirs: list[list[Tensor]]) -> float:
    """Of all feature maps, relative to the largest value of each."""
    pairs = [pair for a, b in zip(ours, theirs, strict=True) for pair in zip(a, b, strict=True)]
    assert all(a.shape == b.shape for a, b in pairs)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


@pytest.mark.parametrize("samples", [2310, 2311])
def test_multi_period_and_multi_band_equal_dac(samples: int) -> None:
    """2310 samples are a multiple of every period, where DAC pads a full one."""
    peer = pytest.importorskip("dac.model.discriminator")
    torch.manual_seed(0)
    theirs = peer.Discriminator(periods=[2, 11], fft_sizes=[512, 128], sample_rate=16000)
    ours = Discriminators(
        [MultiPeriodDiscriminator((2, 11)), MultiBandDiscriminator(windows=(512, 128), channels=32)]
    )
    period = [(r"^(\d)\.convs\.", r"\1.layers."), (r"^(\d)\.conv_post\.", r"\1.layers.5.")]
    band = [(r"band_convs", "stacks"), (r"conv_post", "logits")]
    for i in range(2):
        state = nn.ModuleList(theirs.discriminators[2 * i : 2 * i + 2]).state_dict()
        group = ours.discriminators[i].get_submodule("discriminators")
        load(group, state, band if i else period)
    wav = 0.1 + 0.3 * torch.randn(2, 1, samples)
    with torch.no_grad():
        assert largest_difference(PeakNormalized(ours)(wav), theirs(wav)) < 1e-5


@pytest.mark.parametrize("audio_channels", [1, 2])
def test_multi_scale_stft_equals_encodec(audio_channels: int) -> None:
    peer = pytest.importorskip("encodec.msstftd")
    torch.manual_seed(0)
    windows = (512, 128)
    theirs = peer.MultiScaleSTFTDiscriminator(
        8, audio_channels, n_ffts=windows, hop_lengths=[w // 4 for w in windows], win_lengths=windows
    )
    ours = MultiScaleSTFTDiscriminator(windows, 8, audio_channels)
    state = {key: value for key, value in theirs.state_dict().items() if "spec_transform" not in key}
    load(ours, state, [(r"convs\.(\d)\.conv\.", r"layers.\1.0."), (r"conv_post\.conv\.", "layers.5.")])
    wav = 0.3 * torch.randn(2, audio_channels, 2000)
    with torch.no_grad():
        logits, maps = theirs(wav)
        expected = [[*features, logit] for features, logit in zip(maps, logits, strict=True)]
        assert largest_difference(ours(wav), expected) < 1e-5


@pytest.mark.parametrize(
    ("discriminator", "maps"),
    [
        (PeriodDiscriminator(3, SMALL), len(SMALL) + 1),
        (BandDiscriminator(64, 4), 26),
        (BandDiscriminator(64, 4, bands=((0.0, 0.5), (0.5, 1.0))), 11),
        (STFTDiscriminator(64, 4), 6),
    ],
)
def test_every_map_is_given_and_every_weight_learns(discriminator: nn.Module, maps: int) -> None:
    torch.manual_seed(0)
    wav = torch.randn(2, 1, 500, requires_grad=True)
    output = discriminator(wav)
    assert len(output) == maps
    assert output[-1].shape[:2] == (2, 1)
    output[-1].sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in discriminator.parameters())
    assert wav.grad is not None
    assert bool(wav.grad.isfinite().all())


def test_channels_are_judged_one_by_one() -> None:
    torch.manual_seed(0)
    wav = torch.randn(3, 2, 600)
    for discriminator in (PeriodDiscriminator(5, SMALL), BandDiscriminator(64, 4)):
        alone = discriminator(wav[1:2, 1:])[-1]
        torch.testing.assert_close(discriminator(wav)[-1][3:4], alone)


def test_together_they_are_one_list() -> None:
    parts = [MultiPeriodDiscriminator((2, 3), SMALL), MultiScaleSTFTDiscriminator((64, 32, 16), channels=2)]
    outputs = Discriminators(parts)(torch.randn(1, 1, 400))
    assert [len(maps) for maps in outputs] == [5, 5, 6, 6, 6]


def test_peak_normalized_hears_no_loudness_and_no_offset() -> None:
    torch.manual_seed(0)
    wav = torch.randn(2, 1, 300)
    seen: list[Tensor] = []

    class Ear(nn.Module):
        def forward(self, wav: Tensor) -> list[list[Tensor]]:
            seen.append(wav)
            return [[wav]]

    discriminator = PeakNormalized(Ear())
    for signal in (wav, 0.01 * wav + 0.5, torch.zeros(2, 1, 300)):
        discriminator(signal)
    torch.testing.assert_close(seen[0].abs().amax(-1), torch.full((2, 1), 0.8))
    torch.testing.assert_close(seen[0].mean(-1), torch.zeros(2, 1), atol=1e-6, rtol=0)
    torch.testing.assert_close(seen[1], seen[0], atol=1e-4, rtol=0)
    assert not seen[2].any()
