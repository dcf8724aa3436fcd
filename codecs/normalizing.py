"""A codec that works at one loudness."""

from collections.abc import Iterable, Iterator
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.codec import Codec
from vocable.codecs.coded import Coded
from vocable.codecs.loudness import filtered, k_filters
from vocable.quantizers.base import Quantizer

_SILENCE = 1e-6  # mean square below which a signal is left as it is
_PEAK = 0.95  # where a signal that would clip is brought to


class NormalizingCodec(Codec):
    """A codec that brings every signal to `target` LUFS before it encodes, and back after it decodes.

    `Tokens.scales` (B, 1) holds what it divides and multiplies by; bare codes decode at the target. Training
    is on the signal as it is.
    """

    needs_whole = True

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

    def _analyse(self, wav: Iterable[tuple[Tensor, bool]], num_codebooks: int) -> Iterator[Coded]:
        gain = normalizing_gain((piece for piece, _ in wav), self.sample_rate, self.target)[:, None]
        scales: Tensor | None = 1 / gain
        loud = ((piece * gain[..., None], final) for piece, final in wav)
        for part in super()._analyse(loud, num_codebooks):
            yield part._replace(scales=scales)
            scales = None

    def _synthesise(self, parts: Iterator[Coded]) -> Iterator[Tensor]:
        first = next(parts)
        for wav in super()._synthesise(chain([first], parts)):
            yield wav if first.scales is None else wav * first.scales[..., None]


def normalizing_gain(wav: Iterable[Tensor], sample_rate: int, target: float) -> Tensor:
    """The factor (B,) that brings wav, pieces (B, C, T), to `target` LUFS, or its peak to 0.95 if it'd clip.

    1 for silence: a mean square under 1e-6, or nothing that the meter counts. As stable-audio-tools does it
    (https://github.com/Stability-AI/stable-audio-tools).
    """
    meter, peak, square, count = _Meter(sample_rate), torch.zeros(1), torch.zeros(1), 0
    for piece in wav:
        meter.add(piece)
        peak = torch.maximum(piece.abs().amax((1, 2)), peak.to(piece))
        square = piece.square().mean((1, 2)) * piece.shape[-1] + square.to(piece)
        count += piece.shape[-1]
    gain = 10 ** ((target - meter.loudness()) / 20).to(peak.dtype)
    gain = torch.where(gain * peak > 1, _PEAK / peak, gain)
    audible = (square / count >= _SILENCE) & gain.isfinite()
    return torch.where(audible, gain, 1)


class _Meter:
    """Integrated loudness (B,) float64 of a signal in LUFS as torchaudio measures it, NaN for silence.

    Unlike `loudness.loudness`, it counts whole blocks only and clips what comes out of each filter. It
    refuses signals of less than a block, 0.4 s; here they are one of their own length.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.size = round(0.4 * sample_rate)
        self.step = round(0.25 * self.size)
        self.tails: list[Tensor | None] = [None, None]
        self.rest: Tensor | None = None
        self.powers: list[Tensor] = []  # of blocks, (B, M)

    def add(self, wav: Tensor) -> None:
        """The next piece (B, C, T)."""
        wav, length = wav.double(), wav.shape[-1]
        for i, biquad in enumerate(k_filters(self.sample_rate)):
            # what a piece leaves ringing in a filter, which fades within a second, adds to the next
            heard = filtered(F.pad(wav, (0, self.sample_rate)), (biquad,), self.sample_rate)
            if (tail := self.tails[i]) is not None:
                heard[..., : self.sample_rate] += tail
            wav, self.tails[i] = heard[..., :length].clamp(-1, 1), heard[..., length:]
        self.rest = wav if self.rest is None else torch.cat([self.rest, wav], -1)
        if self.rest.shape[-1] >= self.size:
            blocks = self.rest.unfold(-1, self.size, self.step)
            self.powers.append(_power(blocks))
            self.rest = self.rest[..., blocks.shape[-2] * self.step :]

    def loudness(self) -> Tensor:
        """Of all that was added."""
        assert self.rest is not None
        power = torch.cat(self.powers, -1) if self.powers else _power(self.rest[..., None, :])
        counted = _level(power) > -70
        counted &= _level(power) > _level(_mean(power, counted))[:, None] - 10
        return _level(_mean(power, counted))


def _power(blocks: Tensor) -> Tensor:
    """Of blocks (B, C, M, T), all channels together: (B, M)."""
    weights = blocks.new_tensor([1, 1, 1, 1.41, 1.41])[: blocks.shape[1], None]
    return (blocks.square().mean(-1) * weights).sum(1)


def _mean(power: Tensor, counted: Tensor) -> Tensor:
    """Mean (B,) of the counted ones of blocks (B, M)."""
    return (power * counted).sum(-1) / counted.sum(-1)


def _level(power: Tensor) -> Tensor:
    return 10 * power.log10() - 0.691
