"""Semantic losses against SpeechTokenizer's package and against their definitions."""

import math

import pytest
import torch

from vocable.losses.semantic import correlation, correlation_loss, cosine_loss, d_axis_loss


def pair(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(3, 12, 20, generator=generator)
    return first, first + torch.randn(3, 12, 20, generator=generator)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_d_axis_is_speechtokenizers(seed: int) -> None:
    theirs = pytest.importorskip("speechtokenizer.trainer.loss").d_axis_distill_loss
    features, target = pair(seed)
    features.requires_grad_()
    ours = d_axis_loss(features, target)
    (gradient,) = torch.autograd.grad(ours, features)
    expected = theirs(features.transpose(1, 2), target.transpose(1, 2))
    (expected_gradient,) = torch.autograd.grad(expected, features)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradient, expected_gradient)


def test_d_axis_looks_along_time() -> None:
    target = torch.randn(2, 3, 50)
    scale = torch.tensor([0.1, 1, 10])[:, None]
    assert float(d_axis_loss(scale * target, target)) == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-4)
    assert float(d_axis_loss(-target, target)) == pytest.approx(math.log(1 + math.e), abs=1e-4)


def test_correlation_is_pearsons_and_deaf_to_means() -> None:
    features, target = pair()
    expected = torch.stack(
        [torch.corrcoef(torch.stack(rows))[0, 1] for rows in zip(features[0], target[0], strict=True)]
    )
    torch.testing.assert_close(correlation(features, target)[0], expected)
    offset = 100 * torch.randn(3, 12, 1)
    same = correlation_loss(features + offset, 3 * target - offset)
    torch.testing.assert_close(same, correlation_loss(features, target), atol=1e-4, rtol=0)
    centred = [x - x.mean(2, keepdim=True) for x in (features, target)]
    torch.testing.assert_close(correlation_loss(features, target), d_axis_loss(*centred))


def test_cosine_looks_along_the_features() -> None:
    target = torch.randn(2, 3, 50)
    gain = torch.rand(2, 1, 50) + 0.1
    assert float(cosine_loss(gain * target, target)) == pytest.approx(0, abs=1e-5)
    assert float(cosine_loss(-gain * target, target)) == pytest.approx(2, abs=1e-5)
    features, target = pair()
    dot = (features * target).sum(1) / (features.norm(dim=1) * target.norm(dim=1))
    torch.testing.assert_close(cosine_loss(features, target), 1 - dot.mean())
