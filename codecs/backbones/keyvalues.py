"""What a causal transformer keeps of the past: keys and values in a ring, of each item at its own place.

Position p stands in slot p modulo the number of slots, so that those kept are never moved, signals that
began at different times share a batch, and the state has one shape from the first chunk on.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor


def slots(context: int) -> int:
    """How many positions are kept where each sees `context - 1` before it: these, but 1 at the least."""
    return max(1, context - 1)


class KeyValues(NamedTuple):
    """Keys and values (B, H, R, d) of the R positions before; those not yet there are 0."""

    keys: Tensor
    values: Tensor

    @classmethod
    def of(cls, k: Tensor, v: Tensor, count: int) -> Self:
        """What stays of a signal's first positions, k and v (B, H, N, d), in `count` slots."""
        last = k.shape[2] - 1
        position = last - (last - torch.arange(count, device=k.device)) % count  # the latest in each slot
        return cls(*(x[:, :, position.clamp(min=0)] * (position >= 0)[:, None] for x in (k, v)))

    def put(self, k: Tensor, v: Tensor, written: Tensor) -> Self:
        """With k and v (B, H, N, d) in the slots `written` (B, N): copies, the old ones stay as they are."""
        return type(self)(*(x.scatter(2, i, new) for x, i, new in self._changes(k, v, written)))

    def _changes(self, k: Tensor, v: Tensor, written: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        # of more positions than slots the last ones stay
        count = min(written.shape[1], self.keys.shape[2])
        new = [x[:, :, x.shape[2] - count :].to(self.keys.dtype) for x in (k, v)]
        index = written[:, None, written.shape[1] - count :, None].expand_as(new[0])
        return [(old, index, part) for old, part in zip(self, new, strict=True)]


class OwnKeyValues(KeyValues):
    """Keys and values that nobody else holds: written in place, so that the work is that of what is new."""

    def put(self, k: Tensor, v: Tensor, written: Tensor) -> Self:
        """With k and v (B, H, N, d) in the slots `written` (B, N): the same tensors."""
        for old, index, new in self._changes(k, v, written):
            old.scatter_(2, index, new)
        return self


class Past(NamedTuple):
    """Where the next N positions stand to those kept, the same for all layers.

    unseen: (B, 1, N, R + N), true where a query does not see a key, of those kept and the N new ones.
    written: (B, N), the slots that the new ones go to.
    """

    unseen: Tensor
    written: Tensor

    @classmethod
    def at(cls, position: Tensor, count: int, context: int) -> Self:
        """The next `count` positions from `position` (B,) on."""
        ring, device = slots(context), position.device
        steps = position[:, None] + torch.arange(count, device=device)
        last = position[:, None] - 1
        kept = last - (last - torch.arange(ring, device=device)) % ring  # the latest in each slot
        there = torch.cat([kept, steps], 1)[:, None]
        age = steps[:, :, None] - there
        unseen = (age < 0) | (age >= context) | (there < 0)
        return cls(unseen[:, None], steps % ring)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, kept: KeyValues) -> Tensor:
        """Attention of q to what is kept and to k, v, each (B, H, N, d), to (B, H, N, d)."""
        keys, values = kept
        # two products instead of one: joining the keys would cost more than the attention
        scores = torch.cat([q @ keys.transpose(2, 3), q @ k.transpose(2, 3)], -1) * q.shape[-1] ** -0.5
        weights = scores.masked_fill_(self.unseen, -torch.inf).softmax(-1)
        ring = keys.shape[2]
        return weights[..., :ring] @ values + weights[..., ring:] @ v
