"""The loss balancer of EnCodec (https://arxiv.org/abs/2210.13438, section 3.4)."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Balancer(nn.Module):
    """Makes a loss's weight its share of the gradient, whatever the loss's own scale.

    The gradient of every loss with respect to the output is divided by the moving average of its norm:
    g = total_norm * sum_k w_k / sum(w) * g_k / mean ||g_k||, the norm taken of each item of the batch.

    >>> balancer = Balancer({"mel": 2.0, "features": 4.0})
    >>> wav = torch.zeros(2, 1, 8, requires_grad=True)
    >>> balancer({"mel": wav.sum(), "features": 100 * wav.sum()}, wav).backward()
    >>> round(float(wav.grad.norm(dim=(1, 2)).mean()), 4)
    1.0

    Losses may come in later, or pause: the weights are those of the losses given. The averages are buffers,
    the same on every rank, so that a checkpoint of any rank resumes exactly.
    """

    norms: Tensor
    counts: Tensor

    def __init__(
        self, weights: dict[str, float], total_norm: float = 1.0, decay: float = 0.999, epsilon: float = 1e-12
    ):
        super().__init__()
        self.weights = dict(sorted(weights.items()))  # the buffers' order, whatever the order given
        self.total_norm, self.decay, self.epsilon = total_norm, decay, epsilon
        self.register_buffer("norms", torch.zeros(len(weights)))
        self.register_buffer("counts", torch.zeros(len(weights)))

    def forward(self, losses: dict[str, Tensor], wav: Tensor) -> Tensor:
        """A scalar with the balanced gradient at `wav` (B, C, T), whose value means nothing: add to it the
        losses that are not the output's, such as the quantizer's, and run one backward pass."""
        return (wav.float() * self.gradient(losses, wav)).sum()

    def gradient(self, losses: dict[str, Tensor], wav: Tensor) -> Tensor:
        """The balanced gradient (B, C, T), float32, of named scalar losses; updates the moving averages."""
        self.check(losses)
        total = sum(self.weights[name] for name in losses)
        gradients = [torch.autograd.grad(loss, wav, retain_graph=True)[0].float() for loss in losses.values()]
        norms = self.update(list(losses), torch.stack([g.flatten(1).norm(dim=1) for g in gradients]))
        scales = [self.total_norm * self.weights[name] / total for name in losses]
        terms = zip(scales, gradients, norms, strict=True)
        return torch.stack([scale * g / (self.epsilon + norm) for scale, g, norm in terms]).sum(0)

    @torch.no_grad()
    def update(self, names: list[str], norms: Tensor) -> Tensor:
        """Average the norms (losses, B) over the items of all ranks, then over time: (losses,)."""
        index = torch.tensor([list(self.weights).index(name) for name in names], device=self.norms.device)
        mean = item_mean(norms).to(self.norms)
        self.norms[index] = self.decay * self.norms[index] + mean
        self.counts[index] = self.decay * self.counts[index] + 1
        return self.norms[index] / self.counts[index]

    @property
    def average_norms(self) -> dict[str, Tensor]:
        """The moving average of each loss's gradient norm, to log; NaN for a loss not seen yet."""
        return dict(zip(self.weights, self.norms / self.counts, strict=True))

    def check(self, losses: dict[str, Tensor]) -> None:
        if not losses or not losses.keys() <= self.weights.keys():
            raise ValueError(f"losses are {list(losses)}; accepted: some of {list(self.weights)}")


def item_mean(values: Tensor) -> Tensor:
    """Mean (n,) of values (n, B) over the items of every rank."""
    count = values.new_full((1,), values.shape[1])
    sums = torch.cat([values.sum(dim=1), count])
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(sums)
    return sums[:-1] / sums[-1]
