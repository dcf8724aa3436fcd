"""Training steps of DAC and EnCodec as published, whoever's model and discriminator they are made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vocable.codecs.codec import Codec
from vocable.codecs.zoo.dac import dac
from vocable.codecs.zoo.encodec import encodec_24khz
from vocable.losses import (
    Balancer,
    Discriminators,
    MultiBandDiscriminator,
    MultiPeriodDiscriminator,
    MultiScaleMelLoss,
    MultiScaleSTFTDiscriminator,
    PeakNormalized,
    PowerMelLoss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    mean_feature_loss,
)
from vocable.losses.game import Game

DAC_RATE, DAC_STRIDES, DAC_BOOKS = 44_100, (2, 4, 8, 8), 9
ENCODEC_RATE, ENCODEC_RATIOS = 24_000, (8, 5, 4, 2)
ENCODEC_BOOKS = 8  # of 32, 6 kbit/s: training draws how many, but here every step is to do the same work
WINDOWS = (2048, 1024, 512, 256, 128)  # of EnCodec's discriminator

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Side:
    """What a package brings to a training step on wav (B, 1, T).

    reconstruct: wav to its reconstruction and the quantizer's loss.
    judge: the discriminator's loss of wav and its reconstruction.
    play: the same to the generator's adversarial loss and the distance of the feature maps.
    mel: of reconstruction and wav. parts: modules to tell apart in a profile.
    both: what judge and play give, of one pass.
    lean: a fused optimizer, and gradients freed when they are used; else torch's and the authors' defaults.
    """

    codec: nn.Module
    discriminator: nn.Module
    reconstruct: Callable[[Tensor], Pair]
    judge: Callable[[Tensor, Tensor], Tensor]
    play: Callable[[Tensor, Tensor], Pair]
    mel: Callable[[Tensor, Tensor], Tensor]
    parts: dict[str, list[nn.Module]]
    both: Callable[[Tensor, Tensor], tuple[Tensor, Pair]] | None = None
    lean: bool = False


@dataclass(frozen=True)
class Recipe:
    """A codec's published training: its optimizer, the largest gradient norms, and the sum of its losses."""

    optimizer: Callable[..., torch.optim.Optimizer]
    clip: float
    discriminator_clip: float
    total: Callable[[dict[str, Tensor], Tensor, Tensor], Tensor]


class Training:
    """A side in training by a recipe: `step` is one update of the discriminator, then one of the codec.

    one_pass: of the codec, then of the discriminator, which looks at real and fake but once.
    """

    def __init__(self, side: Side, recipe: Recipe, one_pass: bool = False) -> None:
        self.side, self.recipe, self.one_pass = side, recipe, one_pass
        options: dict[str, Any] = {"fused": True} if side.lean else {}
        self.optimizer = recipe.optimizer(side.codec.parameters(), **options)
        self.discriminator_optimizer = recipe.optimizer(side.discriminator.parameters(), **options)

    def step(self, wav: Tensor) -> dict[str, Tensor]:
        """The losses of wav (B, 1, T)."""
        wav_hat, quantizer = self.side.reconstruct(wav)
        if self.one_pass:
            assert self.side.both is not None
            judged, played = self.side.both(wav, wav_hat)
            losses = self._update_codec(played, quantizer, wav, wav_hat)
            self._update_discriminator(judged)
        else:
            judged = self.side.judge(wav, wav_hat)
            self._update_discriminator(judged)
            losses = self._update_codec(self.side.play(wav, wav_hat), quantizer, wav, wav_hat)
        return losses | {"quantizer": quantizer, "discriminator": judged}

    def _update_codec(
        self, played: Pair, quantizer: Tensor, wav: Tensor, wav_hat: Tensor
    ) -> dict[str, Tensor]:
        losses = {"mel": self.side.mel(wav_hat, wav), "adversarial": played[0], "features": played[1]}
        total = self.recipe.total(losses, quantizer, wav_hat)
        self._update(total, self.side.codec, self.optimizer, self.recipe.clip)
        return losses

    def _update_discriminator(self, judged: Tensor) -> None:
        clip = self.recipe.discriminator_clip
        self._update(judged, self.side.discriminator, self.discriminator_optimizer, clip)

    def _update(
        self, loss: Tensor, trained: nn.Module, optimizer: torch.optim.Optimizer, clip: float
    ) -> None:
        if not self.side.lean:
            optimizer.zero_grad()
        loss.backward(inputs=list(trained.parameters()) if self.one_pass else None)
        nn.utils.clip_grad_norm_(trained.parameters(), clip)
        optimizer.step()
        if self.side.lean:
            optimizer.zero_grad()


