"""Random crops of recordings that come from shards."""

import warnings
from collections.abc import Iterator
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vocable.codecs import audio
from vocable.codecs.signal import repeated
from vocable.recipes.crops import ATTEMPTS, amplified, cut, voiced
from vocable.recipes.sources.order import Block, Place, ShardOrder
from vocable.recipes.sources.shards import Recording, Shards


class ShardCrops(Dataset[Tensor]):
    """Endless crops (C, samples), one of each recording an epoch; a recording that is shorter is repeated.

    Which recording and where it is cut is a function of the order's seed and the example's index alone.
    Examples asked for one after another cost little: the shard is open already. Any other opens it anew.
    A recording that can't be read gives way to another of its block.

    gain_db: the range of a random gain, which never clips. voiced_db: the level below which a recording is
        cut anew.
    """

    def __init__(
        self,
        shards: Shards,
        order: ShardOrder,
        samples: int,
        sample_rate: int,
        channels: int = 1,
        gain_db: tuple[float, float] = (0.0, 0.0),
        voiced_db: float = -40.0,
    ) -> None:
        self.shards, self.order, self.samples = shards, order, samples
        self.sample_rate, self.channels = sample_rate, channels
        self.gain_db, self.voiced_db = gain_db, voiced_db
        self._blocks: dict[int, tuple[Block, list[Recording]]] = {}  # by lane
        self._open: dict[int, tuple[int, int, Iterator[Recording]]] = {}  # by lane: shard, position, the rest
        self._broken = torch.zeros(1, dtype=torch.int64).share_memory_()  # with the loader's workers

    @property
    def broken(self) -> int:
        """How often a recording couldn't be read so far."""
        return int(self._broken)

    def __getitem__(self, index: int) -> Tensor:
        """Example `index`, 0 or more, without end: (C, samples)."""
        place = self.order.place(index)
        rng = np.random.default_rng((self.order.seed, index))
        recordings = self._read(place)
        for attempt in range(ATTEMPTS):
            recording = recordings[(place.item + attempt) % len(recordings)]
            try:
                wav = voiced(partial(self._crop, recording, rng), self.voiced_db)
            except (ValueError, OSError) as error:
                self._broken += 1
                warnings.warn(f"skipped: {error}", stacklevel=2)
                continue
            return amplified(repeated(wav, self.samples), rng.uniform(*self.gain_db))
        raise ValueError(f"{ATTEMPTS} broken recordings in a row, the first one {recordings[place.item]}")

    def _crop(self, recording: Recording, rng: np.random.Generator) -> Tensor:
        wav = cut(recording, self.samples, rng.random(), self.sample_rate)
        return audio.to_channels(wav, self.channels)

    def _read(self, place: Place) -> list[Recording]:
        """The recordings of a block."""
        known, recordings = self._blocks.get(place.lane, (None, []))
        if known != place.block:
            self._blocks.pop(place.lane, None)  # its memory is free before the next is read
            recordings = []
            for stretch in self.order.stretches(place.block):
                found = list(islice(self._reader(place.lane, stretch.shard, stretch.start), stretch.length))
                if len(found) < stretch.length:
                    name, counted = self.shards.names[stretch.shard], self.order.counts[stretch.shard]
                    end = stretch.start + len(found)
                    raise ValueError(f"{name} holds {end} recordings; accepted: {counted}, as were counted")
                recordings += found
                shard, _, rest = self._open[place.lane]
                self._open[place.lane] = shard, stretch.start + stretch.length, rest
            self._blocks[place.lane] = place.block, recordings
        return recordings

    def _reader(self, lane: int, shard: int, start: int) -> Iterator[Recording]:
        """A shard's recordings from number `start` on: those that the lane has open, if they are these."""
        opened, position, rest = self._open.get(lane, (-1, 0, iter(())))
        if (opened, position) != (shard, start):
            rest = self.shards.read(shard, start)
            self._open[lane] = shard, start, rest
        return rest
