"""Data sets in the layout of Hugging Face's `datasets`, streamed (https://huggingface.co/docs/datasets/stream)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vocable.recipes.sources.shards import Recording, Shards


class HuggingFace(Shards):
    """A split of a data set of the hub, or of local files, read where it lies.

    path: of the hub ("openslr/librispeech_asr"), a folder, or a kind of `data_files` ("parquet", "arrow").
    name: which of a data set's configurations. column: the one that holds the audio.
    shuffle, lanes, index: as of `Shards`. Files other than Parquet are counted by reading them.
    """

    def __init__(
        self,
        path: str,
        split: str = "train",
        name: str | None = None,
        data_files: str | Sequence[str] | Mapping[str, Any] | None = None,
        column: str = "audio",
        shuffle: int = 256,
        lanes: int | None = None,
        index: str | Path | None = None,
    ) -> None:
        super().__init__(shuffle, lanes, index)
        self.path, self.split, self.name, self.data_files = path, split, name, data_files
        self.column = column

    @cached_property
    def dataset(self) -> Any:
        """The stream of encoded audio."""
        from datasets import load_dataset

        found = load_dataset(
            self.path, self.name, data_files=self.data_files, split=self.split, streaming=True
        )
        features = found.features or {}
        if features and self.column not in features:
            raise ValueError(f"{self.path} has no column {self.column}; accepted: {', '.join(features)}")
        return found.decode(False).select_columns([self.column])

    @cached_property
    def files(self) -> list[str]:
        """The files of the split, one a shard where they are Parquet."""
        from datasets import load_dataset_builder

        found = load_dataset_builder(self.path, self.name, data_files=self.data_files).config.data_files
        return list((found or {}).get(self.split, []))

    @property
    def names(self) -> Sequence[str]:
        return [f"{self.path}/{self.name}/{self.split}/{i}" for i in range(self.dataset.num_shards)]

    def count(self, shard: int) -> int:
        if len(self.files) != self.dataset.num_shards or not self.files[shard].endswith(".parquet"):
            return super().count(shard)
        import fsspec
        from pyarrow.parquet import read_metadata

        with fsspec.open(self.files[shard], "rb") as file:
            return read_metadata(file).num_rows

    def read(self, shard: int, start: int = 0) -> Iterator[Recording]:
        part = self.dataset.shard(num_shards=self.dataset.num_shards, index=shard)
        for number, row in enumerate(part.skip(start) if start else part, start):
            audio = row[self.column]
            if not isinstance(audio, Mapping) or not {"bytes", "path"} <= audio.keys():
                kind = type(audio).__name__
                raise ValueError(f"{self.path}: {self.column} is a {kind}; accepted: audio by bytes or path")
            data = audio["bytes"] if audio["bytes"] is not None else Path(audio["path"]).read_bytes()
            # the suffix tells an MP3
            yield Recording(data, f"{self.names[shard]}/{number}/{Path(audio['path'] or '').name}")
