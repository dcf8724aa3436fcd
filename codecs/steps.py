"""One step of a stream as a graph: `torch.export`ed encoder and decoder, state in and state out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from vocable.codecs.backbones.conv import State
from vocable.codecs.state import filled, tensors
from vocable.codecs.stream import first_frames

if TYPE_CHECKING:
    from vocable.codecs.codec import Codec


Forward = Callable[[Tensor, State], tuple[Tensor, State]]


class Steps(NamedTuple):
    """Both ends of a stream as graphs, for one batch and one number of frames at a time.

    encoder: `encoder.module()(wav (B, C, frames * hop), state) -> (codes (B, K, frames), state)`.
    decoder: `decoder.module()(codes (B, K, frames), state) -> (wav (B, C, frames * hop), state)`; it does not
    check codes. States are lists of tensors: those of a `Stream`, in the order of `state.tensors`.
    """

    encoder: ExportedProgram
    decoder: ExportedProgram


class Step(nn.Module):
    """One end with its state as a list of tensors. parts: hold the weights that `forward` works with."""

    def __init__(self, parts: list[nn.Module], run: Forward, like: State) -> None:
        super().__init__()
        self.parts, self.run, self.like = nn.ModuleList(parts), run, like

    def forward(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        y, after = self.run(x, filled(self.like, state))
        return y, list(tensors(after))


def export_steps(codec: "Codec", frames: int = 1, batch: int = 1, num_codebooks: int | None = None) -> Steps:
    """The steps of a causal codec as graphs, for streams that have begun.

    The first frame, whose state is None (for EnCodec the first 7), is `Stream`'s to work on.
    AttributeError for a codec that looks ahead.
    """
    books, device, hop = codec.stream(num_codebooks).num_codebooks, codec._device, codec.hop_length

    def encode(wav: Tensor, state: State) -> tuple[Tensor, State]:
        z, state = codec.encoder(wav, state)
        return codec.quantizer.encode(z, books), state

    def decode(codes: Tensor, state: State) -> tuple[Tensor, State]:
        return codec.decoder(codec.quantizer.decode(codes), state)

    wav = torch.zeros(batch, codec.channels, first_frames(codec.encoder) * hop, device=device)
    codes = torch.zeros(batch, books, first_frames(codec.decoder), dtype=torch.int64, device=device)
    with codec._exactly():
        return Steps(
            _exported([codec.encoder, codec.quantizer], encode, wav, frames * hop),
            _exported([codec.quantizer, codec.decoder], decode, codes, frames),
        )


def _exported(parts: list[nn.Module], run: Forward, first: Tensor, count: int) -> ExportedProgram:
    like = run(first, None)[1]
    chunk = first.new_zeros(*first.shape[:2], count)
    return torch.export.export(Step(parts, run, like).eval(), (chunk, list(tensors(like))), strict=False)
