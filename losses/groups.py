"""Adversarial losses of several discriminators at once, each normalised in its own way."""

from collections.abc import Callable

from torch import Tensor

Loss = Callable[..., Tensor]


class Averaged:
    """A loss of lists over sub-discriminators, divided by how many these are (X-codec, vocos).

    >>> import torch
    >>> from vocable.losses.adversarial import least_squares_generator_loss
    >>> fake = [torch.zeros(2, 1, 9), torch.zeros(2, 1, 7)]
    >>> float(least_squares_generator_loss(fake)), float(Averaged(least_squares_generator_loss)(fake))
    (2.0, 1.0)
    """

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def __call__(self, *outputs: list) -> Tensor:
        return self.loss(*outputs) / len(outputs[0])


class Grouped:
    """The sum of `losses`, each of its own part of the lists over sub-discriminators.

    sizes: how many sub-discriminators each loss judges. WavTokenizer plays hinge with vocos's multi-period
    and multi-resolution discriminators, an average each, and least squares with DAC's:
    `Grouped((5, 3, 8), (hinge, hinge, least_squares))`.
    """

    def __init__(self, sizes: tuple[int, ...], losses: tuple[Loss, ...]) -> None:
        if len(sizes) != len(losses) or not sizes:
            raise ValueError(
                f"sizes has {len(sizes)} values and losses {len(losses)}; accepted: as many, at least 1"
            )
        self.sizes, self.losses = tuple(sizes), tuple(losses)

    def __call__(self, *outputs: list) -> Tensor:
        found = len(outputs[0])
        if found != sum(self.sizes):
            raise ValueError(f"there are {found} sub-discriminators; accepted: sizes {self.sizes} of them")
        total, start = [], 0
        for size, loss in zip(self.sizes, self.losses, strict=True):
            total.append(loss(*(output[start : start + size] for output in outputs)))
            start += size
        return sum(total[1:], total[0])
