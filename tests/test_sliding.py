"""Codecs that look ahead, in chunks: exact where their layers go on or a window holds what matters."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vocable.benchmarks import small
from vocable.benchmarks.sliding import deviation
from vocable.benchmarks.small import BUILT_IN
from vocable.codecs import Codec
from vocable.codecs.ends import Window
from vocable.codecs.report import streaming
from vocable.codecs.sliding import SlidingStream

EXACT = (BUILT_IN, "encodec-32khz", "dac-16khz", "snac-44khz", "bigcodec")
WINDOWED = ("speechtokenizer-hubert", "wavtokenizer-small-600")
WHOLE = ("encodec-48khz", "stablecodec-speech-16khz", "semanticodec-100")


@cache
def small_codec(name: str) -> Codec:
    return small.small_codec(name)


def sliding(name: str, **options: float) -> SlidingStream:
    stream = small_codec(name).stream(context=options.get("context", 0.2), lookahead=options.get("lookahead"))
    assert isinstance(stream, SlidingStream)
    return stream


def noise(stream: SlidingStream, frames: float) -> Tensor:
    samples = round(frames * stream.codec.hop_length)
    shape = (1, stream.codec.channels, samples)
    return 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def in_chunks(stream: SlidingStream, wav: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Codes, and the audio of the codes, by chunks of these many samples, and of these many frames."""
    cuts = torch.tensor([0, *sizes]).cumsum(0)
    codes = [stream.encode(part) for part in wav.tensor_split(cuts.clamp(max=wav.shape[-1]), -1)]
    codes = torch.cat([*codes, stream.flush()], -1)
    parts = codes.tensor_split((cuts // stream.codec.hop_length).clamp(max=codes.shape[-1]), -1)
    wavs = [stream.decode(part, final=i + 1 == len(parts)) for i, part in enumerate(parts)]
    return codes, torch.cat(wavs, -1)


def close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 2e-5 * expected.abs().max()


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=2, deadline=None)
@given(
    frames=st.one_of(st.floats(0.1, 20), st.integers(1, 9)), sizes=st.lists(st.integers(0, 900), max_size=5)
)
def test_layers_that_go_on_give_the_whole_signal(name: str, frames: float, sizes: list[int]) -> None:
    stream = sliding(name)
    wav = noise(stream, frames)
    assert stream.exact
    tokens = stream.codec.encode(wav)
    for _ in range(2):  # a second signal begins anew
        codes, back = in_chunks(stream, wav, sizes)
        assert torch.equal(codes, tokens.codes)
        close(back, stream.codec.decode(tokens.codes))


@pytest.mark.parametrize(("name", "seconds"), [("dac-16khz", 0.3), (BUILT_IN, 0.1)])
def test_a_window_over_the_receptive_field_gives_the_whole_signal(name: str, seconds: float) -> None:
    wide = sliding(name, context=seconds, lookahead=seconds)
    assert isinstance(wide.encoder, Window)
    assert not wide.exact  # it is, but a window can't know
    wav = noise(wide, 3.3 * wide.encoder.step)
    tokens = wide.codec.encode(wav)
    codes, back = in_chunks(wide, wav, [501] * 9)
    assert torch.equal(codes, tokens.codes)
    close(back, wide.codec.decode(tokens.codes))
    narrow = sliding(name, context=seconds, lookahead=0.0)
    assert (in_chunks(narrow, wav, [501] * 9)[1] - back).abs().max() > 1e-3


@pytest.mark.parametrize("name", WINDOWED)
@settings(max_examples=2, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=6))
def test_a_window_gives_the_same_by_any_chunks(name: str, sizes: list[int]) -> None:
    stream = sliding(name, context=0.05)
    wav = noise(stream, 40.4)
    codes, back = in_chunks(stream, wav, [wav.shape[-1]])
    again, wavs = in_chunks(stream, wav, sizes)
    assert torch.equal(again, codes)
    close(wavs, back)
    assert codes.shape == stream.codec.encode(wav).codes.shape


@pytest.mark.parametrize("name", ["encodec-32khz", "snac-44khz", *WINDOWED])
@pytest.mark.parametrize("lookahead", [None, 0.01])
def test_nothing_comes_later_than_it_says(name: str, lookahead: float | None) -> None:
    stream = small_codec(name).stream(context=0.02, lookahead=lookahead)
    assert isinstance(stream, SlidingStream)
    hop, late = stream.codec.hop_length, 0
    allowed = round(stream.latency * stream.codec.sample_rate / 1000)
    given = known = 0
    for chunk in noise(stream, 45).split(hop, -1):
        given += chunk.shape[-1]
        late = max(late, given - known)  # the sample after those known waits for at least this one
        known += stream.decode(stream.encode(chunk)).shape[-1]
    assert known > 0
    assert late <= allowed
    assert late > allowed / 3


def test_deviation_is_measured() -> None:
    codec = small_codec("speechtokenizer-hubert")
    wav = 0.3 * torch.randn(1, 5000, generator=torch.Generator().manual_seed(0))
    near, far = deviation(codec, wav, 0.3), deviation(codec, wav, 0.01)
    assert near.codes < far.codes
    assert near.snr > 90  # the decoder is exact
    assert not near.exact
    exact = deviation(small_codec("dac-16khz"), wav, 0.5)
    assert exact.codes == 0
    assert exact.snr > 90


@pytest.mark.parametrize("name", WHOLE)
def test_codecs_of_whole_signals_say_so(name: str) -> None:
    codec = small_codec(name)
    with pytest.raises(
        ValueError, match="takes the whole signal, or segments of one length, at once; accepted"
    ):
        codec.stream(context=1.0)


def test_refuses() -> None:
    codec = small_codec("dac-16khz")
    with pytest.raises(
        AttributeError, match=r"its encoder is not causal.* accepted: stream\(context=seconds"
    ):
        codec.stream()
    with pytest.raises(ValueError, match=r"context is -1\.0 s, lookahead None; accepted"):
        codec.stream(context=-1.0)
    stream = codec.stream(context=1.0)
    with pytest.raises(ValueError, match="flush before any chunk"):
        stream.flush()
    with pytest.raises(ValueError, match=r"chunk is torch.int64 \(1, 1, 5\); accepted"):
        stream.encode(torch.zeros(1, 1, 5, dtype=torch.int64))
    causal = small_codec("mimi").stream(context=1.0)
    assert causal.exact
    assert causal.lookahead == (0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "dac-16khz",
            "380 ms, exact: a frame of 20 ms, a look-ahead of 160 ms to encode and 200 ms to decode",
        ),
        ("speechtokenizer-hubert", "by a window: 2012 ms with stream(context=1.0), and not the whole"),
        ("encodec-24khz", "1.667 ms: a frame, no look-ahead; 11.67 ms at the start"),
        ("mimi", "3.333 ms: a frame, no look-ahead"),
        ("encodec-48khz", "none: the codec takes the whole signal, or segments of one length"),
    ],
)
def test_info_says_how_late_a_stream_is(name: str, text: str) -> None:
    assert streaming(small_codec(name)).startswith(text)
