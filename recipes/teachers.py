"""Speech models that teach a codec: frozen, without gradients, and not in its checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.backbones.frames import spread
from vocable.codecs.backbones.semantic import SemanticEncoder
from vocable.codecs.backbones.whisper import whisper_tiny_en


class Teacher(nn.Module):
    """`model`, waveforms (B, 1, T) at `sample_rate` to features (B, dim, N) at `frame_rate`, as a teacher.

    margin: samples of silence at each end, which put frames that are longer than a hop in their hop's middle.
    normalize: bring each signal to mean 0 and variance 1, where the model has learned from such.
    """

    def __init__(
        self,
        model: nn.Module,
        dim: int,
        frame_rate: float,
        sample_rate: int = 16000,
        margin: int = 0,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.dim, self.frame_rate, self.sample_rate = dim, frame_rate, sample_rate
        self.margin, self.normalize = margin, normalize

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.model.eval()
        return self

    @torch.no_grad()
    def forward(self, wav: Tensor) -> Tensor:
        """wav (B, C, T) at `sample_rate` to features (B, dim, N), N about T / sample_rate * frame_rate."""
        return self.hear(wav)

    def hear(self, wav: Tensor) -> Tensor:
        """As `forward`, and a gradient passes to wav."""
        wav = wav.mean(1, keepdim=True)
        if self.normalize:
            variance, mean = torch.var_mean(wav, dim=2, keepdim=True, correction=0)
            wav = (wav - mean) * (variance + 1e-7).rsqrt()
        return self.model(F.pad(wav, (self.margin, self.margin)))

    @torch.no_grad()
    def features(self, wav: Tensor, sample_rate: int, frames: int) -> Tensor:
        """wav (B, C, T) at any rate to features (B, dim, frames)."""
        if sample_rate != self.sample_rate:
            from torchaudio.functional import resample  # on the wave's own device

            wav = resample(wav, sample_rate, self.sample_rate)
        return spread(self(wav).float(), frames)


def whisper(folder: str | Path | None = None, layer: int | None = 2) -> Teacher:
    """The encoder of Whisper tiny.en, 384 wide, 50 frames a second: see `whisper_tiny_en`."""
    encoder = whisper_tiny_en(folder, layer)
    return Teacher(encoder, encoder.dim, frame_rate=50.0)


def pretrained(name: str, layer: int | None = None) -> Teacher:
    """HuBERT, WavLM or w2v-BERT-2 by transformers: of a folder, the local cache, or the hub, in this order.

    layer: the hidden state that teaches; None for the mean of all. Signals are normalised where the model's
    preprocessor_config.json says so. ValueError where the model can't be had.
    """
    try:
        from transformers import AutoModel, FeatureExtractionMixin
    except ImportError as error:
        raise ImportError(f"{name} needs transformers: pip install 'vocable[semantic]'") from error
    model = _fetch(AutoModel.from_pretrained, name)
    prepare, _ = _fetch(FeatureExtractionMixin.get_feature_extractor_dict, name)
    with torch.device("meta"):
        encoder = SemanticEncoder(model.config.to_dict(), layer)
    if (
        layer is not None
    ):  # what is above it need not run; the next layer stays, for a norm may follow the last
        model.encoder.layers = model.encoder.layers[: layer + 1]
    encoder.model = model.float()
    hop, width = _framing(model.config)
    normalize = bool(prepare.get("do_normalize")) and not encoder.takes_fbank
    return Teacher(encoder, encoder.dim, 16000 / hop, margin=(width - hop) // 2, normalize=normalize)


def _framing(config: Any) -> tuple[int, int]:
    """Samples from frame to frame, and samples that a frame hears."""
    if config.model_type == "wav2vec2-bert":
        return 320, 560  # two windows of 25 ms, 10 ms apart
    hop, width = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        width += (kernel - 1) * hop
        hop *= stride
    return hop, width


def _fetch(load: Callable[..., Any], name: str) -> Any:
    """From the cache where it is there, else from the hub."""
    from huggingface_hub.constants import HF_HUB_CACHE

    try:
        return load(name, local_files_only=True)
    except OSError:
        pass
    try:
        return load(name)
    except OSError as error:
        raise ValueError(
            f"{name} is neither a folder nor in {HF_HUB_CACHE}, and the hub did not give it: {error}; "
            f"accepted: a folder with its files, or `hf download {name}` where there is a network"
        ) from error
