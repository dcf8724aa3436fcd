"""Speech, or any audio, for training and validation."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from vocable.codecs import audio
from vocable.codecs.manifest import Clip, Source, each_file, find_clips
from vocable.recipes.crops import ClipSource, Crops, FileClips, MemoryClips


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


class SpeechData(LightningDataModule):
    """Random crops to train on, (B, C, T), and whole utterances to validate on, (1, C, T).

    Example i of a run depends on the seed and i alone, so a resumed run sees what an uninterrupted one would.

    train, valid: a folder, a manifest (CSV, JSONL, LJSpeech's metadata.csv), or a list of these.
    train_where, valid_where: the rows of the manifests to keep, as column -> value.
    batch_size: examples a batch, on each device.
    valid_seconds: utterances are cut to so much. valid_examples: how many, evenly picked; None is all.
    gain_db: the range of a random gain. voiced_db: the level below which a crop is drawn again.
    cache: hold the training audio in memory, decoded; for corpora of a few hours.
    """

    def __init__(
        self,
        train: Source,
        valid: Source | None = None,
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
        self.train, self.valid = train, valid
        self.train_where, self.valid_where = train_where, valid_where
        self.sample_rate, self.channels = sample_rate, channels
        self.crop_samples = max(1, round(crop_seconds * sample_rate))
        self.batch_size, self.batches_per_epoch = batch_size, batches_per_epoch
        self.valid_seconds, self.valid_examples = valid_seconds, valid_examples
        self.gain_db, self.voiced_db = (gain_db[0], gain_db[1]), voiced_db
        self.cache, self.num_workers, self.seed = cache, num_workers, seed
        self.crops: Crops | None = None
        self.utterances: list[Tensor] | None = None
        self._skipped = 0

    @property
    def broken(self) -> int:
        """Files skipped so far because they couldn't be read."""
        return self._skipped + (len(self.crops.broken) if self.crops else 0)

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.crops is None:
            self.crops = self._crops()
        if stage in ("fit", "validate") and self.utterances is None and self.valid is not None:
            self.utterances = self._utterances(self.valid)

    def train_dataloader(self) -> ResumableLoader:
        assert self.crops is not None
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        return ResumableLoader(
            self.crops,
            batch_size=self.batch_size,
            sampler=Consecutive(self.batches_per_epoch, self.batch_size, world, rank),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[Tensor] | list[Any]:
        return DataLoader(self.utterances, batch_size=1) if self.utterances else []

    def _crops(self) -> Crops:
        clips, skipped = find_clips(self.train, self.train_where)
        kind = MemoryClips if self.cache else FileClips
        source: ClipSource = kind(clips, self.sample_rate, self.channels)
        self._skipped += skipped + len(clips) - len(source.clips)
        return Crops(source, self.crop_samples, self.seed, self.gain_db, self.voiced_db)

    def _utterances(self, valid: Source) -> list[Tensor]:
        clips, skipped = find_clips(valid, self.valid_where)
        if self.valid_examples is not None and self.valid_examples < len(clips):
            clips = [clips[i * len(clips) // self.valid_examples] for i in range(self.valid_examples)]
        read = [wav for wav in each_file(self._utterance, clips, "Loading validation") if wav is not None]
        self._skipped += skipped + len(clips) - len(read)
        return read

    def _utterance(self, clip: Clip) -> Tensor:
        frames = max(1, round(self.valid_seconds * audio.info(clip.path).sample_rate))
        return audio.to_channels(audio.read(clip.path, self.sample_rate, 0, frames)[0], self.channels)
