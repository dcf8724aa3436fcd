"""Streams: chunks of any length give what the whole signal gives."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vocable.codecs import Codec
from vocable.codecs.build import build


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
