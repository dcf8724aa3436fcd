"""A discriminator of what a speech model hears."""

from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.losses.layers import FeatureMaps


class SpeechModel(Protocol):
    """A module that tells its hidden states."""

    sample_rate: int

    def hidden(self, wav: Tensor) -> list[Tensor]:
        """Waveforms (B, 1, T) to states (B, D, N), each with its own D."""
        ...


class SpeechModelDiscriminator(nn.Module):
    """Judges waveforms (B, C, T) by the hidden states of a frozen speech model, with convolutions for each.

    What such a model has learned tells a codec's speech from a speaker's within a hundred steps, where
    convolutions over spectra take thousands (Projected GANs, https://arxiv.org/abs/2111.01007; StyleTTS 2,
    https://arxiv.org/abs/2306.07691, listens with WavLM).

    model: a `SpeechModel`. It hears the mean of the channels, isn't trained, and is no part of the weights.
    sample_rate: the waveforms'. channels, slope: of the convolutions and their leaky ReLUs.
    Gives for each state feature maps (B, channels, N), then logits (B, 1, N).
    ValueError where the model hears at another rate.
    """

    def __init__(
        self, model: nn.Module, sample_rate: int = 16000, channels: int = 128, slope: float = 0.2
    ) -> None:
        super().__init__()
        if sample_rate != model.sample_rate:
            raise ValueError(f"sample_rate is {sample_rate}; accepted: {model.sample_rate}, the model's")
        self._models = [model.eval().requires_grad_(False)]  # in a list, it is no submodule
        dims = [state.shape[1] for state in self._hear(torch.zeros(1, 1, 3200))]
        self.discriminators = nn.ModuleList(_layers(dim, channels, slope) for dim in dims)

    def forward(self, wav: Tensor) -> list[list[Tensor]]:
        return [layers(x) for layers, x in zip(self.discriminators, self._hear(wav), strict=True)]

    def _hear(self, wav: Tensor) -> list[Tensor]:
        """The states, each frame of one scale."""
        model = cast(SpeechModel, self._models[0])
        states = [state.transpose(1, 2) for state in model.hidden(wav.mean(1, keepdim=True))]
        return [F.layer_norm(state, state.shape[-1:]).transpose(1, 2) for state in states]

    def _apply(self, *arguments: Any, **options: Any) -> Any:
        """The model goes where the weights go."""
        self._models[0]._apply(*arguments, **options)
        return super()._apply(*arguments, **options)


def _layers(dim: int, channels: int, slope: float) -> FeatureMaps:
    convs = [nn.Conv1d(dim, channels, 3, padding=1), nn.Conv1d(channels, channels, 3, padding=2, dilation=2)]
    maps = [nn.Sequential(conv, nn.LeakyReLU(slope)) for conv in convs]
    return FeatureMaps([*maps, nn.Conv1d(channels, 1, 3, padding=1)])
