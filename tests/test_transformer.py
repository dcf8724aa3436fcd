"""Rotary embedding, and the transformer: banded, causal, and the same in chunks."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocable.codecs.backbones.rope import rotary, rotate_halves, rotate_pairs, to_pairs
from vocable.codecs.backbones.transformer import CausalTransformer, attend


def test_rotation_is_a_complex_product() -> None:
    torch.manual_seed(0)
    x, positions = torch.randn(2, 3, 5, 8, dtype=torch.float64), torch.arange(7, 12)
    angles = positions[:, None] * 100.0 ** (-torch.arange(4, dtype=torch.float64) / 4)
    turn = torch.polar(torch.ones_like(angles), angles)
    angle = rotary(positions, 8, period=100)
    pairs = torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (4, 2))) * turn).flatten(-2)
    torch.testing.assert_close(rotate_pairs(x, *angle), pairs, rtol=0, atol=1e-5)
    halves = torch.complex(x[..., :4], x[..., 4:]) * turn
    expected = torch.cat([halves.real, halves.imag], -1)
    torch.testing.assert_close(rotate_halves(x, *angle), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rotate", [rotate_pairs, rotate_halves])
def test_products_depend_on_distance_alone_and_the_rest_stays(rotate) -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 10)
    here = rotate(q, *rotary(torch.tensor([3]), 6)) @ rotate(k, *rotary(torch.tensor([1]), 6)).T
    there = rotate(q, *rotary(torch.tensor([903]), 6)) @ rotate(k, *rotary(torch.tensor([901]), 6)).T
    torch.testing.assert_close(here, there, rtol=0, atol=1e-4)
    turned = rotate(q, *rotary(torch.tensor([5]), 6))
    assert torch.equal(turned[:, 6:], q[:, 6:])
    assert not torch.allclose(turned[:, :6], q[:, :6])
    torch.testing.assert_close(turned.norm(), q.norm())
    with pytest.raises(ValueError, match="dim is 5; accepted"):
        rotary(torch.tensor([0]), 5)


def test_weights_of_halves_serve_pairs() -> None:
    torch.manual_seed(0)
    wq, wk, x = torch.randn(12, 5), torch.randn(12, 5), torch.randn(7, 5)
    angle = rotary(torch.arange(7), 6)

    def scores(rotate, wq: torch.Tensor, wk: torch.Tensor) -> torch.Tensor:
        q, k = (rotate((x @ w.T).unflatten(-1, (2, 6)).transpose(0, 1), *angle) for w in (wq, wk))
        return q @ k.transpose(1, 2) / math.sqrt(6)

    expected = scores(rotate_halves, wq, wk)
    torch.testing.assert_close(scores(rotate_pairs, to_pairs(wq, 2), to_pairs(wk, 2)), expected)


def small(context: int, layer_scale: float = 0.5) -> CausalTransformer:
    torch.manual_seed(0)
    layers = CausalTransformer(8, layers=2, heads=2, hidden=12, context=context, layer_scale=layer_scale)
    return layers.double().eval()


@pytest.mark.parametrize("context", [1, 2, 7, 100])
@pytest.mark.parametrize("past", [0, 1, 5])
@pytest.mark.parametrize("count", [1, 7, 20])
def test_blocks_are_the_banded_matrix(context: int, past: int, count: int) -> None:
    torch.manual_seed(0)
    past = min(past, context - 1)
    q, k, v = (torch.randn(2, 3, n, 4, dtype=torch.float64) for n in (count, past + count, past + count))
    age = torch.arange(past, past + count)[:, None] - torch.arange(past + count)
    scores = (q @ k.transpose(2, 3) / 2).masked_fill((age < 0) | (age >= context), -torch.inf)
    torch.testing.assert_close(attend(q, k, v, context), scores.softmax(-1) @ v)


@torch.no_grad()
@settings(max_examples=20, deadline=None)
@given(st.sampled_from([1, 2, 5, 64]), st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_chunks_are_the_whole_signal(context: int, chunks: list[int]) -> None:
    layers = small(context)
    x = torch.randn(2, 8, sum(chunks), dtype=torch.float64)
    state, parts = None, []
    for chunk in x.split(chunks, dim=-1):
        y, state = layers(chunk, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, -1), layers(x)[0], rtol=0, atol=1e-12)
    assert state is not None
    assert state[0].tolist() == [sum(chunks)] * 2
    assert {kept.shape[2] for past in state[1] for kept in past} == {max(context - 1, 1)}


@torch.no_grad()
def test_sees_the_context_and_nothing_ahead() -> None:
    layers = small(context=3)
    x = torch.randn(1, 8, 12, dtype=torch.float64)
    y = layers(x)[0]
    changed = x.clone()
    changed[:, 0, 5] += 1
    moved = (layers(changed)[0] - y).abs().amax((0, 1)) > 1e-12
    # two layers of a context of 3: positions 5 to 5 + 2 * 2
    assert moved.nonzero().flatten().tolist() == [5, 6, 7, 8, 9]


def test_state_is_cut_out_of_the_signal_and_memory_stays_linear() -> None:
    layers = small(context=4)
    with torch.no_grad():
        _, state = layers(torch.randn(1, 8, 1000, dtype=torch.float64))
    assert all(kept.untyped_storage().nbytes() == 3 * 8 * 8 for past in state[1] for kept in past)


def test_gradient_reaches_back_as_far_as_the_context() -> None:
    layers = small(context=4)
    x = torch.randn(1, 8, 20, dtype=torch.float64, requires_grad=True)
    layers(x)[0][..., 15].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().amax((0, 1)).nonzero().flatten().tolist() == list(range(9, 16))
    assert all(p.grad is not None for p in layers.parameters())


def test_refuses() -> None:
    with pytest.raises(ValueError, match="dim is 10 at 2 heads; accepted: multiples of 4"):
        CausalTransformer(10, heads=2)
    with pytest.raises(ValueError, match="context is 0; accepted: 1 or more"):
        CausalTransformer(8, heads=2, context=0)
