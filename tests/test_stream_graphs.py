"""Exported graphs of one step of a stream, state in and state out, give what the stream gives."""

import io
from typing import Any

import pytest
import torch
from torch import Tensor

from vocable.benchmarks.small import small_codec
from vocable.codecs.state import filled, tensors
from vocable.codecs.steps import export_steps

CAUSAL = ("encodec-24khz", "mimi", "soundstream-16khz")


def through_a_file(graph: Any) -> Any:
    file = io.BytesIO()
    torch.export.save(graph, file)
    file.seek(0)
    return torch.export.load(file).module()


def close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "filed"),
    [("mimi", False), *(pytest.param(name, True, marks=pytest.mark.full) for name in CAUSAL)],
)
def test_graphs_of_a_step_are_the_stream(name: str, filed: bool) -> None:
    codec, batch, frames = small_codec(name), 2, 2
    steps = export_steps(codec, frames, batch)
    encoder, decoder = (through_a_file(step) if filed else step.module() for step in steps)
    hop = codec.hop_length
    wav = 0.5 * torch.randn(batch, 1, 31 * hop, generator=torch.Generator().manual_seed(0))
    stream = codec.stream()
    codes = [stream.encode(wav[..., : 7 * hop])]
    back = [stream.decode(codes[0])]
    kept, made = list(tensors(stream.encoder_state)), list(tensors(stream.decoder_state))
    before = [tensor.clone() for tensor in kept]
    for chunk in wav[..., 7 * hop :].split(frames * hop, -1):
        found, after = encoder(chunk, kept)
        assert all(torch.equal(a, b) for a, b in zip(kept, before, strict=True))  # in is not out
        kept, before = after, [tensor.clone() for tensor in after]
        audio, made = decoder(found, made)
        codes.append(found)
        back.append(audio)
    whole = codec.encode(wav).codes
    assert torch.equal(torch.cat(codes, -1), whole)
    close(torch.cat(back, -1), codec.decode(whole))
    stream.encoder_state = filled(stream.encoder_state, kept)  # and back into a stream
    more = stream.encode(wav[..., :hop])
    assert torch.equal(more, codec.encode(torch.cat([wav, wav[..., :hop]], -1)).codes[..., -1:])


def test_refuses_a_codec_that_looks_ahead() -> None:
    with pytest.raises(AttributeError, match="its encoder is not causal"):
        export_steps(small_codec("dac-16khz"))
