"""The order of examples in training, and where a resumed run goes on in it."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler


class Consecutive(DistributedSampler[int]):
    """The indices of `batches` batches, from batch `start` on.

    A batch of all ranks is consecutive indices, rank 0's first, so that several ranks see in a step what one
    with as large a batch would. A DistributedSampler, because Lightning leaves such a one as it is.
    """

    def __init__(self, batches: int, batch_size: int, num_replicas: int = 1, rank: int = 0) -> None:
        indices: Any = range(batches * batch_size * num_replicas)
        super().__init__(indices, num_replicas, rank, shuffle=False)
        self.batches, self.batch_size = batches, batch_size
        self.start = 0

    def __iter__(self) -> Iterator[int]:
        for batch in range(self.start, self.start + self.batches):
            first = (batch * self.num_replicas + self.rank) * self.batch_size
            yield from range(first, first + self.batch_size)


class ResumableLoader(DataLoader[Tensor]):
    """Counts the batches that it has given, and goes on behind them: in the next epoch, and after a restart.

    Lightning keeps its state in the checkpoint. What workers have prepared but not given doesn't count.
    """

    given = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        assert isinstance(self.sampler, Consecutive)
        self.sampler.start = self.given
        for batch in super().__iter__():
            self.given += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        return {"given": self.given}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.given = state["given"]
