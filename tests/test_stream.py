"""Streams: chunks of any length give what the whole signal gives."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vocable.codecs import Codec
from vocable.codecs.build import build
from vocable.codecs.zoo.encodec import encodec_24khz


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 57), min_size=1, max_size=8))
def test_stream_is_the_whole_signal_at_once(codec: Codec, chunks: list[int]) -> None:
    wav = torch.rand(2, 1, sum(chunks), generator=torch.Generator().manual_seed(0)) - 0.5
    stream, other = codec.stream(), codec.stream()
    parts = []
    for chunk in wav.split(chunks, dim=-1):
        parts.append(stream.encode(chunk))
        other.encode(-chunk)  # a second signal on the same codec at the same time
    parts.append(stream.flush())
    tokens = codec.encode(wav)
    assert torch.equal(torch.cat(parts, dim=-1), tokens.codes)
    back = [stream.decode(part) for part in parts if part.shape[-1]]
    whole = codec.decode(tokens.codes)
    torch.testing.assert_close(torch.cat(back, dim=-1), whole, rtol=0, atol=1e-5)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(1, 57), min_size=1, max_size=12))
def test_a_stream_that_mirrors_its_start_waits_for_it(chunks: list[int]) -> None:
    torch.manual_seed(0)
    codec = encodec_24khz(dim=2, ratios=(5, 2), latent_dim=4, num_codebooks=2, codebook_size=16).eval()
    wav = torch.rand(2, 1, sum(chunks), generator=torch.Generator().manual_seed(0)) - 0.5
    stream = codec.stream()
    parts = [*(stream.encode(chunk) for chunk in wav.split(chunks, dim=-1)), stream.flush()]
    tokens = codec.encode(wav)
    assert torch.equal(torch.cat(parts, dim=-1), tokens.codes)
    frames = list(tokens.codes.split(1, dim=-1))
    back = [stream.decode(frame, final=frame is frames[-1]) for frame in frames]
    torch.testing.assert_close(torch.cat(back, dim=-1), codec.decode(tokens.codes), rtol=0, atol=1e-5)
    first = min(7, len(frames))
    assert [part.shape[-1] for part in back] == [0] * (first - 1) + [10 * first] + [10] * (
        len(frames) - first
    )


def test_stream_refuses(codec: Codec, node: dict[str, Any]) -> None:
    stream = codec.stream()
    with pytest.raises(ValueError, match="flush before any chunk"):
        stream.flush()
    stream.encode(torch.zeros(1, 1, 5))
    for chunk in (torch.zeros(2, 1, 5), torch.zeros(1, 5), torch.full((1, 1, 5), torch.nan)):
        with pytest.raises(ValueError, match="accepted"):
            stream.encode(chunk)
    offline = build(node | {"encoder": node["encoder"] | {"causal": False}})
    with pytest.raises(AttributeError, match="its encoder is not causal"):
        offline.stream()
