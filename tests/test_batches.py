"""A padded batch with lengths gives every item the codes and audio that it gets alone: for every codec."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from vocable.benchmarks import small
from vocable.codecs import Codec, signal

Small = Callable[[str], Codec]
SLOW = "semanticodec-100"
QUICK = [name for name in small.NAMES if name != SLOW]
some = settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def padded(codec: Codec, lengths: list[int]) -> Tensor:
    """Signals one below the other; past their ends stands what nobody should hear."""
    generator = torch.Generator().manual_seed(sum(lengths))
    wav = torch.randn(len(lengths), codec.channels, max(lengths) + 5, generator=generator)
    levels = torch.tensor([0.1, 0.3, 0.02, 0.5])[: len(lengths), None, None]
    return wav * levels


def check(codec: Codec, wav: Tensor, lengths: list[int], decodes: bool = True) -> None:
    tokens = codec.encode(wav, lengths=lengths)
    assert tokens.lengths.tolist() == lengths
    back = codec.decode(tokens) if decodes else None
    for i, length in enumerate(lengths):
        alone = codec.encode(wav[i, :, :length])
        assert torch.equal(tokens[i].codes, alone.codes)
        assert torch.equal(tokens.frames[i : i + 1], alone.frames)
        if tokens.scales is not None and alone.scales is not None:
            assert torch.equal(tokens.scales[i, : alone.scales.shape[-1]], alone.scales[0])
        if back is not None:
            assert torch.equal(back[i, :, :length], codec.decode(alone)[0])
            assert not back[i, :, length:].any()


@pytest.mark.parametrize("name", QUICK)
@some
@given(data=st.data())
def test_an_item_is_what_it_is_alone(small_codec: Small, name: str, data: st.DataObject) -> None:
    codec = small_codec(name)
    hop = codec.hop_length
    length = st.integers(1, 6 * hop) | st.sampled_from([hop, 2 * hop, 2 * hop + 1])
    lengths = data.draw(st.lists(length, min_size=1, max_size=4))
    check(codec, padded(codec, lengths), lengths)


@pytest.mark.parametrize("name", ["encodec-24khz", "bigcodec", "mimi", "xcodec2"])
def test_items_of_one_length_too(small_codec: Small, name: str) -> None:
    codec = small_codec(name)
    lengths = [3 * codec.hop_length] * 3
    check(codec, padded(codec, lengths), lengths)


def test_semanticodec(small_codec: Small) -> None:
    codec = small_codec(SLOW)
    lengths = [2560, 700]
    check(codec, padded(codec, lengths), lengths, decodes=False)


@torch.no_grad()
@pytest.mark.parametrize("name", QUICK)
def test_groups_of_one_length_are_close(
    small_codec: Small, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As other devices than a CPU have them: rounding follows the batch's size, and nothing else does."""
    codec = small_codec(name)
    lengths = [12 * codec.hop_length] * 3
    wav = padded(codec, lengths)
    one_by_one = codec.encode(wav, lengths=lengths)
    alone = codec.decode(one_by_one)
    monkeypatch.setattr(codec, "_groups", signal.groups)
    tokens = codec.encode(wav, lengths=lengths)
    assert float((tokens.codes == one_by_one.codes).float().mean()) > 0.97  # at a tie a rounding decides
    torch.testing.assert_close(codec.decode(one_by_one), alone, rtol=0, atol=1e-5 * float(alone.abs().max()))
