"""How closely ONNX files do what the codec does."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vocable.codecs import audio
from vocable.codecs.codec import Codec
from vocable.codecs.graphs.modules import DecoderGraph, EncoderGraph
from vocable.codecs.graphs.onnx import DECODER, ENCODER

CODES, AUDIO = 0.999, 1e-4
SECONDS, SHIFTS = 6.0, 8  # of speech in the longest trials, and how many of them


class Agreement(NamedTuple):
    """codes: share of them that are equal. audio: largest error, as a share of the audio's peak."""

    codes: float
    audio: float

    @property
    def reached(self) -> bool:
        """Whether at least 99.9 % of the codes are equal, and audio to 1e-4 of its peak."""
        return self.codes >= CODES and self.audio <= AUDIO

    def __str__(self) -> str:
        return f"{100 * self.codes:.3f} % of codes equal, audio to {self.audio:.1e} of its peak"


def measure(codec: Codec, num_codebooks: int | None, folder: Path, speech: Tensor) -> Agreement:
    """The files in `folder`, run by onnxruntime, against `codec` on speech (C, T) at its rate.

    At a few units of the length and at many, alone and as a batch of two; an error counts by the largest peak
    among the trials.
    """
    encoder, decoder = EncoderGraph(codec, num_codebooks), DecoderGraph(codec)
    of_encoder, of_decoder = (Session(folder / name) for name in (ENCODER, DECODER))
    equal = count = 0
    error = peak = 0.0
    for wav in trials(speech, encoder.samples):
        codes, found = encoder(wav), of_encoder(wav)
        if found.shape != codes.shape or found.dtype != codes.dtype:
            raise ValueError(
                f"{ENCODER} gives {tuple(found.shape)} {found.dtype}; accepted: {tuple(codes.shape)}"
            )
        equal, count = equal + int((found == codes).sum()), count + codes.numel()
        # the same codes for both: those that differ are counted already
        out, made = decoder(codes), of_decoder(codes)
        if made.shape != out.shape:
            raise ValueError(f"{DECODER} gives {tuple(made.shape)}; accepted: {tuple(out.shape)}")
        error, peak = max(error, float((made - out).abs().max())), max(peak, float(out.abs().max()))
    return Agreement(equal / count, error / max(peak, 1e-12))


def trials(speech: Tensor, unit: int) -> list[Tensor]:
    """Batches (B, C, T) of the speech, T multiples of `unit`.

    They begin at different places within a frame, so that none counts twice: the codes of one in a thousand
    hang on the last digit of its distances.
    """
    units = (speech.shape[-1] - unit) // unit
    odd = speech[None, :, unit // 3 :]
    short = [odd[..., : n * unit] for n in sorted({1, 2, 3, 7, units // 3}) if 0 < n <= units]
    starts = [i * unit // SHIFTS for i in range(SHIFTS)]
    long = [speech[:, start : start + units * unit] for start in starts]
    return [*short, torch.stack(long[:2]), *(wav[None] for wav in long[2:])]


def speech_at(codec: Codec) -> Tensor:
    """The package's recording (C, T) at the codec's rate, past its first half second."""
    from vocable.codecs.cli import clip

    wav, rate = audio.read(clip())
    wav = audio.resample(wav[:, rate // 2 :], rate, codec.sample_rate)
    return audio.to_channels(wav, codec.channels)[:, : round(SECONDS * codec.sample_rate)].contiguous()


class Session:
    """An ONNX file of one input and one output, run by onnxruntime on the CPU.

    threads: 0 for onnxruntime's own choice.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name

    def __call__(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {self.name: x.numpy()})[0])
