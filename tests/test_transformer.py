"""Rotary embedding and the streaming transformer."""

import math

import pytest
import torch

from vocable.codecs.backbones.rope import rotary, rotate_halves, rotate_pairs, to_pairs


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
