"""Quantization at several time scales: SNAC's numbers, slots in the order of language models, training."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocable.quantizers.multiscale import MultiScaleRVQ, factorized_multiscale
from vocable.quantizers.vq import EMAVQ, FactorizedVQ

STRIDES = [(4, 2, 1), (8, 4, 2, 1), (6, 2, 2), (4,), (6, 3, 1)]


def random_latent(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def ema(dim: int = 8, strides: tuple[int, ...] = (4, 2, 1), iterations: int = 0) -> MultiScaleRVQ:
    layers = [EMAVQ(dim, 16, kmeans_iterations=iterations, dead_threshold=0) for _ in strides]
    return MultiScaleRVQ(layers, strides)


@pytest.mark.parametrize("strides", [(4, 2, 1), (8, 4, 2, 1)])
def test_equals_snac(strides: tuple[int, ...]) -> None:
    vq = pytest.importorskip("snac.vq")
    torch.manual_seed(0)
    theirs = vq.ResidualVectorQuantize(24, 64, 8, list(strides)).eval()
    ours = factorized_multiscale(24, strides, 64, 8).eval()
    state = {key.replace("quantizers.", "layers."): value for key, value in theirs.state_dict().items()}
    ours.load_state_dict(state)
    a, b = (random_latent(3, 24, 80).requires_grad_() for _ in range(2))
    z, levels = theirs(a)
    out = ours(b)
    assert all(len(level.unique()) > 15 for level in levels)
    assert all(torch.equal(*pair) for pair in zip(ours.levels_of(out.codes), levels, strict=True))
    assert torch.equal(ours.encode(b), out.codes)
    torch.testing.assert_close(out.z, z, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.decode(out.codes), theirs.from_codes(levels), atol=1e-5, rtol=0)
    weights = random_latent(3, 24, 80, seed=1)
    (expected,) = torch.autograd.grad((z * weights).sum(), a)
    (gradient,) = torch.autograd.grad((out.z * weights).sum(), b)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_slots_are_in_the_order_of_language_models() -> None:
    """One coarse code, then each middle code before its two fine ones; codes here say where they begin."""
    quantizer = factorized_multiscale(8, (4, 2, 1), 4096)
    levels = [1000 * i + torch.arange(0, 12, stride)[None] for i, stride in enumerate((4, 2, 1), start=1)]
    codes = quantizer.codes_of(levels)
    assert quantizer.codebook_sizes == (4096,) * 7
    assert codes[0, :, 0].tolist() == [1000, 2000, 3000, 3001, 2002, 3002, 3003]
    assert codes[0, :, 2].tolist() == [1008, 2008, 3008, 3009, 2010, 3010, 3011]
    fifteen = factorized_multiscale(8, (8, 4, 2, 1), 16)
    assert [fifteen.slots[0], fifteen.slots[1], fifteen.slots[2]] == [[0], [1, 8], [2, 5, 9, 12]]


def test_a_slot_has_its_levels_size() -> None:
    sizes = (32, 16, 8)
    quantizer = MultiScaleRVQ([FactorizedVQ(8, size) for size in sizes], (4, 2, 1))
    assert quantizer.codebook_sizes == (32, 16, 8, 8, 16, 8, 8)
    quantizer.check_codes(quantizer.encode(random_latent(2, 8, 40)))


@given(strides=st.sampled_from(STRIDES), batch=st.integers(1, 3), frames=st.integers(1, 6), data=st.data())
@settings(max_examples=40, deadline=None)
def test_levels_and_slots_are_inverse(
    strides: tuple[int, ...], batch: int, frames: int, data: st.DataObject
) -> None:
    quantizer = factorized_multiscale(4, strides, 4096, 2)
    seed = data.draw(st.integers(0, 2**31))
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(4096, (batch, quantizer.num_codebooks, frames), generator=generator)
    levels = quantizer.levels_of(codes)
    assert [level.shape for level in levels] == [(batch, frames * strides[0] // s) for s in strides]
    assert torch.equal(quantizer.codes_of(levels), codes)
    again = quantizer.levels_of(quantizer.codes_of(levels))
    assert all(torch.equal(*pair) for pair in zip(again, levels, strict=True))


@pytest.mark.parametrize("quantizer", [ema(), factorized_multiscale(8, (4, 2, 1), 16, 4)])
def test_encode_decode_and_forward_agree(quantizer: MultiScaleRVQ) -> None:
    quantizer.eval()
    z = random_latent(3, 8, 24)
    out, codes = quantizer(z), quantizer.encode(z, 7)
    assert codes.shape == (3, 7, 6)
    assert torch.equal(out.codes, codes)
    assert torch.equal(quantizer.encode(z[1:2]), codes[1:2])
    torch.testing.assert_close(out.z, quantizer.decode(codes), atol=1e-6, rtol=0)


def test_output_is_straight_through() -> None:
    z = random_latent(2, 8, 24).requires_grad_()
    (gradient,) = torch.autograd.grad(ema().train()(z).z.sum(), z)
    torch.testing.assert_close(gradient, torch.ones_like(z))


def test_every_level_pulls_the_latent() -> None:
    """The last level's commitment loss mean((z - q)^2) / 3 has the gradient 2 (z - q) / (3 items)."""
    quantizer = ema().eval()
    z = random_latent(3, 8, 24).requires_grad_()
    for layer in quantizer.layers[:2]:
        assert isinstance(layer, EMAVQ)
        layer.commitment = 0.0
    (gradient,) = torch.autograd.grad(quantizer(z).loss, z)
    error = (z - quantizer.decode(quantizer.encode(z))).detach()
    torch.testing.assert_close(gradient, 2 * error / (3 * z.numel()), atol=1e-7, rtol=1e-4)


