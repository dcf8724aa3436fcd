"""Held-out speech through the codec: STOI, PESQ-WB, use of the codebooks, and examples to hear and to see."""

import logging
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from vocable.codecs.codec import Codec
from vocable.codecs.measure import measure
from vocable.codecs.plot import spectrogram
from vocable.recipes.distillation import Distillation

log = logging.getLogger(__name__)


class Validation:
    """One pass over held-out utterances.

    counts: how many codebooks to decode with, each in turn; 0 is all. examples: how many utterances to log.
    distillation: whose similarity to measure too.
    """

    def __init__(
        self,
        codec: Codec,
        counts: tuple[int, ...] = (0,),
        examples: int = 4,
        distillation: Distillation | None = None,
    ) -> None:
        self.codec, self.examples, self.distillation = codec, examples, distillation
        self.counts = [count or codec.num_codebooks for count in counts]
        self.scores: dict[str, list[float]] = {}
        self.hits = [torch.zeros(size, dtype=torch.int64) for size in codec.codebook_sizes]
        self.missing: dict[str, str] = {}

    @torch.no_grad()
    def add(self, wav: Tensor, index: int, logger: Any, step: int) -> None:
        """Measure utterance number `index`, (1, C, T)."""
        for count in self.counts:
            out = self.codec(wav, count)
            wav_hat = out.wav.float()
            rate = self.codec.sample_rate
            for name, value in measure(wav[0], wav_hat[0], rate).items():
                if isinstance(value, str):
                    self.missing[name] = value
                else:
                    self.scores.setdefault(f"valid/{name}@{count}", []).append(value)
            if count == self.counts[0]:
                for hits, codes in zip(self.hits, out.codes[0].cpu(), strict=False):
                    hits += torch.bincount(codes.flatten(), minlength=len(hits))
                if self.distillation is not None:
                    similarity = float(self.distillation.similarity(out, wav, self.codec))
                    self.scores.setdefault("valid/distillation", []).append(similarity)
            if index < self.examples and isinstance(logger, TensorBoardLogger):
                show(logger, f"{index}@{count}", wav[0], wav_hat[0], rate, step)

    def summary(self) -> dict[str, float]:
        """Over all ranks: mean scores, and by codebook the share in use, perplexity, entropy in bits."""
        self._gather()
        for name, reason in self.missing.items():
            log.warning("%s of some utterances: %s", name, reason)
        values = {name: sum(scores) / len(scores) for name, scores in self.scores.items()}
        for k, hits in enumerate(self.hits):
            if total := int(hits.sum()):
                share = hits[hits > 0] / total
                entropy = float(-(share * share.log2()).sum())
                values[f"codebooks/entropy/{k}"] = entropy
                values[f"codebooks/perplexity/{k}"] = 2**entropy
                values[f"codebooks/use/{k}"] = len(share) / len(hits)
        return values

    def _gather(self) -> None:
        if not (dist.is_available() and dist.is_initialized()):
            return
        found: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(found, (self.scores, self.hits, self.missing))
        self.scores, self.missing = {}, {}
        for scores, _, missing in found:
            self.missing |= missing
            for name, values in scores.items():
                self.scores.setdefault(name, []).extend(values)
        self.hits = [torch.stack(hits).sum(0) for hits in zip(*(hits for _, hits, _ in found), strict=True)]


def show(logger: TensorBoardLogger, name: str, wav: Tensor, wav_hat: Tensor, rate: int, step: int) -> None:
    """Log a pair (C, T) as sound and as spectrograms."""
    from matplotlib.figure import Figure

    writer = logger.experiment
    figure = Figure(figsize=(9, 5), layout="constrained")
    pair = {"original": wav, "reconstruction": wav_hat}
    for axes, (title, signal) in zip(figure.subplots(2, sharex=True), pair.items(), strict=True):
        picture = spectrogram(signal, rate).numpy()
        axes.imshow(picture, origin="lower", aspect="auto", vmin=-100, vmax=-20)
        axes.set(title=title)
        writer.add_audio(f"{title}/{name}", signal.mean(0).clamp(-1, 1).cpu(), step, rate)
    writer.add_figure(f"spectrogram/{name}", figure, step)
