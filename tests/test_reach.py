"""How far ahead codecs look: what is further changes nothing, and what is that far does."""

import copy
from collections.abc import Callable

import pytest
import torch

from vocable.benchmarks import small
from vocable.codecs import Codec
from vocable.codecs.reach import lookahead

Small = Callable[[str], Codec]
CAUSAL = ["soundstream-16khz", "encodec-24khz", "mimi"]
WHOLE = ["speechtokenizer-hubert", "wavtokenizer-small-600", "stablecodec-4x729"]
# whose windows of attention end at multiples of four latents
AHEAD = ["encodec-32khz", "dac-16khz", "snac-24khz", "vocable-16khz"]


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_codecs_look_to_the_end_of_a_frame(small_codec: Small, name: str) -> None:
    codec = small_codec(name)
    assert lookahead(codec) == codec.hop_length - 1


@pytest.mark.parametrize("name", WHOLE)
def test_some_need_the_whole_signal(small_codec: Small, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vocable.codecs.reach.LIMIT", 256)
    assert lookahead(small_codec(name)) is None


def test_segments_are_heard_whole(small_codec: Small) -> None:
    assert lookahead(small_codec("encodec-48khz")) == 2400 - 1
    assert lookahead(small_codec("semanticodec-100")) == 163_840 - 1


@torch.no_grad()
@pytest.mark.parametrize("name", AHEAD)
def test_nothing_beyond_is_heard(small_codec: Small, name: str) -> None:
    codec = small_codec(name)
    ahead = lookahead(codec)
    assert ahead is not None
    if name != "vocable-16khz":  # whose spectra are of single precision
        codec = copy.deepcopy(codec).double()
    hop, dtype = codec.hop_length, next(codec.parameters()).dtype
    frames = 2 * (ahead // hop + 2)
    wav = small.probe(codec, (frames * hop + 1) / codec.sample_rate)[..., : frames * hop].to(dtype)
    whole = codec.decoder(codec.encoder(wav)[0])[0]
    reached = 0
    for start in range(frames * hop // 2, frames * hop // 2 + hop, max(1, hop // 16)):
        changed = wav.clone()
        changed[..., start:] = 100 * torch.randn_like(changed[..., start:])
        other = codec.decoder(codec.encoder(changed)[0])[0]
        first = int((whole != other).any(1)[0].nonzero()[0])
        assert first >= start - ahead
        reached = max(reached, start - first)
    assert reached >= 0.7 * (ahead - hop // 16)  # the farthest counts for less than rounding


@pytest.mark.parametrize(("name", "strides"), [("dac-16khz", (2, 4, 5, 8)), ("dac-44khz", (2, 4, 8, 8))])
def test_dac_looks_as_far_as_its_layers_say(small_codec: Small, name: str, strides: tuple[int, ...]) -> None:
    """Kernels of 7 at dilations 1, 3 and 9 beside each stride, whose own kernels are twice as long."""
    units = 3 * (1 + 3 + 9)
    last, first = 1, -3  # of the inner convolutions, of frame 0
    for stride in reversed(strides):
        last = last * stride + stride - 1 + stride // 2 + units
        first = first * stride - (stride - stride // 2) - units
    assert lookahead(small_codec(name)) == (last + 3) - (first - 3)


def test_a_narrow_codec_has_the_published_frames() -> None:
    codec = small.small_codec("encodec-24khz", narrow=True)
    assert (codec.hop_length, lookahead(codec)) == (320, 319)
