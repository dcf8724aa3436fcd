"""A codec's two halves as modules of one input and one output, and as programs of any batch and length."""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from vocable.codecs.codec import Codec
from vocable.codecs.normalizing import NormalizingCodec
from vocable.codecs.segmented import SegmentedCodec


class EncoderGraph(nn.Module):
    """Wav (B, C, T), T a multiple of `samples`, to codes (B, K, N) int64, as `Codec.encode` gives them.

    num_codebooks: K, from the first; None: all. `torch.compile(graph, fullgraph=True)` compiles it whole.
    ValueError for a codec whose tokens hold more than codes: one that works in segments or normalises.
    """

    def __init__(self, codec: Codec, num_codebooks: int | None = None) -> None:
        super().__init__()
        _check(codec)
        self.encoder, self.quantizer = codec.encoder, codec.quantizer
        self.num_codebooks = codec.quantizer.check_num_codebooks(num_codebooks)
        self.samples = codec.hop_length * frame_multiple(codec)

    def forward(self, wav: Tensor) -> Tensor:
        with _without_gradient():
            z, _ = self.encoder(wav)
            return self.quantizer.encode(z, self.num_codebooks)


class DecoderGraph(nn.Module):
    """Codes (B, K, N) int64, N a multiple of `frames`, to wav (B, C, N * hop_length) float32.

    Nothing checks that codes are in range. ValueError as for `EncoderGraph`.
    """

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        _check(codec)
        self.quantizer, self.decoder = codec.quantizer, codec.decoder
        self.frames = frame_multiple(codec)

    def forward(self, codes: Tensor) -> Tensor:
        with _without_gradient():
            wav, _ = self.decoder(self.quantizer.decode(codes))
            return wav.float()


class Programs(NamedTuple):
    """`torch.export`'s programs of both halves."""

    encoder: ExportedProgram
    decoder: ExportedProgram


def frame_multiple(codec: Codec) -> int:
    """The frames of a whole signal are a multiple of this: 1, but for SNAC's windows of attention."""
    return cast(int, getattr(codec.encoder, "whole", codec.hop_length)) // codec.hop_length


@torch.no_grad()
def programs(codec: Codec, num_codebooks: int | None = None) -> Programs:
    """Both halves by `torch.export`, for any batch, and any number of frames (of `samples`) but one.

    To torch one is not a size like others, and makes a program of its own.

    num_codebooks: as for `EncoderGraph`; the decoder's too. ValueError as there, and in training mode.
    """
    if codec.training:
        raise ValueError("the codec is in training mode; accepted: codec.eval()")
    encoder, decoder = EncoderGraph(codec, num_codebooks), DecoderGraph(codec)
    weight = next(codec.encoder.parameters())
    wav = weight.new_zeros(2, codec.channels, 3 * encoder.samples, dtype=torch.float32)
    codes = torch.zeros(2, encoder.num_codebooks, 3 * decoder.frames, dtype=torch.int64, device=weight.device)
    return Programs(_program(encoder, wav, encoder.samples), _program(decoder, codes, decoder.frames))


def _program(graph: nn.Module, example: Tensor, unit: int) -> ExportedProgram:
    length = Dim("frames", min=2)
    shape = {0: Dim("batch", min=1), 2: length if unit == 1 else unit * length}
    # what holds but is beyond its algebra is checked when the program runs, with the rest
    return torch.export.export(
        graph.eval(),
        (example,),
        dynamic_shapes=(shape,),
        strict=False,
        prefer_deferred_runtime_asserts_over_guards=True,
    )


def _without_gradient() -> AbstractContextManager[None]:
    """No gradient; nothing where there is none, so that a program doesn't hold the change."""
    return torch.no_grad() if torch.is_grad_enabled() else nullcontext()


def _check(codec: Codec) -> None:
    if isinstance(codec, SegmentedCodec | NormalizingCodec):
        kind = type(codec).__name__
        raise ValueError(f"codec is a {kind}, whose tokens hold scales; accepted: codecs of codes alone")
