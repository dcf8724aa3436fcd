"""Lattice quantizers: rounding by hand, residual stages, and the form that trains."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocable.quantizers.base import Quantizer
from vocable.quantizers.dithered_fsq import DitheredFSQ
from vocable.quantizers.residual_fsq import ResidualFSQ

PRESETS = {
    "1x46656": ResidualFSQ(((6,) * 6,), (1.0,)),
    "2x15625": ResidualFSQ(((5,) * 6,) * 2, (1.0, 0.25)),
    "4x729": ResidualFSQ(((3,) * 6,) * 4, (1.0, 0.5, 0.25, 0.125)),
}


def latents(*shape: int, seed: int = 0) -> torch.Tensor:
    return 1.5 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_first_coordinate_is_the_least_significant_digit() -> None:
    fsq = DitheredFSQ((5, 3))
    values = fsq.decode(torch.arange(15)[None, None])[0]
    assert values[0].tolist() == [-1, -0.5, 0, 0.5, 1] * 3
    assert values[1].tolist() == [-1] * 5 + [0] * 5 + [1] * 5


@settings(max_examples=40, deadline=None)
@given(levels=st.lists(st.integers(2, 20), min_size=1, max_size=6).map(tuple), seed=st.integers(0, 999))
def test_codes_are_the_nearest_points_and_decode_to_them(levels: tuple[int, ...], seed: int) -> None:
    fsq = DitheredFSQ(levels).eval()
    z = latents(2, len(levels), 30, seed=seed)
    out = fsq(z)
    assert fsq.codebook_sizes == (math.prod(levels),)
    assert torch.equal(out.codes, fsq.encode(z))
    torch.testing.assert_close(out.z, fsq.decode(out.codes), atol=1e-6, rtol=0)
    half = 1 / (torch.tensor(levels)[:, None] - 1)
    assert bool(((out.z - torch.tanh(z)).abs() <= half + 1e-6).all())
    codes = torch.randint(fsq.codebook_sizes[0], (1, 1, 50), generator=torch.Generator().manual_seed(seed))
    values = fsq.decode(codes).double().clamp(-1 + 1e-9, 1 - 1e-9)
    assert torch.equal(fsq.encode(torch.atanh(values)), codes)


@pytest.mark.parametrize("name", PRESETS)
def test_every_stage_leaves_half_a_step_at_most(name: str) -> None:
    rfsq, z = PRESETS[name], latents(3, 6, 200)
    codes, levels = rfsq.encode(z), {"1x46656": 6, "2x15625": 5, "4x729": 3}[name]
    assert (rfsq.num_codebooks, rfsq.codebook_sizes[0]) == tuple(map(int, name.split("x")))
    for used in range(1, rfsq.num_codebooks + 1):
        assert torch.equal(rfsq.encode(z, used), codes[:, :used])
        scale = {"1x46656": 1, "2x15625": 0.25, "4x729": 0.5}[name] ** (used - 1)
        left = (rfsq.decode(codes[:, :used]) - torch.tanh(z)).abs().max().item()
        assert 0.9 * scale / (levels - 1) < left <= scale / (levels - 1) + 1e-6
    out = rfsq(z)
    assert torch.equal(out.codes, codes)
    torch.testing.assert_close(out.z, rfsq.decode(codes), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["2x15625", "4x729"])
def test_stages_together_are_the_training_lattice(name: str) -> None:
    """Their points are the 17 levels that the codec was trained with, so no preset adds an error."""
    z = latents(2, 6, 300)
    fine, rfsq = DitheredFSQ((17,) * 6), PRESETS[name]
    torch.testing.assert_close(rfsq.decode(rfsq.encode(z)), fine.decode(fine.encode(z)), atol=0, rtol=0)


def test_training_adds_noise_of_one_level_to_most_items() -> None:
    torch.manual_seed(0)
    z = latents(1, 6, 10).expand(4000, -1, -1)
    fsq = DitheredFSQ((17,) * 6).train()
    error = (fsq(z).z - torch.tanh(z)).flatten(1).abs()
    rounding = (fsq.decode(fsq.encode(z[:1])) - torch.tanh(z[:1])).abs().flatten()
    rounded, clean = (error == rounding).all(1), (error < 1e-7).all(1)
    noisy = ~(rounded | clean)
    assert noisy.float().mean().item() == pytest.approx(0.95, abs=0.015)
    assert rounded.float().mean().item() == pytest.approx(0.0475, abs=0.015)
    assert error[noisy].max() <= 1 / 16 + 1e-6
    assert error[noisy].mean().item() == pytest.approx(1 / 32, rel=0.01)
    assert torch.equal(fsq(z[:3]).codes, fsq.encode(z[:3]))


@pytest.mark.parametrize(
    "quantizer", [DitheredFSQ((5,) * 6), PRESETS["2x15625"]], ids=["dithered", "residual"]
)
@pytest.mark.parametrize("training", [True, False])
def test_gradient_is_that_of_tanh(quantizer: Quantizer, training: bool) -> None:
    z = latents(2, 6, 20).requires_grad_()
    out = quantizer.train(training)(z)
    out.z.sum().backward()
    torch.testing.assert_close(z.grad, 1 - torch.tanh(z.detach()) ** 2)
    assert out.loss.item() == 0


@pytest.mark.parametrize(
    "quantizer", [DitheredFSQ((17,) * 6), PRESETS["4x729"]], ids=["dithered", "residual"]
)
def test_saturated_latents_and_half_precision(quantizer: Quantizer) -> None:
    z = torch.tensor([-1e4, 1e4])[None, None].expand(1, 6, 2)
    size = torch.tensor(quantizer.codebook_sizes)
    low, high = quantizer.encode(z).unbind(-1)
    assert low[0, 0] == 0
    assert high[0, 0] == size[0] - 1
    z = latents(2, 6, 40).half()
    out = quantizer.eval().half()(z)
    assert out.z.dtype == torch.float16
    assert torch.equal(out.codes, quantizer.encode(z.float()))


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"levels are \(1, 4\); accepted"):
        DitheredFSQ((1, 4))
    with pytest.raises(ValueError, match=r"dither is 1.5; accepted: 0 to 1"):
        DitheredFSQ((4,), dither=1.5)
    with pytest.raises(ValueError, match=r"scales \(1.0,\); accepted"):
        ResidualFSQ(((3, 3), (3, 3)), (1.0,))
    with pytest.raises(ValueError, match="scale is 0; accepted: more than 0"):
        ResidualFSQ(((3, 3),), (0,))
    with pytest.raises(ValueError, match=r"codes lie in 9\.\.9"):
        DitheredFSQ((3, 3)).decode(torch.full((1, 1, 4), 9))
    with pytest.raises(ValueError, match="num_codebooks is 3; accepted: 1 to 2"):
        PRESETS["2x15625"].encode(latents(1, 6, 4), 3)
