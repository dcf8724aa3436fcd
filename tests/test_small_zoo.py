"""The reduced codecs that other tests use stand for the zoo: every family, and every part of them matters."""

from collections.abc import Callable

import pytest
import torch

from vocable.benchmarks import small
from vocable.codecs import Codec
from vocable.codecs.zoo import table


def test_every_family_is_there() -> None:
    assert {name.split("-")[0] for name in small.NAMES[1:]} == set(table.FAMILIES)
    assert small.NAMES[0] == small.BUILT_IN


@pytest.mark.parametrize("name", small.NAMES)
def test_codes_and_audio_follow_the_signal(small_codec: Callable[[str], Codec], name: str) -> None:
    codec = small_codec(name)
    torch.manual_seed(1)
    wav = small.probe(codec, 100 * codec.hop_length / codec.sample_rate)
    tokens = codec.encode(wav)
    assert not codec.training
    assert codec.sample_rate == (table.published()[name].sample_rate if name in table.published() else 16_000)
    if name.startswith("semanticodec"):  # decoding takes seconds
        return
    assert min(len(book.unique()) for book in tokens.codes[0]) >= 8
    one, other = codec.decode(tokens), codec.decode(codec.encode(wav.flip(-1)))
    assert float(one.std()) > 0.02
    assert float((one - other).std()) > 0.02
