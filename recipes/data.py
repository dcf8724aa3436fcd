"""Speech, or any audio, for training and validation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from vocable.codecs import audio
from vocable.codecs.manifest import Source, each_file, find_clips
from vocable.recipes.crops import ClipSource, Crops, FileClips, MemoryClips
from vocable.recipes.loader import Consecutive, ResumableLoader
from vocable.recipes.sources.crops import ShardCrops
from vocable.recipes.sources.order import ShardOrder
from vocable.recipes.sources.shards import Shards


@runtime_checkable
class Corpus(Protocol):
    """A published corpus, which knows where its files are."""

    def prepare(self) -> None:
        """Called once on each machine, before `files`."""
        ...

    def files(self) -> list[Path]:
        """Its audio files, always in the same order."""
        ...


class SpeechData(LightningDataModule):
    """Random crops to train on, (B, C, T), and whole utterances to validate on, (1, C, T).

    Example i of a run depends on the seed and i alone, so a resumed run sees what an uninterrupted one would.
    From files crops are drawn by their durations; of shards each recording gives one an epoch.

    train, valid: a folder, a manifest (CSV, JSONL, LJSpeech's metadata.csv), or a list of these; a corpus or
        shards of `vocable.recipes.sources`.
    train_where, valid_where: the rows of the manifests to keep, as column -> value.
    batch_size: examples a batch, on each device.
    valid_seconds: utterances are cut to so much. valid_examples: how many, evenly picked, or the
        first of shards; None is all.
    gain_db: the range of a random gain. voiced_db: the level below which a crop is drawn again.
    cache: hold the training audio in memory, decoded; for corpora of a few hours.
    """

    def __init__(
        self,
        train: Source | Corpus | Shards,
        valid: Source | Corpus | Shards | None = None,
        train_where: Mapping[str, object] | None = None,
        valid_where: Mapping[str, object] | None = None,
        sample_rate: int = 16000,
        channels: int = 1,
        crop_seconds: float = 1.0,
        batch_size: int = 16,
        batches_per_epoch: int = 1000,
        valid_seconds: float = 10.0,
        valid_examples: int | None = None,
        gain_db: tuple[float, float] = (0.0, 0.0),
        voiced_db: float = -40.0,
        cache: bool = False,
        num_workers: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        positive = {
            "sample_rate": sample_rate,
            "channels": channels,
            "crop_seconds": crop_seconds,
            "batch_size": batch_size,
            "batches_per_epoch": batches_per_epoch,
            "valid_seconds": valid_seconds,
        }
        for name, value in positive.items():
            if value <= 0:
                raise ValueError(f"{name} is {value}; accepted: above 0")
        if len(gain_db) != 2 or gain_db[0] > gain_db[1]:
            raise ValueError(f"gain_db is {gain_db}; accepted: (lowest, highest)")
        if isinstance(train, Shards) and (cache or train_where):
            raise ValueError(f"cache is {cache}, train_where {train_where}; accepted of shards: False, None")
        self.train, self.valid = train, valid
        self.train_where, self.valid_where = train_where, valid_where
        self.sample_rate, self.channels = sample_rate, channels
        self.crop_samples = max(1, round(crop_seconds * sample_rate))
        self.batch_size, self.batches_per_epoch = batch_size, batches_per_epoch
        self.valid_seconds, self.valid_examples = valid_seconds, valid_examples
        self.gain_db, self.voiced_db = (gain_db[0], gain_db[1]), voiced_db
        self.cache, self.num_workers, self.seed = cache, num_workers, seed
        self.crops: Crops | ShardCrops | None = None
        self.utterances: list[Tensor] | None = None
        self._skipped = 0

    @property
    def broken(self) -> int:
        """Files skipped so far because they couldn't be read."""
        if isinstance(self.crops, Crops):
            return self._skipped + len(self.crops.broken)
        return self._skipped + (self.crops.broken if self.crops else 0)

    def prepare_data(self) -> None:
        """Once on each machine: downloads, and the index of shards."""
        for source in (self.train, self.valid):
            if isinstance(source, Corpus):
                source.prepare()
        if isinstance(self.train, Shards) and self.train.index is not None:
            self.train.counts()

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.crops is None:
            train = self.train
            self.crops = self._streamed(train) if isinstance(train, Shards) else self._crops(train)
        if stage in ("fit", "validate") and self.utterances is None and self.valid is not None:
            self.utterances = self._utterances(self.valid)

    def train_dataloader(self) -> ResumableLoader:
        assert self.crops is not None
        world, rank = self._ranks()
        return ResumableLoader(
            self.crops,
            batch_size=self.batch_size,
            sampler=Consecutive(self.batches_per_epoch, self.batch_size, world, rank),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Tensor] | list[Any]:
        utterances: Any = self.utterances
        return DataLoader(utterances, batch_size=1) if utterances else []

    def _ranks(self) -> tuple[int, int]:
        """How many ranks there are, and which this is."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _streamed(self, shards: Shards) -> ShardCrops:
        lanes = shards.lanes or self._ranks()[0] * max(1, self.num_workers)
        order = ShardOrder(shards.counts(), lanes, self.batch_size, shards.shuffle, self.seed)
        form = (self.crop_samples, self.sample_rate, self.channels)
        return ShardCrops(shards, order, *form, self.gain_db, self.voiced_db)

    def _crops(self, train: Source | Corpus) -> Crops:
        clips, skipped = find_clips(_files(train), self.train_where)
        kind = MemoryClips if self.cache else FileClips
        source: ClipSource = kind(clips, self.sample_rate, self.channels)
        self._skipped += skipped + len(clips) - len(source.clips)
        return Crops(source, self.crop_samples, self.seed, self.gain_db, self.voiced_db)

    def _utterances(self, valid: Source | Corpus | Shards) -> list[Tensor]:
        if isinstance(valid, Shards):
            files: list[Any] = valid.first(self.valid_examples)
        else:
            clips, skipped = find_clips(_files(valid), self.valid_where)
            files = [clip.path for clip in clips]
            self._skipped += skipped
        if self.valid_examples is not None and self.valid_examples < len(files):
            files = [files[i * len(files) // self.valid_examples] for i in range(self.valid_examples)]
        read = [wav for wav in each_file(self._utterance, files, "Loading validation") if wav is not None]
        self._skipped += len(files) - len(read)
        return read

    def _utterance(self, file: Path | BinaryIO) -> Tensor:
        frames = max(1, round(self.valid_seconds * audio.info(file).sample_rate))
        return audio.to_channels(audio.read(file, self.sample_rate, 0, frames)[0], self.channels)


def _files(source: Source | Corpus) -> Source:
    return source.files() if isinstance(source, Corpus) else source