def dac_recipe() -> Recipe:
    """https://arxiv.org/abs/2306.06546, and the weights of its published configuration.

    They are of the sum of the codebooks' losses, where a side gives the mean.
    """

    def total(losses: dict[str, Tensor], quantizer: Tensor, wav_hat: Tensor) -> Tensor:
        return 15 * losses["mel"] + losses["adversarial"] + 2 * losses["features"] + DAC_BOOKS * quantizer

    def optimizer(parameters: Any, **options: Any) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=1e-4, betas=(0.8, 0.99), **options)

    return Recipe(optimizer, 1e3, 10.0, total)


def encodec_recipe() -> Recipe:
    """https://arxiv.org/abs/2210.13438, with its balancer."""
    balancer = Balancer({"mel": 2.0, "adversarial": 4.0, "features": 4.0})

    def total(losses: dict[str, Tensor], quantizer: Tensor, wav_hat: Tensor) -> Tensor:
        return balancer(losses, wav_hat) + quantizer

    def optimizer(parameters: Any, **options: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=3e-4, betas=(0.5, 0.9), **options)

    return Recipe(optimizer, 1.0, 1.0, total)


def our_dac(dim: int) -> Side:
    """DAC of `dim` channels in its first layer, without quantizer dropout, and its discriminators."""
    codec = dac(DAC_RATE, DAC_STRIDES, dim, 16 * dim, 24 * dim, DAC_BOOKS, dropout=0.0)
    periods, bands = MultiPeriodDiscriminator(), MultiBandDiscriminator()
    discriminator = PeakNormalized(Discriminators([periods, bands]))
    game = Game(
        discriminator,
        discriminator_loss=least_squares_discriminator_loss,
        generator_loss=least_squares_generator_loss,
    )
    return _ours(codec, DAC_BOOKS, game, MultiScaleMelLoss(DAC_RATE), MPD=periods, MRD=bands)


def our_encodec(dim: int) -> Side:
    """EnCodec at 24 kHz of `dim` channels in its first layer, and its discriminator.

    Codebooks start random: setting them by k-means is no part of a step.
    """
    codec = encodec_24khz(dim, ENCODEC_RATIOS)
    for name, buffer in codec.quantizer.named_buffers():
        if name.endswith("inited"):
            buffer.fill_(1)
    discriminator = MultiScaleSTFTDiscriminator(WINDOWS, slope=0.3)
    game = Game(discriminator, feature_loss=mean_feature_loss)
    return _ours(codec, ENCODEC_BOOKS, game, PowerMelLoss(ENCODEC_RATE), MSSTFTD=discriminator)


def coders(codec: Any) -> dict[str, list[nn.Module]]:
    """The parts that a codec has whoever wrote it."""
    return {"encoder": [codec.encoder], "quantizer": [codec.quantizer], "decoder": [codec.decoder]}


def _ours(codec: Codec, books: int, game: Game, mel: nn.Module, **parts: nn.Module) -> Side:
    def reconstruct(wav: Tensor) -> Pair:
        out = codec(wav, books)
        return out.wav, out.loss

    def pair(terms: dict[str, Tensor]) -> Pair:
        return terms["adversarial"], terms["features"]

    def play(wav: Tensor, wav_hat: Tensor) -> Pair:
        return pair(game.terms(wav, wav_hat))

    def both(wav: Tensor, wav_hat: Tensor) -> tuple[Tensor, Pair]:
        judged, terms = game.play(wav, wav_hat)
        return judged, pair(terms)

    named = coders(codec) | {name: [part] for name, part in parts.items()} | {"mel": [mel]}
    judge, discriminator = game.judge, game.discriminator
    return Side(codec.train(), discriminator, reconstruct, judge, play, mel, named, both, lean=True)
