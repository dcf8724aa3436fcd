"""Encoders with a self-supervised speech model beside their own layers, as in X-codec and X-codec2."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.bigcodec import BigCodecEncoder
from vocable.codecs.backbones.conv import State, Stateful, refuse_state
from vocable.codecs.backbones.dac import DACEncoder
from vocable.codecs.backbones.fbank import fbank
from vocable.codecs.backbones.pieces import Pieces, ways
from vocable.codecs.backbones.windows import by_window


class SemanticEncoder(nn.Module):
    """Waveform (B, 1, T) at 16 kHz to the features (B, dim, N) of a speech model, which is frozen.

    config: the model's configuration in the names of transformers: `model_type` ("hubert", "wavlm",
    "wav2vec2-bert"), and all that is not that type's default.
    layer: the hidden state to take, 0 for the input of the first layer; None for the mean of all.
    ImportError where transformers is missing.
    """

    def __init__(self, config: Mapping[str, Any], layer: int | None = None):
        super().__init__()
        try:
            from transformers import AutoConfig, AutoModel
        except ImportError as error:
            raise ImportError(
                "a semantic encoder needs transformers: pip install 'vocable[semantic]'"
            ) from error
        if "model_type" not in config:
            raise ValueError(
                f"config has {sorted(config)}; accepted: model_type and the fields of that model"
            )
        built = AutoConfig.for_model(**config)
        if layer is not None and not 0 <= layer <= built.num_hidden_layers:
            raise ValueError(f"layer is {layer}; accepted: 0 to {built.num_hidden_layers}, or None")
        self.dim, self.layer = int(built.hidden_size), layer
        self.model = AutoModel.from_config(built).eval().requires_grad_(False)
        self.takes_fbank = self.model.main_input_name == "input_features"

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, wav: Tensor) -> Tensor:
        inputs = fbank(wav[:, 0]) if self.takes_fbank else wav[:, 0]
        states = self.model(inputs, output_hidden_states=True).hidden_states
        features = torch.stack(states, 1).mean(1) if self.layer is None else states[self.layer]
        return features.transpose(1, 2)


class SemanticAcousticEncoder(Stateful):
    """Waveform (B, 1, T) to latents (B, D, N), a mix of what two encoders hear; not causal.

    acoustic: gives latents (B, latent_dim, N). adapter: layers from and to (B, teacher.dim, N).
    D is latent_dim + teacher.dim.
    window: an attribute, frames beyond which a codec encodes in windows (see `windows`); None: never.
    """

    causal = False
    window: int | None = 2048  # 41 s

    def __init__(
        self,
        acoustic: BigCodecEncoder | DACEncoder,
        latent_dim: int,
        teacher: SemanticEncoder,
        adapter: nn.Module,
    ):
        super().__init__()
        self.acoustic, self.teacher, self.adapter = acoustic, teacher, adapter
        self.dim = latent_dim + teacher.dim
        self.mix = nn.Linear(self.dim, self.dim)
        self.hop_length = acoustic.hop_length

    def pad(self, wav: Tensor) -> Tensor:
        """(..., T) as the acoustic encoder's own `pad` has it, else zeros to whole frames."""
        own = getattr(self.acoustic, "pad", None)
        return F.pad(wav, (0, -wav.shape[-1] % self.hop_length)) if own is None else own(wav)

    def hear(self, wav: Tensor) -> Tensor:
        """The speech model's features (B, teacher.dim, N) of wav (B, 1, T), T a multiple of `hop_length`."""
        # its frames are longer than a hop: with half of one at each end there are as many of them
        margin = self.hop_length // 2
        return self.teacher(F.pad(wav, (margin, margin)))

    def forward(self, wav: Tensor, state: State = None) -> tuple[Tensor, State]:
        """wav (B, 1, T), T a multiple of `hop_length`, to (B, D, N)."""
        refuse_state(state)
        acoustic, _ = self.acoustic(wav)
        semantic = self.adapter(self.hear(wav))
        both = torch.cat([acoustic, semantic.to(acoustic.dtype)], 1)
        return self.mix(both.transpose(1, 2)).transpose(1, 2), None


@ways.register
def _(layer: SemanticAcousticEncoder, pieces: Pieces) -> Pieces:
    return by_window(layer, pieces, layer.hop_length)
