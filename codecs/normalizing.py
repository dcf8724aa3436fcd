"""A codec that works at one loudness."""

import torch
from torch import Tensor, nn

from vocable.codecs.codec import Codec
from vocable.codecs.loudness import filtered, k_filters
from vocable.quantizers.base import Quantizer

_SILENCE = 1e-6  # mean square below which a signal is left as it is
_PEAK = 0.95  # where a signal that would clip is brought to


class NormalizingCodec(Codec):
    """A codec that brings every signal to `target` LUFS before it encodes, and back after it decodes.

    `Tokens.scales` (B, 1) holds what it divides and multiplies by; bare codes decode at the target. Training
    is on the signal as it is.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        sample_rate: int,
        channels: int = 1,
        target: float = -20.0,
    ) -> None:
        super().__init__(encoder, quantizer, decoder, sample_rate, channels)
        self.target = target

    def _analyse(self, wav: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor | None]:
        gain = normalizing_gain(wav, self.sample_rate, self.target)[:, None]
        codes, _ = super()._analyse(wav * gain[..., None], num_codebooks)
        return codes, 1 / gain

    def _synthesise(self, codes: Tensor, scales: Tensor | None) -> Tensor:
        wav = super()._synthesise(codes, None)
        return wav if scales is None else wav * scales[..., None]


def normalizing_gain(wav: Tensor, sample_rate: int, target: float) -> Tensor:
    """The factor (B,) that brings wav (B, C, T) to `target` LUFS, or its peak to 0.95 if it would clip.

    1 for silence: a mean square under 1e-6, or nothing that the meter counts. As stable-audio-tools does it
    (https://github.com/Stability-AI/stable-audio-tools).
    """
    gain = 10 ** ((target - _loudness(wav, sample_rate)) / 20).to(wav.dtype)
    peak = wav.abs().amax((1, 2))
    gain = torch.where(gain * peak > 1, _PEAK / peak, gain)
    audible = (wav.square().mean((1, 2)) >= _SILENCE) & gain.isfinite()
    return torch.where(audible, gain, 1)


def _loudness(wav: Tensor, sample_rate: int) -> Tensor:
    """Integrated loudness (B,) float64 of wav (B, C, T) in LUFS as torchaudio measures it, NaN for silence.

    Unlike `loudness.loudness`, it counts whole blocks only and clips what comes out of each filter. It
    refuses signals of less than a block, 0.4 s; here they are one of their own length.
    """
    wav = wav.double()
    for biquad in k_filters(sample_rate):
        wav = filtered(wav, (biquad,), sample_rate).clamp(-1, 1)
    size = round(0.4 * sample_rate)
    whole = wav.shape[-1] >= size
    blocks = wav.unfold(-1, size, round(0.25 * size)) if whole else wav[..., None, :]
    weights = wav.new_tensor([1, 1, 1, 1.41, 1.41])[: wav.shape[1], None]
    power = (blocks.square().mean(-1) * weights).sum(1)
    counted = _level(power) > -70
    counted &= _level(power) > _level(_mean(power, counted))[:, None] - 10
    return _level(_mean(power, counted))


def _mean(power: Tensor, counted: Tensor) -> Tensor:
    """Mean (B,) of the counted ones of blocks (B, M)."""
    return (power * counted).sum(-1) / counted.sum(-1)


def _level(power: Tensor) -> Tensor:
    return 10 * power.log10() - 0.691
