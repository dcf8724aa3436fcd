import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vocable.quantizers.fsq import FSQ

LEVELS = [(3,), (8,), (5, 5, 5), (8, 6, 5), (4, 4, 4, 4), (8, 5, 5, 5), (7, 6, 5, 4, 3), (16, 15)]


def random_latent(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(levels=st.lists(st.integers(2, 12), min_size=1, max_size=5).map(tuple), seed=st.integers(0, 999))
def test_every_code_survives_decode_and_encode(levels, seed):
    fsq = FSQ(len(levels), levels)
    size = math.prod(levels)
    assert fsq.codebook_sizes == (size,)
    drawn = torch.randint(size, (64,), generator=torch.Generator().manual_seed(seed))
    codes = torch.cat([torch.tensor([0, size - 1]), drawn])[None, None]
    values = fsq.decode(codes)
    assert values.abs().max() <= 1
    # undo the bound: the latent whose coordinates are the values exactly
    n = torch.tensor(levels)[:, None].double()
    half, offset = (n - 1) * 1.001 / 2, (n % 2 == 0) * 0.5
    shift = torch.where(n > 2, torch.atanh(offset / half), 0)
    z = torch.atanh((values.double() * (n // 2) + offset) / half) - shift
    assert torch.equal(fsq.double().encode(z), codes)


@settings(max_examples=40, deadline=None)
@given(
    levels=st.lists(st.integers(2, 1500), min_size=1, max_size=4).map(tuple),
    scale=st.sampled_from([0.1, 1.0, 100.0]),
)
def test_any_latent_gives_a_valid_code(levels, scale):
    fsq = FSQ(6, levels).eval()
    z = scale * random_latent(2, 6, 30)
    codes, out = fsq.encode(z), fsq(z)
    assert torch.equal(out.codes, codes)
    # decode refuses codes out of range
    torch.testing.assert_close(out.z, fsq.decode(codes), atol=1e-6, rtol=0)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("projected", [False, True])
def test_equals_vector_quantize_pytorch(levels, projected):
    peer = pytest.importorskip("vector_quantize_pytorch")
    dim = len(levels) + 3 if projected else len(levels)
    theirs, ours = peer.FSQ(levels=list(levels), dim=dim), FSQ(dim, levels)
    assert isinstance(ours.in_proj, nn.Conv1d) == projected
    if isinstance(ours.in_proj, nn.Conv1d) and isinstance(ours.out_proj, nn.Conv1d):
        for mine, other in ((ours.in_proj, theirs.project_in), (ours.out_proj, theirs.project_out)):
            mine.weight.data.copy_(other.weight[..., None])
            assert mine.bias is not None
            mine.bias.data.copy_(other.bias)
    a, b = ((2 * random_latent(3, dim, 200)).requires_grad_() for _ in range(2))
    quantized, codes = theirs(a.transpose(1, 2))
    out = ours(b)
    assert torch.equal(out.codes[:, 0], codes.long())
    torch.testing.assert_close(out.z, quantized.transpose(1, 2), atol=1e-6, rtol=0)
    decoded = theirs.indices_to_codes(codes).transpose(1, 2)
    torch.testing.assert_close(ours.decode(out.codes), decoded, atol=1e-6, rtol=0)
    weights = random_latent(3, dim, 200, seed=1)
    (quantized.transpose(1, 2) * weights).sum().backward()
    (out.z * weights).sum().backward()
    torch.testing.assert_close(b.grad, a.grad, atol=1e-5, rtol=1e-4)


def test_two_levels_are_the_sign():
    fsq = FSQ(1, (2,))
    z = torch.tensor([[[-3.0, -0.1, 0.1, 3.0]]])
    assert fsq.encode(z).tolist() == [[[0, 0, 1, 1]]]
    assert fsq.decode(fsq.encode(z)).tolist() == [[[-1, -1, 0, 0]]]


def test_gradient_is_that_of_the_bound():
    """For odd L the output is tanh(z) (L - 1) / 2 * 1.001 / (L // 2), rounded straight-through."""
    z = random_latent(2, 3, 20).requires_grad_()
    FSQ(3, (5, 5, 5))(z).z.sum().backward()
    torch.testing.assert_close(z.grad, 1.001 * (1 - torch.tanh(z.detach()) ** 2))


def test_loss_is_zero_and_metrics_are_cheap_for_huge_codebooks():
    out = FSQ(12, (64,) * 10)(random_latent(2, 12, 50))
    assert out.loss.item() == 0
    assert out.metrics["perplexity"].item() == pytest.approx(100)


def test_autocast_changes_nothing_but_the_dtype():
    fsq, z = FSQ(8, (8, 5, 5)), random_latent(2, 8, 40).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = fsq(z)
    assert out.z.dtype == torch.bfloat16
    assert torch.equal(out.codes, fsq.encode(z.float()))


@pytest.mark.parametrize("levels", [(), (1, 4), (2**32, 2**31)])
def test_bad_levels(levels):
    with pytest.raises(ValueError, match="levels are"):
        FSQ(4, levels)


def test_bad_codes():
    fsq = FSQ(2, (3, 3))
    with pytest.raises(ValueError, match=r"codes lie in 9\.\.9"):
        fsq.decode(torch.full((1, 1, 4), 9))
    with pytest.raises(ValueError, match=r"accepted: torch\.int64"):
        fsq.decode(torch.zeros(1, 4))
