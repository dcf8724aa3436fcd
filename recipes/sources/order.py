"""The order in which recordings of shards are seen: a function of the seed and the example's index."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Block(NamedTuple):
    """`length` recordings from number `start` on of an epoch's order, which are read together."""

    epoch: int
    start: int
    length: int


class Place(NamedTuple):
    """Where an example's recording is: the `item`-th of a block, and the lane that reads the block."""

    lane: int
    block: Block
    item: int


class Stretch(NamedTuple):
    """`length` recordings of a shard, from number `start` on."""

    shard: int
    start: int
    length: int


class ShardOrder:
    """An endless order of recordings in shards, each once an epoch.

    Every epoch has an order of shards of its own, which lanes divide into even parts; a lane gives its part
    block after block, each in a random order of its own. `run` examples in turn are of one lane, the next of
    the next: with a run for each rank's batch, and as many lanes as ranks times workers, a worker has a lane
    for itself. A lane is over by one recording sooner or later than another, and goes on with its next epoch.

    counts: recordings of each shard. shuffle: of each block.
    """

    def __init__(self, counts: Sequence[int], lanes: int, run: int, shuffle: int, seed: int = 0) -> None:
        self.counts, self.total = np.asarray(counts, dtype=np.int64), int(sum(counts))
        if not 1 <= lanes <= self.total:
            raise ValueError(f"lanes are {lanes}; accepted: 1 to the {self.total} recordings of the shards")
        self.lanes, self.run, self.shuffle, self.seed = lanes, run, shuffle, seed

    def place(self, index: int) -> Place:
        """Where the recording of example `index`, 0 or more, is."""
        turn, offset = divmod(index, self.run)
        lane = turn % self.lanes
        first, size = self._part(lane)
        epoch, position = divmod(turn // self.lanes * self.run + offset, size)
        start = position - position % self.shuffle
        length = min(self.shuffle, size - start)
        shuffled = np.random.default_rng((self.seed, epoch, first + start)).permutation(length)
        return Place(lane, Block(epoch, first + start, length), int(shuffled[position - start]))

    def stretches(self, block: Block) -> Iterator[Stretch]:
        """What to read for a block."""
        shards = np.random.default_rng((self.seed, block.epoch)).permutation(len(self.counts))
        ends = np.cumsum(self.counts[shards])
        position, end = block.start, block.start + block.length
        while position < end:
            rank = int(np.searchsorted(ends, position, side="right"))
            shard = int(shards[rank])
            count = min(end, int(ends[rank])) - position
            yield Stretch(shard, position - int(ends[rank] - self.counts[shard]), count)
            position += count

    def _part(self, lane: int) -> tuple[int, int]:
        """The first of a lane's recordings, and how many there are."""
        size, more = divmod(self.total, self.lanes)
        return lane * size + min(lane, more), size + (lane < more)
