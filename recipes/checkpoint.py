"""Checkpoints that a kill at any moment, or a full disk, leaves whole."""

import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor


class CheckpointNotWrittenError(OSError):
    """The disk is full, or took no more for another reason; the checkpoint before is whole."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, to disk, and renames: Lightning's own may copy across file systems."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        target = Path(path)
        part = target.with_suffix(".part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                _dump(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError as error:
            part.unlink(missing_ok=True)  # what it holds is of no use, and its space may be
            free = shutil.disk_usage(_existing(target.parent)).free / 1e6
            kept = "the one before is whole" if target.is_file() else "there is none before it"
            raise CheckpointNotWrittenError(
                error.errno,
                f"checkpoint not written: {error.strerror}, {free:.1f} MB free on its disk; {kept}",
                str(target),
            ) from error


class Checkpoints(Callback):
    """`last.ckpt` every `every` steps, `step-N.ckpt`, which stays, every `keep_every`; last.ckpt at the end.

    before_validation: another last.ckpt every so many steps, so that a run ended in a validation loses none.
    Lightning's ModelCheckpoint warns of, and may alter, the weights it saves under manual optimisation.
    """

    def __init__(
        self,
        folder: str | Path,
        every: int,
        keep_every: int | None = None,
        before_validation: int | None = None,
    ) -> None:
        self.folder, self.every, self.keep_every = Path(folder), every, keep_every
        self.before_validation = before_validation or every
        self._saved = -1  # the step of last.ckpt

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if self.keep_every and step % self.keep_every == 0:
            trainer.save_checkpoint(self.folder / f"step-{step}.ckpt")
        if step % self.every == 0 or step % self.before_validation == 0:
            self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write last.ckpt, unless it has the state after this step already."""
        if self._saved != trainer.global_step:
            for logger in trainer.loggers:
                logger.save()  # or a kill would take from the curves what the checkpoint has
            trainer.save_checkpoint(self.folder / "last.ckpt")
            self._saved = trainer.global_step


def read_codec(path: Path, average: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config and the tensors of the codec in a training's checkpoint.

    average: the moving average of the weights, not the last ones. ValueError for another file.
    """
    found = _read(path)
    return json.loads(found["codec_config"]), _part(found, "ema.module." if average else "codec.")


def read_part(path: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors in a training's checkpoint whose keys begin with `prefix`, by the rest of their keys."""
    return _part(_read(path), prefix)


def _part(checkpoint: dict[str, Any], prefix: str) -> dict[str, Tensor]:
    state = checkpoint["state_dict"].items()
    return {key.removeprefix(prefix): tensor for key, tensor in state if key.startswith(prefix)}


def _read(path: Path) -> dict[str, Any]:
    try:  # mapped, not read: what isn't asked for stays on the disk
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # of the zip, of pickle and torch's own
        raise ValueError(f"{path}: can't be read: {error}; accepted: a checkpoint of a training") from error
    if not isinstance(found, dict) or "codec_config" not in found or "state_dict" not in found:
        keys = sorted(found) if isinstance(found, dict) else type(found).__name__
        raise ValueError(f"{path} has {keys}; accepted: a checkpoint of vocable.recipes.train")
    return found


class _Recorder:
    """A file to write to that keeps the system's error, which torch's archive would hide behind its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        self.file.flush()


def _dump(checkpoint: dict[str, Any], file: IO[bytes]) -> None:
    recorder = _Recorder(file)
    try:
        torch.save(checkpoint, recorder)  # type: ignore[arg-type]
    except Exception:
        if recorder.error is not None:
            raise recorder.error from None
        raise


def _existing(folder: Path) -> Path:
    return next(place for place in (folder, *folder.absolute().parents) if place.is_dir())


def reconcile(state: dict[str, Tensor], own: dict[str, Tensor], prefixes: tuple[str, ...]) -> None:
    """Give a checkpoint's `state` the keys of `own` that begin with one of `prefixes`, and no other such."""
    for key in {key for key in {*state, *own} if key.startswith(prefixes)}:
        if key not in own:
            del state[key]
        elif key not in state:
            state[key] = own[key]
