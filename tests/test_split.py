"""The split residual quantizer: against its parts, its gradients, and what training leaves unquantized."""

import pytest
import torch

from vocable.quantizers.rvq import ema_rvq
from vocable.quantizers.split import SplitRVQ


@pytest.fixture
def split() -> SplitRVQ:
    torch.manual_seed(0)
    quantizer = SplitRVQ(ema_rvq(6, 1, 16), ema_rvq(4, 3, 12), dim=8)
    for part in (quantizer.first, quantizer.rest):
        for k in range(part.num_codebooks):
            part.get_buffer(f"layers.{k}.inited").fill_(1)
            part.get_buffer(f"layers.{k}.embed").normal_()
    return quantizer.eval()


def test_codes_are_those_of_both_stacks_and_outputs_add(split: SplitRVQ) -> None:
    z = torch.randn(2, 8, 50)
    assert split.codebook_sizes == (16, 12, 12, 12)
    quantized = split(z)
    first, rest = split.first.encode(split.first_in(z)), split.rest.encode(split.rest_in(z))
    assert torch.equal(quantized.codes, torch.cat([first, rest], 1))
    assert torch.equal(quantized.codes, split.encode(z))
    expected = split.first_out(split.first.decode(first)) + split.rest_out(split.rest.decode(rest))
    torch.testing.assert_close(quantized.z, expected)
    torch.testing.assert_close(split.decode(quantized.codes), quantized.z)
    losses = torch.stack([split.first(split.first_in(z)).loss, split.rest(split.rest_in(z)).loss])
    torch.testing.assert_close(quantized.loss, (losses * torch.tensor([1 / 4, 3 / 4])).sum())


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_fewer_codebooks_are_the_first_of_all(split: SplitRVQ, count: int) -> None:
    z = torch.randn(2, 8, 20)
    codes = split.encode(z, count)
    assert torch.equal(codes, split.encode(z)[:, :count])
    quantized = split(z, count)
    assert torch.equal(quantized.codes, codes)
    torch.testing.assert_close(split.decode(codes), quantized.z)
    if count == 1:
        torch.testing.assert_close(quantized.z, split.first_out(split.first.decode(codes)))


def test_refuses(split: SplitRVQ) -> None:
    with pytest.raises(ValueError, match="num_codebooks is 5; accepted: 1 to 4"):
        split(torch.randn(1, 8, 3), 5)
    with pytest.raises(ValueError, match=r"codes lie in 0\.\.12"):
        split.decode(torch.tensor([0, 12])[None, :, None])
    with pytest.raises(ValueError, match=r"unquantized is 1.5; accepted: 0 to 1"):
        SplitRVQ(ema_rvq(2, 1, 4), ema_rvq(2, 1, 4), dim=2, unquantized=1.5)


def test_gradient_goes_through_the_projections_alone(split: SplitRVQ) -> None:
    z = torch.randn(2, 8, 5, requires_grad=True)
    weight = torch.randn(2, 8, 5)
    (split(z).z * weight).sum().backward()
    first = split.first_out.weight[..., 0] @ split.first_in.weight[..., 0]
    rest = split.rest_out.weight[..., 0] @ split.rest_in.weight[..., 0]
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.einsum("od,bon->bdn", first + rest, weight))


def test_in_training_some_items_stay_unquantized(split: SplitRVQ) -> None:
    split.unquantized = 0.5
    split.train()
    z = torch.randn(64, 8, 5)
    bare = split.first_out(split.first_in(z)) + split.rest_out(split.rest_in(z))
    before = split.get_buffer("first.layers.0.embed_avg").clone()
    quantized = split(z)
    same = torch.isclose(quantized.z, bare, atol=1e-6).flatten(1).all(1)
    assert 16 < int(same.sum()) < 48  # of 64: four deviations either way
    assert quantized.codes.shape == (64, 4, 5)
    assert not torch.equal(split.get_buffer("first.layers.0.embed_avg"), before)
    chosen = split(z, 4).z
    assert not torch.isclose(chosen, bare, atol=1e-6).flatten(1).all(1).any()
    assert torch.equal(split.eval()(z).z, split(z).z)
