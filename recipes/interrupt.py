"""SIGINT and SIGTERM end a run with a checkpoint."""

import logging
import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from vocable.recipes.checkpoint import Checkpoints

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts(Callback):
    """Ends the run after the step in which a signal comes, with a checkpoint and exit code 128 + signal.

    In the middle of a step some weights would be a step ahead of others. A second signal acts at once.
    Of several ranks all end after the same step, whichever got a signal.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            pid = os.getpid()

            def receive(signum: int, frame: FrameType | None) -> None:
                self._restore()
                if os.getpid() == pid:
                    self.received = signum
                elif signum == signal.SIGTERM:  # in a worker of the data loader: the parent ends it
                    signal.signal(signum, signal.SIG_DFL)
                    os.kill(os.getpid(), signum)

            self._before = {signum: signal.signal(signum, receive) for signum in SIGNALS}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._any_received(trainer):
            self.checkpoints.save(trainer)
            self._end(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._any_received(trainer):  # the last step has its checkpoint: it was written before validation
            self._end(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore()

    def _end(self, trainer: Trainer) -> None:
        signum = signal.Signals(self.received or signal.SIGTERM)
        path = Path(self.checkpoints.folder) / "last.ckpt"
        log.info("%s: ended after step %d, %s has it", signum.name, trainer.global_step, path)
        raise SystemExit(128 + signum)

    def _any_received(self, trainer: Trainer) -> bool:
        received = self.received is not None
        return (
            trainer.strategy.reduce_boolean_decision(received, all=False)
            if trainer.world_size > 1
            else received
        )

    def _restore(self) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
        self._before = {}
