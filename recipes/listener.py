"""The speech models that codecs listen with, and are judged by: their published weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.semantic import SemanticAcousticEncoder
from vocable.codecs.codec import Codec
from vocable.recipes.teachers import Teacher


def listening(codec: Codec, teacher: Teacher) -> Codec:
    """`codec`, the frozen speech model in its encoder with the weights of `teacher`'s; X-codec is trained so.

    The teacher may have layers more. ValueError where the models differ.
    """
    if not isinstance(codec.encoder, SemanticAcousticEncoder):
        name = type(codec.encoder).__name__
        raise ValueError(f"{name} listens with no speech model; accepted: SemanticAcousticEncoder")
    own, theirs = codec.encoder.teacher.model, _model(teacher).state_dict()
    if missing := [key for key in own.state_dict() if key not in theirs]:
        raise ValueError(f"the teacher lacks {', '.join(missing[:3])}; accepted: the codec's speech model")
    own.load_state_dict({key: theirs[key] for key in own.state_dict()})
    return codec


class PerceptualLoss(nn.Module):
    """Distance of two waveforms (B, 1, T), at the speech model's rate, in its hidden states.

    layers: the first of these states, and the one after the last; None for all. distance: of a layer's states
    of the reconstruction and of the original, both (B, N, D).
    """

    def __init__(
        self,
        teacher: Teacher,
        layers: tuple[int, int] | None = None,
        distance: Callable[[Tensor, Tensor], Tensor] = F.mse_loss,
    ) -> None:
        super().__init__()
        self.teacher, self.distance = teacher, distance
        self.layers = slice(*layers) if layers is not None else slice(None)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Scalar, the mean over layers; no gradient to `target`."""
        with torch.no_grad():
            states = self._states(target)
        pairs = zip(self._states(estimate), states, strict=True)
        return torch.stack([self.distance(x, y) for x, y in pairs]).mean()

    def _states(self, wav: Tensor) -> tuple[Tensor, ...]:
        if self.teacher.normalize:
            wav = F.layer_norm(wav, wav.shape[-1:])
        return _model(self.teacher)(wav[:, 0], output_hidden_states=True).hidden_states[self.layers]


class FeatureLoss(nn.Module):
    """`distance` of a teacher's features (B, D, N) of two waveforms (B, C, T) at its rate: of what is said.

    Where few codebooks leave too few bits for the waveform, this says which of it to keep.
    """

    def __init__(self, teacher: Teacher, distance: Callable[[Tensor, Tensor], Tensor] = F.mse_loss) -> None:
        super().__init__()
        self.teacher, self.distance = teacher, distance

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """Scalar; no gradient to `target`."""
        heard = self.teacher.hear(estimate)
        return self.distance(heard.float(), self.teacher(target).float())


def relative_distance(x: Tensor, y: Tensor) -> Tensor:
    """L1 distance over the deviation of y, so that all layers count alike (stable-audio-tools)."""
    return F.l1_loss(x, y) / (y.std() + 1e-5)


def _model(teacher: Teacher) -> nn.Module:
    """The transformers model inside."""
    return teacher.model.model  # type: ignore[return-value]
