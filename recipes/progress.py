"""What a training run says: TensorBoard, the progress bar, or lines in its log where there is no bar."""

import logging
import time
from collections.abc import Mapping

from lightning.pytorch import LightningModule
from torch import Tensor

log = logging.getLogger(__name__)


class Progress:
    """Reports every `every` steps, and reads tensors only then: reading one waits for the device."""

    def __init__(self, every: int) -> None:
        if every < 1:
            raise ValueError(f"log_every is {every}; accepted: 1 or more")
        self.every = every
        self._seconds, self._since = 0.0, time.perf_counter()

    def after_step(self, module: LightningModule, logs: Mapping[str, Tensor], seconds: float) -> None:
        """Report a step's values; `seconds` is the audio in its batch."""
        self._seconds += seconds * module.trainer.world_size
        step = module.global_step
        if step % self.every:
            return
        values = {f"train/{name}": float(value) for name, value in logs.items()}
        now = time.perf_counter()
        values["speed"] = self._seconds / (now - self._since)  # seconds of audio a second
        values["learning_rate"] = module.trainer.optimizers[0].param_groups[0]["lr"]
        self._seconds, self._since = 0.0, now
        self._write(module, values, step)
        shown = {
            k.removeprefix("train/"): v for k, v in values.items() if "/" not in k.removeprefix("train/")
        }
        module.log_dict(shown, prog_bar=True, logger=False)

    def after_validation(self, module: LightningModule, values: Mapping[str, float]) -> None:
        """Report a validation's means."""
        module.log_dict(dict(values), logger=False, sync_dist=module.trainer.world_size > 1)
        self._write(module, {k: float(module.trainer.callback_metrics.get(k, v)) for k, v in values.items()})
        self._seconds, self._since = 0.0, time.perf_counter()  # not training time

    def _write(self, module: LightningModule, values: Mapping[str, float], step: int | None = None) -> None:
        step = module.global_step if step is None else step
        if module.logger is not None:
            module.logger.log_metrics(dict(values), step=step)
        if module.trainer.progress_bar_callback is None and module.trainer.is_global_zero:
            # each codebook's own are for TensorBoard: with 32 of them a line would be 100 numbers
            shown = {k: v for k, v in values.items() if not k.startswith("train/codebooks/")}
            log.info("step %d: %s", step, ", ".join(f"{k} {v:.4g}" for k, v in shown.items()))
