"""A linear probe: logistic regression."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

PENALTY = 1e-4
RANK_FROM = 4096  # rows that show how many dimensions the inputs have


class Probe(NamedTuple):
    """Weights (classes, r) and bias (classes,) for inputs (M, D) standardised and turned by `axes` (D, r)."""

    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor
    axes: Tensor | None

    def guess(self, x: Tensor) -> Tensor:
        """The likeliest class (M,) of inputs (M, D)."""
        return F.linear(_turn((x - self.mean) / self.scale, self.axes), self.weight, self.bias).argmax(1)


def fit_probe(x: Tensor, y: Tensor, classes: int) -> Probe:
    """Fit to inputs (M, D) of classes (M,), with PENALTY / 2 times the squared weights added to the loss."""
    deviation, mean = torch.std_mean(x, dim=0) if len(x) > 1 else (torch.zeros_like(x[0]), x[0])
    scale = deviation.clamp(min=1e-6)
    x = (x - mean) / scale
    axes = _axes(x)
    x = _turn(x, axes)
    weight = torch.zeros(classes, x.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(x, weight, bias), y) + PENALTY * weight.square().sum() / 2
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]
    return Probe(weight.detach(), bias.detach(), mean, scale, axes)


def _turn(x: Tensor, axes: Tensor | None) -> Tensor:
    return x if axes is None else x @ axes


def _axes(x: Tensor) -> Tensor | None:
    """Orthonormal axes (D, r) that hold inputs (M, D), None where they need more than half of D.

    The optimum is the same on them: a turn changes no weights' length. A factorised codebook's latents have
    8 dimensions in a thousand, say, and a hundredth of the work.
    """
    some = x[:RANK_FROM].double()
    values, vectors = torch.linalg.eigh(some.T @ some)
    kept = values > 1e-10 * values[-1]
    if int(kept.sum()) > x.shape[1] / 2:
        return None
    axes = vectors[:, kept].to(x.dtype)
    lost = (x - (x @ axes) @ axes.T).abs().max()  # of rows that those did not show
    return axes if lost < 1e-3 else None
