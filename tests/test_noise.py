"""Noise by position: normal, independent of its neighbours and of other seeds, wherever it is cut."""

import pytest
import torch

from vocable.codecs.backbones.noise import gaussian


@pytest.fixture(scope="module")
def drawn() -> list[torch.Tensor]:
    return [gaussian(torch.arange(200_000), seed) for seed in (0, 1, 7)]


def test_moments_and_tails_are_a_normal_distributions(drawn: list[torch.Tensor]) -> None:
    for x in drawn:
        x = x.double()
        assert abs(x.mean()) < 4 / 200_000**0.5
        assert abs(x.var() - 1) < 4 * (2 / 200_000) ** 0.5
        ordered, normal = x.sort().values, torch.distributions.Normal(0.0, 1.0)
        steps = torch.arange(1, len(x) + 1).double() / len(x)
        # Kolmogorov's distance, which exceeds this for 1 in 1000 draws of a true generator
        assert (normal.cdf(ordered) - steps).abs().max() < 1.95 / len(x) ** 0.5


def test_nothing_repeats(drawn: list[torch.Tensor]) -> None:
    x = drawn[0].double()
    spectrum = torch.fft.rfft(x)[1:].abs().square() / len(x)
    # the powers of white noise are exponential: the largest of 100,000 is near ln(100,000) = 11.5
    assert 8 < spectrum.max() < 20
    for other in drawn[1:]:
        assert abs(torch.corrcoef(torch.stack([x, other.double()]))[0, 1]) < 4 / len(x) ** 0.5


def test_a_piece_is_the_piece_of_the_whole(drawn: list[torch.Tensor]) -> None:
    assert torch.equal(gaussian(torch.arange(1234, 5678), 7), drawn[2][1234:5678])
    assert gaussian(torch.tensor([2**31 - 1]), 2**40).isfinite().all()
