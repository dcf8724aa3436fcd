"""Banded attention against the same attention with a dense mask."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from vocable.codecs.backbones.banded import banded_attention


def dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, left: int, right: int) -> torch.Tensor:
    """The N x N matrix in full: i sees j where i - left <= j <= i + right."""
    i, j = torch.arange(q.shape[-2])[:, None], torch.arange(q.shape[-2])
    return F.scaled_dot_product_attention(q, k, v, attn_mask=(i - left <= j) & (j <= i + right))


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 300), left=st.integers(0, 150), right=st.integers(0, 150))
@example(length=300, left=0, right=0)
@example(length=65, left=0, right=64)
@example(length=256, left=63, right=64)
def test_equals_attention_with_a_dense_mask(length: int, left: int, right: int) -> None:
    generator = torch.Generator().manual_seed(length)
    q, k, v = torch.randn(3, 2, 2, length, 8, generator=generator, dtype=torch.float64)
    expected = dense(q, k, v, left, right)
    torch.testing.assert_close(banded_attention(q, k, v, left, right), expected, rtol=0, atol=1e-12)


def test_frames_outside_the_window_have_no_influence() -> None:
    q, k, v = torch.randn(3, 1, 1, 200, 8, dtype=torch.float64)
    before = banded_attention(q, k, v, 3, 5)
    k[..., 100, :], v[..., 100, :] = 50.0, 50.0
    changed = (banded_attention(q, k, v, 3, 5) - before).abs().amax((0, 1, 3)) > 0
    assert changed.nonzero().flatten().tolist() == list(range(95, 104))


def test_gradients_are_those_of_the_dense_mask() -> None:
    leaves = torch.randn(3, 1, 2, 150, 4, dtype=torch.float64, requires_grad=True)
    q, k, v = leaves
    weights = torch.randn(1, 2, 150, 4, dtype=torch.float64)
    grads = [
        torch.autograd.grad((f(q, k, v, 7, 4) * weights).sum(), leaves)[0] for f in (banded_attention, dense)
    ]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)


def test_no_matrix_of_all_pairs_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    attention = F.scaled_dot_product_attention

    def spy(*args, attn_mask: torch.Tensor, **kwargs):
        sizes.append(attn_mask.numel())
        return attention(*args, attn_mask=attn_mask, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    for length in (1000, 2000):
        q, k, v = torch.randn(3, 1, 1, length, 4)
        banded_attention(q, k, v, 63, 64)
    assert max(sizes) <= 128 * 255
    assert sum(sizes) <= 3000 * 256


def test_bad_window() -> None:
    q = torch.randn(1, 1, 5, 4)
    with pytest.raises(ValueError, match="-1 to the left, 2 to the right; accepted: 0 or more"):
        banded_attention(q, q, q, -1, 2)
