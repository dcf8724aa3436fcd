"""A codec that works in overlapping segments, each at a loudness of its own."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs.codec import Codec
from vocable.codecs.coded import Coded
from vocable.codecs.coder import CodecOutput
from vocable.quantizers.base import Quantizer


class SegmentedCodec(Codec):
    """Segments of up to `segment` samples every `stride`, each divided by its scale, its own loudness.

    The scale is the root mean square of the mean over the channels, as in EnCodec at 48 kHz
    (https://arxiv.org/abs/2210.13438). The frames of the S = ceil(T / stride) segments stand one after
    another in the codes, their scales (B, S) in `Tokens.scales`. Decoded segments fade linearly into each
    other.
    """

    needs_whole = True

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

    def _analyse(self, wav: Iterable[tuple[Tensor, bool]], num_codebooks: int) -> Iterator[Coded]:
        held: Tensor | None = None
        for piece, final in wav:
            held = piece if held is None else torch.cat([held, piece], -1)
            while held.shape[-1] >= (1 if final else self.segment):
                part, held = held[..., : self.segment], held[..., self.stride :]
                scale = loudness(part)
                z, _ = self.encoder(part / scale)
                yield Coded(self.quantizer.encode(z, num_codebooks), scale[..., 0])

    def _synthesise(self, parts: Iterator[Coded]) -> Iterator[Tensor]:
        wav = weights = fade = torch.zeros(0)  # of the stretch to which the next segment still adds
        for codes, scale, final in self._coded_segments(parts):
            assert scale is not None
            out = self.decoder(self.quantizer.decode(codes))[0].float()
            if not fade.numel():
                wav, weights = out[..., :0], out.new_zeros(0)
                fade = triangle(out.shape[-1]).to(out)
            more = max(0, out.shape[-1] - wav.shape[-1])
            wav, weights = F.pad(wav, (0, more)), F.pad(weights, (0, more))
            weight = fade[: out.shape[-1]]
            wav[..., : out.shape[-1]] += out * scale[..., None] * weight
            weights[: out.shape[-1]] += weight
            known = wav.shape[-1] if final else self.stride
            yield wav[..., :known] / weights[:known]
            wav, weights = wav[..., known:], weights[known:]

    def _coded_segments(self, parts: Iterator[Coded]) -> Iterator[Coded]:
        """Segment by segment, codes (B, K, n) and scale (B, 1)."""
        full = math.ceil(self.segment / self.hop_length)
        short = math.ceil(self.segment / self.stride)  # the segments that may not be full, at most, all last
        done, codes, scales = 0, list[Tensor](), list[Tensor]()
        for part in parts:
            codes.append(part.codes)
            scales += [] if part.scales is None else part.scales.split(1, -1)
            held = torch.cat(codes, -1)
            count = max(0, held.shape[-1] // full - short)
            counts = self.segments(done * full + held.shape[-1])[done:] if part.final else [full] * count
            if len(scales) < len(counts):
                found = (len(held), done + len(scales)) if done + len(scales) else None
                known = f"{(len(held), done + len(counts))}, one for each segment"
                raise ValueError(f"scales are {found}; accepted: {known}")
            *segments, rest = held.split([*counts, held.shape[-1] - sum(counts)], -1)
            for i, segment in enumerate(segments):
                yield Coded(segment, scales[i], part.final and i + 1 == len(counts))
            done, codes, scales = done + len(counts), [rest], scales[len(counts) :]


def loudness(wav: Tensor) -> Tensor:
    """The root mean square (B, 1, 1) of the mean of wav's (B, C, T) channels, and a little more: never 0."""
    return wav.mean(1, keepdim=True).square().mean(-1, keepdim=True).sqrt() + 1e-8


def triangle(length: int) -> Tensor:
    """A window (length,) that rises to its middle and falls from it, nowhere 0."""
    ramp = torch.linspace(0, 1, length + 2)[1:-1]
    return 0.5 - (ramp - 0.5).abs()
