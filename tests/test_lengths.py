"""Every codec of the zoo gives back exactly the samples that went in, whatever their number and rate."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vocable.benchmarks import small
from vocable.codecs import Codec
from vocable.codecs.segmented import SegmentedCodec

Small = Callable[[str], Codec]
SLOW = "semanticodec-100"  # decoding takes the better part of a second, whatever the length
QUICK = [name for name in small.NAMES if name != SLOW]
some = settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def noise(codec: Codec, samples: int, channels: int | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(samples)
    return 0.3 * torch.randn(1, channels or codec.channels, samples, generator=generator)


def check(codec: Codec, samples: int, rate: int | None = None) -> None:
    """`samples` at `rate`, None for the codec's own, to tokens and back."""
    wav = noise(codec, samples, None if rate is None else 2)
    tokens = codec.encode(wav, rate)
    back = codec.decode(tokens, rate)
    assert back.shape == (1, codec.channels, samples)
    assert bool(back.isfinite().all())
    if rate is None:
        assert tokens.lengths.tolist() == [samples]
        whole = codec.decode(tokens, untrimmed=True)
        assert whole.shape[-1] >= samples
        assert torch.equal(whole[..., :samples], back)
        if not isinstance(codec, SegmentedCodec):  # whose segments overlap
            assert whole.shape[-1] == tokens.codes.shape[-1] * codec.hop_length


@pytest.mark.parametrize("name", QUICK)
def test_one_sample_and_the_neighbours_of_whole_frames(small_codec: Small, name: str) -> None:
    codec = small_codec(name)
    for samples in (1, codec.hop_length, codec.hop_length + 1):
        check(codec, samples)


@pytest.mark.parametrize("name", QUICK)
@some
@given(data=st.data())
def test_any_length(small_codec: Small, name: str, data: st.DataObject) -> None:
    codec = small_codec(name)
    near = st.builds(lambda n, d: n * codec.hop_length + d, st.integers(1, 4), st.integers(-1, 1))
    check(codec, data.draw(near | st.integers(1, 4 * codec.hop_length)))


@pytest.mark.parametrize("name", QUICK)
@some
@given(data=st.data())
def test_any_length_at_another_rate(small_codec: Small, name: str, data: st.DataObject) -> None:
    codec = small_codec(name)
    rate = data.draw(st.sampled_from([8000, 11025, 22050, 44100, 48000]))
    frame = codec.hop_length * rate // codec.sample_rate
    check(codec, data.draw(st.integers(1, 3 * frame + 3)), rate)


@pytest.mark.parametrize("extra", [-1, 0, 1, 24, 25])
@pytest.mark.parametrize("segments", [1, 2])
def test_segments_that_begin_or_end_with_the_signal(small_codec: Small, segments: int, extra: int) -> None:
    """EnCodec at 48 kHz: the second segment may be of one sample, or be all overlap."""
    codec = small_codec("encodec-48khz")
    assert isinstance(codec, SegmentedCodec)
    check(codec, segments * codec.stride + extra)


def test_semanticodec(small_codec: Small) -> None:
    codec, samples = small_codec(SLOW), 2560  # which ends with a patch: there is a frame more
    tokens = codec.encode(noise(codec, samples))
    back = codec.decode(tokens)
    assert back.shape == (1, 1, samples)
    assert bool(back.isfinite().all())
