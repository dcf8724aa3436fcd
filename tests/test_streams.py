"""Causal codecs in chunks: any chunks, of many signals at once, give what each gives whole and alone."""

from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vocable.benchmarks.small import enliven, small_codec
from vocable.codecs import Codec
from vocable.codecs.backbones.dac import DACDecoder, DACEncoder
from vocable.codecs.stream import first_frames
from vocable.codecs.streams import Streams
from vocable.quantizers.rvq import factorized_rvq

CAUSAL = ("encodec-24khz", "mimi", "soundstream-16khz", "causal-dac")
drawn = settings(max_examples=6, deadline=None)


@cache
def causal(name: str) -> Codec:
    if name != "causal-dac":
        return small_codec(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shape = {"latent_dim": 8, "causal": True}
        encoder, decoder = DACEncoder(4, (2, 4), **shape), DACDecoder(16, (4, 2), **shape)
        return enliven(Codec(encoder, factorized_rvq(8, 3, 16, 4), decoder, 16_000))


def noise(samples: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 0.5 * torch.randn(1, samples, generator=generator)


def close(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("name", CAUSAL)
@drawn
@given(data=st.data())
def test_any_chunks_give_the_whole_signal(name: str, data: st.DataObject) -> None:
    codec = causal(name)
    samples = data.draw(st.integers(1, 30 * codec.hop_length), "samples")
    cuts = data.draw(
        st.lists(st.one_of(st.sampled_from([0, 1, samples]), st.integers(0, samples)), max_size=7)
    )
    wav = noise(samples)[None]
    tokens = codec.encode(wav)
    stream = codec.stream()
    edges = [0, *sorted(cuts), samples]
    chunks = [wav[..., start:end] for start, end in pairwise(edges)]
    codes = torch.cat([*map(stream.encode, chunks), stream.flush()], -1)
    assert torch.equal(codes, tokens.codes)
    frames = codes.shape[-1]
    edges = [0, *sorted(min(cut, frames) for cut in cuts), frames]
    parts = [codes[..., start:end] for start, end in pairwise(edges)]
    wavs = [stream.decode(part, final=i + 1 == len(parts)) for i, part in enumerate(parts)]
    close(torch.cat(wavs, -1), codec.decode(codes))


@pytest.mark.parametrize("name", CAUSAL)
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_each_of_many_is_what_it_is_alone(name: str, seed: int) -> None:
    """Five signals join at their own times, bring chunks of any size or none, and leave; others take over."""
    codec, random = causal(name), torch.Generator().manual_seed(seed)

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=random))

    hop = codec.hop_length
    wavs = [noise(1 + below(20 * hop), seed + i) for i in range(5)]
    streams, waiting, done = Streams(codec), list(range(5)), list[int]()
    codes, back = [[torch.zeros(codec.num_codebooks, 0, dtype=torch.int64)] for _ in wavs], [[] for _ in wavs]
    at, number = [0] * 5, dict[int, int]()
    while len(done) < 5:
        if waiting and (not number or not below(3)):
            number[waiting.pop()] = streams.join()
        here = [i for i in number if below(4)]
        takes = {i: below((1, 2 * hop, 5 * hop)[below(3)]) for i in here}
        chunks = {number[i]: wavs[i][:, at[i] : at[i] + takes[i]] for i in here}
        found = streams.encode(chunks)
        at = [end + takes.get(i, 0) for i, end in enumerate(at)]
        ended = [i for i in here if at[i] >= wavs[i].shape[-1]]
        flushed = streams.flush(number[i] for i in ended)
        found = {n: torch.cat([part, flushed[n]], -1) if n in flushed else part for n, part in found.items()}
        made = streams.decode(found, final=flushed)
        for i in here:
            codes[i].append(found[number[i]])
            back[i].append(made[number[i]])
        for i in ended:
            streams.leave(number.pop(i))
            done.append(i)
    assert len(streams) == 0
    for i, wav in enumerate(wavs):
        tokens = codec.encode(wav)
        assert torch.equal(torch.cat(codes[i], -1), tokens.codes[0])
        close(torch.cat(back[i], -1), codec.decode(tokens.codes)[0])


@pytest.mark.parametrize("name", CAUSAL)
def test_in_step_they_are_one_batch_that_is_never_copied(name: str) -> None:
    codec, hop = causal(name), causal(name).hop_length
    calls, first = [], first_frames(codec.encoder)
    hook = codec.encoder.register_forward_hook(lambda _, given, out: calls.append(len(given[0])))
    try:
        streams = Streams(codec)
        members = [streams.join() for _ in range(6)]
        for i in range(4):
            for late, member in enumerate(members):  # each begins at a time of its own
                streams.encode({member: noise(first * hop + late * hop, i)} if not i else {})
            calls.clear()
            streams.encode({member: noise(hop, member) for member in members})
            assert calls == [6]
            assert [len(group.numbers) for group in streams._encoders.groups] == [6]
    finally:
        hook.remove()


def test_refuses() -> None:
    codec = causal("soundstream-16khz")
    streams = Streams(codec, 2)
    one = streams.join()
    with pytest.raises(ValueError, match=r"members \[7\]; accepted: \[0\]"):
        streams.encode({7: noise(5)})
    with pytest.raises(ValueError, match=r"chunk is torch.float32 \(1, 2, 5\); accepted"):
        streams.encode({one: noise(10).view(2, 5)})
    with pytest.raises(ValueError, match=r"flush of \[0\] before any chunk"):
        streams.flush([one])
    with pytest.raises(ValueError, match=r"codes are \(3, 4\); accepted: \(2, n\)"):
        streams.decode({one: torch.zeros(3, 4, dtype=torch.int64)})
    stream = codec.stream(2)
    stream.encode(torch.zeros(3, 1, 5))
    with pytest.raises(ValueError, match="the stream has 3 signals; accepted: one"):
        streams.join(stream)
    with pytest.raises(ValueError, match="3 codebooks; accepted"):
        streams.join(codec.stream())
    with pytest.raises(AttributeError, match="not causal"):
        Streams(small_codec("dac-16khz"))