def test_loss_is_the_mean_over_levels() -> None:
    coarse, fine = (EMAVQ(8, 16, kmeans_iterations=0) for _ in range(2))
    quantizer = MultiScaleRVQ([coarse, fine], (2, 1)).eval()
    z = random_latent(3, 8, 24)
    pooled = z.unflatten(-1, (-1, 2)).mean(-1)
    first = coarse.decode(coarse.encode(pooled))
    rest = z - first.repeat_interleave(2, -1)
    second = fine.decode(fine.encode(rest))
    expected = ((pooled - first).pow(2).mean() + (rest - second).pow(2).mean()) / 2
    torch.testing.assert_close(quantizer(z).loss, expected)


def test_levels_learn_what_those_before_left() -> None:
    torch.manual_seed(0)
    quantizer = ema(iterations=10).train()
    z = random_latent(4, 8, 64).repeat_interleave(4, -1) + 0.3 * random_latent(4, 8, 256, seed=1)
    before = z.pow(2).mean()
    for _ in range(3):
        quantizer(z)
    quantizer.eval()
    assert (z - quantizer(z).z).pow(2).mean() < 0.3 * before


def test_refusals() -> None:
    quantizer = factorized_multiscale(8, (4, 2, 1), 16, 4)
    z = random_latent(1, 8, 24)
    codes = quantizer.encode(z)
    wrong_numbers: list[Any] = [1, 3, 8, True, 7.0]
    for number in wrong_numbers:
        with pytest.raises(ValueError, match=f"num_codebooks is {number}; accepted: 7, all slots"):
            quantizer.encode(z, number)
    with pytest.raises(ValueError, match="num_codebooks is 3; accepted: 7"):
        quantizer.decode(codes[:, :3])
    for length in (0, 22):
        with pytest.raises(ValueError, match=f"z has {length} latents; accepted: positive multiples of 4"):
            quantizer.encode(z[..., :length])
    levels = quantizer.levels_of(codes)
    for wrong in ([], levels[:2], [*levels[:2], levels[2][:, 1:]], [levels[0][:, 1:], *levels[1:]]):
        with pytest.raises(ValueError, match="levels have shapes"):
            quantizer.codes_of(wrong)
    for strides in ((4, 3, 1), (1, 2, 4), (4, 2, 0), (4, 2)):
        with pytest.raises(ValueError, match="accepted: "):
            MultiScaleRVQ([FactorizedVQ(8, 16) for _ in range(3)], strides)
    with pytest.raises(ValueError, match="widths"):
        MultiScaleRVQ([FactorizedVQ(8, 16), FactorizedVQ(6, 16)], (2, 1))
