"""Checkpoints that a kill at any moment leaves whole."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target, to disk, and renames: Lightning's own may copy across file systems."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        with part.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)


class Checkpoints(Callback):
    """`last.ckpt` every `every` steps, `step-N.ckpt`, which stays, every `keep_every`; last.ckpt at the end.

    Lightning's ModelCheckpoint warns of, and may alter, the weights it saves under manual optimisation.
    """

    def __init__(self, folder: str | Path, every: int, keep_every: int | None = None) -> None:
        self.folder, self.every, self.keep_every = Path(folder), every, keep_every

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if self.keep_every and step % self.keep_every == 0:
            trainer.save_checkpoint(self.folder / f"step-{step}.ckpt")
        if step % self.every == 0:
            trainer.save_checkpoint(self.folder / "last.ckpt")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step % self.every:
            trainer.save_checkpoint(self.folder / "last.ckpt")
