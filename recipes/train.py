"""Train a codec: `python -m vocable.recipes.train experiment=smoke trainer=cpu resume=true ...`."""

import logging
import sys
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from hydra.utils import instantiate
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from vocable.codecs.codec import Codec
from vocable.recipes.checkpoint import AtomicCheckpointIO, Checkpoints
from vocable.recipes.init import expanded, freeze, warm_start
from vocable.recipes.interrupt import Interrupts
from vocable.recipes.module import CodecTraining
from vocable.recipes.opponent import recall

PRECISIONS = ("32-true", "bf16-mixed")

log = logging.getLogger(__name__)


def train(cfg: DictConfig) -> Trainer:
    """Run one training as configured; the trainer, when it has ended."""
    check_precision(cfg)
    folder = Path(cfg.run_dir) / "checkpoints"
    checkpoint = find_checkpoint(folder / "last.ckpt", cfg.resume, cfg.overwrite)
    module, data = build(cfg)
    if cfg.init_from and checkpoint is None:
        start_from(cfg.init_from, module)
    bar = sys.stderr.isatty() if cfg.progress_bar is None else cfg.progress_bar
    checkpoints = Checkpoints(folder, cfg.checkpoint_every, cfg.keep_every, cfg.validate_every)
    callbacks: list[Callback] = [checkpoints, Interrupts(checkpoints)]
    trainer: Trainer = instantiate(
        cfg.trainer,
        callbacks=[*callbacks, RichProgressBar()] if bar else callbacks,
        enable_progress_bar=bool(bar),
        logger=TensorBoardLogger(cfg.run_dir, name="", version="tensorboard", flush_secs=10),
        plugins=[AtomicCheckpointIO()],
        default_root_dir=cfg.run_dir,
    )
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    return trainer


def build(cfg: DictConfig) -> tuple[CodecTraining, LightningDataModule]:
    """The parts of a configured run."""
    torch.manual_seed(cfg.seed)
    module: CodecTraining = instantiate(cfg.training, _convert_="all")
    node = cast(dict[str, Any], OmegaConf.to_container(cfg.codec, resolve=True))
    module.codec_config = expanded(node)
    check_signal(cfg, module.codec)
    freeze(module.codec, cfg.freeze)
    return module, instantiate(cfg.data, _convert_="all")


def start_from(source: str, module: CodecTraining) -> None:
    """Give codec, average and discriminator the weights of another training where they fit, and log it."""
    lines = warm_start(module.codec, source).lines()
    module.averaged.load_state_dict(module.codec.state_dict())
    if module.discriminator is not None:
        lines.append(recall(module.discriminator, source))
    rank_zero_only(log.info)("init_from %s\n%s", source, "\n".join(lines))


def check_signal(cfg: DictConfig, codec: Codec) -> None:
    """ValueError unless data and losses are at the codec's rate, with its channels."""
    if (cfg.sample_rate, cfg.channels) != (codec.sample_rate, codec.channels):
        raise ValueError(
            f"sample_rate is {cfg.sample_rate} and channels is {cfg.channels}; accepted: the codec's, "
            f"sample_rate={codec.sample_rate} channels={codec.channels}"
        )


def check_precision(cfg: DictConfig) -> None:
    """ValueError for what the losses don't survive: float16 overflows in spectra."""
    if cfg.trainer.precision not in PRECISIONS:
        raise ValueError(f"trainer.precision is {cfg.trainer.precision}; accepted: {', '.join(PRECISIONS)}")


def find_checkpoint(path: Path, resume: bool, overwrite: bool) -> Path | None:
    """The checkpoint to go on from, None to start; ValueError where a start would overwrite a run."""
    if not path.is_file():
        if resume:
            log.warning("%s is not there yet: starting from step 0", path)
        return None
    if not resume and not overwrite:
        raise ValueError(f"{path} exists; accepted: resume=true, overwrite=true, or another run_dir")
    return path if resume else None


def main() -> None:
    """Compose the configuration from the command line's overrides, and train."""
    hydra.main(version_base="1.3", config_path="pkg://vocable.recipes.conf", config_name="train")(_run)()


def _run(cfg: DictConfig) -> None:
    train(cfg)


if __name__ == "__main__":
    main()
