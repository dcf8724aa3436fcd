"""Recordings in shards, each of which is read from its front, as large corpora are stored."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from vocable.codecs.files import replacing
from vocable.codecs.manifest import each_file


class Recording(io.BytesIO):
    """An audio file, encoded, in memory; `name` tells where it came from."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name

    def __str__(self) -> str:
        return self.name


class Shards:
    """Recordings in shards, streamed. A subclass names its shards, and reads one of them.

    shuffle: recordings that are read together and given in random order; so many are kept in memory.
    lanes: readers that go through the shards side by side, a multiple of ranks times workers for none of them
        to read what is another's. The order depends on them, so set them for a run that may go on with other
        ranks or workers. None: ranks times workers.
    index: a JSON file of how many recordings each shard holds, written where there is none yet. Without it
        they are counted at every start, for which some kinds of shards are read from end to end.
    """

    def __init__(self, shuffle: int = 256, lanes: int | None = None, index: str | Path | None = None) -> None:
        for name, value in (("shuffle", shuffle), ("lanes", lanes)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; accepted: 1 or more")
        self.shuffle, self.lanes = shuffle, lanes
        self.index = None if index is None else Path(index)

    @property
    def names(self) -> Sequence[str]:
        """Of the shards, each another."""
        raise NotImplementedError

    def read(self, shard: int, start: int = 0) -> Iterator[Recording]:
        """The recordings of a shard, from number `start` on, in the same order every time."""
        raise NotImplementedError

    def count(self, shard: int) -> int:
        """How many recordings a shard holds."""
        return sum(1 for _ in self.read(shard))

    def counts(self) -> list[int]:
        """How many recordings each shard holds: from the index, if there is one."""
        if self.index is not None and self.index.is_file():
            return self._indexed(self.index)
        found = each_file(self.count, range(len(self.names)), "Counting recordings")
        if self.index is not None and None not in found:
            with replacing(self.index) as temporary:
                text = json.dumps(dict(zip(self.names, found, strict=True)), indent=0)
                temporary.write_text(text, encoding="utf-8")
        return [count or 0 for count in found]

    def first(self, count: int | None) -> list[Recording]:
        """The first recordings of all, to validate on; None: all of them."""
        found: list[Recording] = []
        for shard in range(len(self.names)):
            for recording in self.read(shard):
                if len(found) == count:
                    return found
                found.append(recording)
        return found

    def _indexed(self, path: Path) -> list[int]:
        counts = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(counts, dict):
            raise ValueError(f"{path} holds a {type(counts).__name__}; accepted: an object, or no such file")
        if missing := [name for name in self.names if name not in counts]:
            raise ValueError(f"{path} lacks {missing[0]}; accepted: a count for each shard, or no such file")
        return [int(counts[name]) for name in self.names]
