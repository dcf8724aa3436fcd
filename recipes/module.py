"""Training of a codec, and of a discriminator beside it, by Lightning's manual optimisation."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from vocable.codecs.codec import Codec
from vocable.losses.balancer import Balancer
from vocable.recipes.adversary import Adversary
from vocable.recipes.by_rate import weighed
from vocable.recipes.checkpoint import reconcile
from vocable.recipes.distillation import Distillation
from vocable.recipes.ema import average_of
from vocable.recipes.execution import checkpoint_blocks, compile_networks
from vocable.recipes.failure import not_finite
from vocable.recipes.progress import Progress
from vocable.recipes.terms import Term
from vocable.recipes.validation import Validation
from vocable.recipes.warmup import autoencode

# state that a resumed run may lack, or no longer need
REPLACEABLE = ("term_modules.", "discriminator.", "balancer.", "distillation.")
# nothing in a loss or a teacher is trained here, and they may be large
UNSAVED = ("term_modules.", "distillation.teacher.")


class CodecTraining(LightningModule):
    """Trains `codec` on waveforms (B, C, T); every batch is one step, and `global_step` counts these.

    terms: the reconstruction losses by name. optimizer: makes one from parameters, for the codec and for the
    discriminator. schedule: the learning rate's factor at a step. adversary: a discriminator with its losses.
    balancer: EnCodec's, whose weights then stand in for the terms' own.
    distillation: a teacher of the latents; the head that it needs is trained along.
    quantizer_weight: of the quantizer's own loss, a mean over codebooks; DAC's recipe has the sum of them.
    quantize_from: the step before which the quantizer is left out.
    accumulate: the parts that a batch is cut into, where memory is short. clip: of the gradient's norm.
    checkpoint_activations: compute those inside the codec's blocks a second time instead of keeping them.
    compile: the torch.compile backend ("inductor") for encoder, decoder and discriminator; None: as written.
    validate_codebooks: how many codebooks validation decodes; 0 is all.
    """

    def __init__(
        self,
        codec: Codec,
        terms: dict[str, Term],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        schedule: Callable[[int], float],
        adversary: Adversary | None = None,
        balancer: Balancer | None = None,
        distillation: Distillation | None = None,
        quantizer_weight: float = 1.0,
        quantize_from: int = 0,
        ema_decay: float = 0.999,
        clip: float = 1.0,
        accumulate: int = 1,
        checkpoint_activations: bool = False,
        compile: str | None = None,
        validate_codebooks: tuple[int, ...] = (0,),
        log_every: int = 20,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.codec, self.ema = codec, average_of(codec, ema_decay)
        self.terms, self.term_modules = terms, nn.ModuleDict(terms)  # registered, to follow the device
        self.adversary, self.balancer, self.distillation = adversary, balancer, distillation
        self.discriminator = adversary.discriminator if adversary else None
        self.optimizer, self.schedule, self.quantize_from = optimizer, schedule, quantize_from
        self.quantizer_weight = quantizer_weight
        self.clip, self.accumulate, self.seed = clip, accumulate, seed
        self.validate_codebooks = validate_codebooks
        self.progress = Progress(log_every)
        self.codec_config: dict[str, Any] | None = None  # the node that built `codec`, for export
        if checkpoint_activations:
            checkpoint_blocks(codec.encoder)
            checkpoint_blocks(codec.decoder)
        if compile is not None:
            networks = [codec.encoder, codec.decoder, self.discriminator]
            compile_networks([network for network in networks if network is not None], compile)

    @property
    def averaged(self) -> Codec:
        """The codec with the moving average of the weights."""
        return cast(Codec, self.ema.module)

    def configure_optimizers(self) -> list[Optimizer]:
        trained = [self._generator]
        if self.discriminator is not None:
            trained.append(self._judges)
        return [self.optimizer(parameters) for parameters in trained]

    def training_step(self, batch: Tensor, batch_idx: int) -> None:
        """One step of the discriminator, where there is one, and one of the generator."""
        step = self.global_step
        self._seed(step)
        generator, *rest = self._optimizers(step)
        adversary = self.adversary if self.adversary and step >= self.adversary.start_step else None
        parts = batch.chunk(self.accumulate)
        logs: dict[str, Tensor] = {}
        for i, wav in enumerate(parts):
            out = self.codec(wav) if step >= self.quantize_from else autoencode(self.codec, wav)
            wav_hat = out.wav.float()
            judged, played = None, {}
            fake = weighed(wav_hat, out.used, adversary.alone) if adversary else wav_hat
            if adversary and adversary.one_pass:
                judged, played = adversary.play(wav, fake)
            elif adversary:
                loss = adversary.judge(wav, fake)
                self.manual_backward(loss / len(parts))
                _add(logs, {"discriminator": loss}, len(parts))
                if i + 1 == len(parts):
                    self._update(rest[0], self._judges, batch, logs, "discriminator")
                played = adversary.terms(wav, fake)
            losses = self._losses(wav, wav_hat, out.used, step) | played
            total = self._total(losses, wav_hat, step, adversary) + self.quantizer_weight * out.loss
            if self.distillation is not None:
                losses["distillation"] = self.distillation(out, wav, self.codec)
                total = total + self.distillation.weight * losses["distillation"]
            self.manual_backward(total / len(parts))
            if judged is not None:
                self.manual_backward(judged / len(parts), inputs=self._judges)
                _add(logs, {"discriminator": judged}, len(parts))
            _add(logs, {"loss": total, **losses, "quantizer": out.loss, **out.metrics}, len(parts))
            if self.balancer is not None:
                norms = self.balancer.average_norms
                _add(logs, {f"gradient/{name}": norms[name] for name in losses if name in norms}, len(parts))
        self._update(generator, self._generator, batch, logs, "codec")
        if adversary and adversary.one_pass:
            self._update(rest[0], self._judges, batch, logs, "discriminator")
        self.ema.update_parameters(self.codec)
        self.progress.after_step(self, logs, batch.shape[0] * batch.shape[-1] / self.codec.sample_rate)

    def on_validation_epoch_start(self) -> None:
        self.validation = Validation(self.averaged, self.validate_codebooks, distillation=self.distillation)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Decode an utterance (1, C, T) with the averaged weights and measure it."""
        self.validation.add(batch, batch_idx, self.logger, self.global_step)

    def on_validation_epoch_end(self) -> None:
        self.progress.after_validation(self, self.validation.summary())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["codec_config"] = json.dumps(self.codec_config)
        state = checkpoint["state_dict"]
        for key in [key for key in state if key.startswith(UNSAVED)]:
            del state[key]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let losses and the discriminator change between a run's parts; the codec has to fit."""
        reconcile(checkpoint["state_dict"], self.state_dict(), REPLACEABLE)

    @property
    def _generator(self) -> list[nn.Parameter]:
        """What the generator's optimizer trains: all that isn't frozen."""
        parts = [self.codec] if self.distillation is None else [self.codec, self.distillation.head]
        return [parameter for part in parts for parameter in part.parameters() if parameter.requires_grad]

    @property
    def _judges(self) -> list[nn.Parameter]:
        """What the discriminator's optimizer trains."""
        assert self.discriminator is not None
        return list(self.discriminator.parameters())

    def _seed(self, step: int) -> None:
        """Random numbers by step, not by history: a resumed run draws what an uninterrupted one would."""
        seed = (self.seed * 1_000_003 + step) * self.trainer.world_size + self.global_rank
        random.seed(seed)
        torch.manual_seed(seed)

    def _optimizers(self, step: int) -> list[Any]:
        """At this step's learning rate; the discriminator's is bare, so that Lightning doesn't count it."""
        factor = self.schedule(step)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * factor
        wrapped = self.optimizers()
        return [wrapped[0], *self.trainer.optimizers[1:]] if isinstance(wrapped, list) else [wrapped]

    def _losses(self, wav: Tensor, wav_hat: Tensor, used: Tensor | None, step: int) -> dict[str, Tensor]:
        """The terms in force at this step, before their weights."""
        with torch.autocast(wav.device.type, enabled=False):
            active = {name: term for name, term in self.terms.items() if term.weight_at(step)}
            return {name: term(wav_hat, wav.float(), used) for name, term in active.items()}

    def _total(
        self, losses: dict[str, Tensor], wav_hat: Tensor, step: int, adversary: Adversary | None
    ) -> Tensor:
        if self.balancer is not None:
            return self.balancer(losses, wav_hat)
        weights = {name: term.weight_at(step) for name, term in self.terms.items()}
        weights |= adversary.weights_at(step) if adversary else {}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()

    def _update(
        self,
        optimizer: Any,
        parameters: list[nn.Parameter],
        batch: Tensor,
        logs: dict[str, Tensor],
        name: str,
    ) -> None:
        """Clip, step and forget the gradient; one that is not finite ends the run before it does harm."""
        own = self.adversary.clip if self.adversary and name == "discriminator" else None
        norm = nn.utils.clip_grad_norm_(parameters, self.clip if own is None else own)
        logs[f"gradient/{name}"] = norm
        if not torch.isfinite(norm + logs["loss" if name == "codec" else name]):
            folder = Path(self.trainer.default_root_dir) / "failed"
            values = {key: float(value) for key, value in logs.items()}
            raise not_finite(folder, self.global_step, f"gradient/{name}", batch, values, self.global_rank)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _add(logs: dict[str, Tensor], values: dict[str, Tensor], parts: int) -> None:
    """Add values to the means over a batch's parts."""
    for name, value in values.items():
        logs[name] = logs.get(name, 0) + value.detach() / parts
