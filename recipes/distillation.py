"""A speech model as the teacher of a codec's latents, so that tokens say what is said."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.semantic import SemanticAcousticEncoder
from vocable.codecs.codec import Codec
from vocable.codecs.coder import CodecOutput
from vocable.losses.semantic import correlation
from vocable.recipes.teachers import Teacher


class Distillation(nn.Module):
    """A loss between a codec's latents, through `head`, and the features of `teacher`.

    teacher: None is the frozen speech model that the codec's own encoder listens with, as in X-codec.
    loss: of the head's features and the teacher's, both (B, teacher.dim, N). head: latents (B, D, N) to
    features; trained along with the codec, of which it is no part. of: the latents of the first codebook, or
    of all.
    """

    def __init__(
        self,
        teacher: Teacher | None,
        loss: Callable[[Tensor, Tensor], Tensor],
        head: nn.Module,
        weight: float = 1.0,
        of: Literal["first", "all"] = "first",
    ) -> None:
        super().__init__()
        if of not in ("first", "all"):
            raise ValueError(f"of is {of!r}; accepted: 'first', 'all'")
        self.teacher, self.loss, self.head, self.weight, self.of = teacher, loss, head, weight, of

    def forward(self, out: CodecOutput, wav: Tensor, codec: Codec) -> Tensor:
        """The loss, before its weight, of a codec's output for wav (B, C, T)."""
        return self.loss(*self._pair(out, wav, codec))

    @torch.no_grad()
    def similarity(self, out: CodecOutput, wav: Tensor, codec: Codec) -> Tensor:
        """How well the head's features follow the teacher's in time: mean correlation, 1 at best."""
        return correlation(*self._pair(out, wav, codec)).mean()

    def _pair(self, out: CodecOutput, wav: Tensor, codec: Codec) -> tuple[Tensor, Tensor]:
        """The student's and the teacher's features, (B, teacher.dim, N) float32."""
        latents = out.first if self.of == "first" else out.z
        if latents is None and codec.num_codebooks == 1:
            latents = out.z
        if latents is None:
            name = type(codec.quantizer).__name__
            raise ValueError(f"{name} doesn't tell its first codebook's latents; accepted: of='all'")
        features = self.head(latents)
        return features.float(), self._target(wav, codec, latents.shape[-1]).float()

    def _target(self, wav: Tensor, codec: Codec, frames: int) -> Tensor:
        if self.teacher is not None:
            return self.teacher.features(wav, codec.sample_rate, frames)
        if not isinstance(codec.encoder, SemanticAcousticEncoder):
            name = type(codec.encoder).__name__
            raise ValueError(f"{name} listens with no speech model; accepted: a teacher for the distillation")
        return codec.encoder.hear(codec.pad(wav))
