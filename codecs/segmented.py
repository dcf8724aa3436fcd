"""A codec that works in overlapping segments, each at a loudness of its own."""

import math
from bisect import bisect_left

import torch
from torch import Tensor, nn

from vocable.codecs.codec import Codec, CodecOutput
from vocable.quantizers.base import Quantizer


class SegmentedCodec(Codec):
    """Segments of up to `segment` samples every `stride`, each divided by its scale, its own loudness.

    The scale is the root mean square of the mean over the channels, as in EnCodec at 48 kHz
    (https://arxiv.org/abs/2210.13438). The frames of the S = ceil(T / stride) segments stand one after
    another in the codes, their scales (B, S) in `Tokens.scales`. Decoded segments fade linearly into each
    other. One segment at a time is in work, so memory grows with the signal by little more than the signal.
    """

    def __init__(
        self,
        encoder: nn.Module,
        quantizer: Quantizer,
        decoder: nn.Module,
        sample_rate: int,
        channels: int,
        segment: int,
        stride: int,
    ) -> None:
        super().__init__(encoder, quantizer, decoder, sample_rate, channels)
        if not 0 < stride <= segment:
            raise ValueError(f"stride is {stride} for segments of {segment}; accepted: 1 to {segment}")
        self.segment, self.stride = segment, stride

    def forward(self, wav: Tensor, num_codebooks: int | None = None) -> CodecOutput:
        """The training pass, with wav (B, C, T) as one segment, whatever T."""
        self._check_batch(wav)
        scale = loudness(wav)
        out = super().forward(wav / scale, num_codebooks)
        return out._replace(wav=out.wav * scale)

    def segments(self, frames: int) -> list[int]:
        """The frames of each segment of a signal that has `frames`; ValueError where none has so many.

        >>> encodec_48khz().segments(152)  # of a second, 48,000 samples
        [150, 2]
        """
        # with more samples no segment has fewer frames, so the sum tells them all
        lengths = range(frames * self.hop_length + 1)
        length = bisect_left(lengths, frames, key=lambda length: sum(self._frames(length)))
        found = self._frames(length)
        if sum(found) != frames:
            near = sum(self._frames(length - 1)), sum(found)
            raise ValueError(f"codes have {frames} frames, as no signal has; accepted near it: {near}")
        return found

    def _frames(self, length: int) -> list[int]:
        """The frames of each segment of `length` samples."""
        starts = range(0, length, self.stride)
        return [math.ceil(min(self.segment, length - start) / self.hop_length) for start in starts]

    def _analyse(self, wav: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor | None]:
        codes, scales = [], []
        for start in range(0, wav.shape[-1], self.stride):
            part = wav[..., start : start + self.segment]
            scale = loudness(part)
            z, _ = self.encoder(part / scale)
            codes.append(self.quantizer.encode(z, num_codebooks))
            scales.append(scale[..., 0])
        return torch.cat(codes, -1), torch.cat(scales, -1)

    def _synthesise(self, codes: Tensor, scales: Tensor | None) -> Tensor:
        counts = self.segments(codes.shape[-1])
        if scales is None or scales.shape[-1] < len(counts):
            found = None if scales is None else tuple(scales.shape)
            raise ValueError(
                f"scales are {found}; accepted: {(len(codes), len(counts))}, one for each segment"
            )
        end = max(i * self.stride + count * self.hop_length for i, count in enumerate(counts))
        wav = scales.new_zeros(len(codes), self.channels, end)
        weights = scales.new_zeros(end)
        fade = triangle(counts[0] * self.hop_length).to(scales)
        for i, part in enumerate(codes.split(counts, -1)):
            out, _ = self.decoder(self.quantizer.decode(part))
            weight = fade[: out.shape[-1]]
            span = slice(i * self.stride, i * self.stride + out.shape[-1])
            wav[..., span] += out * scales[:, i, None, None] * weight
            weights[span] += weight
        return wav.div_(weights)


def loudness(wav: Tensor) -> Tensor:
    """The root mean square (B, 1, 1) of the mean of wav's (B, C, T) channels, and a little more: never 0."""
    return wav.mean(1, keepdim=True).square().mean(-1, keepdim=True).sqrt() + 1e-8


def triangle(length: int) -> Tensor:
    """A window (length,) that rises to its middle and falls from it, nowhere 0."""
    ramp = torch.linspace(0, 1, length + 2)[1:-1]
    return 0.5 - (ramp - 0.5).abs()
