"""Streams that go on elsewhere: from one to many, to a file and back, and what such a file refuses."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from vocable.benchmarks.small import small_codec
from vocable.codecs import Codec
from vocable.codecs.state import join, mapped, owned, pick, shape, tensors
from vocable.codecs.stream import Stream, first_frames
from vocable.codecs.streams import Streams

CAUSAL = ("encodec-24khz", "mimi", "soundstream-16khz")


@pytest.fixture(scope="module", params=CAUSAL)
def codec(request: pytest.FixtureRequest) -> Codec:
    return small_codec(request.param)


def noise(codec: Codec, frames: float, seed: int = 0) -> Tensor:
    samples = round(frames * codec.hop_length)
    return 0.5 * torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(seed))


def both(stream: Stream, wav: Tensor) -> tuple[Tensor, Tensor]:
    codes = stream.encode(wav)
    return codes, stream.decode(codes)


@pytest.mark.parametrize("frames", [0.0, 0.4, 3.5, 19.3])
def test_goes_on_from_its_file(codec: Codec, frames: float, tmp_path: Path) -> None:
    """To the bit as if it had not stopped, from a start, a start that is not mirrored yet, and later."""
    wav, rest = noise(codec, frames), noise(codec, 12.7, seed=1)
    stream, again = codec.stream(2), codec.stream(2)
    both(stream, wav)
    stream.save(tmp_path / "a.safetensors")
    again.restore(tmp_path / "a.safetensors")
    for found, expected in zip(both(again, rest), both(stream, rest), strict=True):
        assert torch.equal(found, expected)
        assert found.shape[-1]
    assert torch.equal(again.flush(), stream.flush())
    names = set(load_file(tmp_path / "a.safetensors"))
    assert any(name.startswith("decoder.") for name in names) == (frames >= first_frames(codec.decoder))


def test_moves_between_one_and_many(codec: Codec, tmp_path: Path) -> None:
    wav, rest = noise(codec, 9.5), noise(codec, 8, seed=1)
    stream, streams = codec.stream(), Streams(codec)
    expected = both(stream, wav)
    members = [streams.join(), streams.join(), streams.join()]
    streams.encode({member: noise(codec, 8.2, member)[0] for member in members})
    codes = streams.encode({members[1]: rest[0]})  # one goes on, the others wait
    streams.decode(codes)
    one = streams.leave(members[1])
    assert one.size == 1
    one.save(tmp_path / "a.safetensors")
    late = streams.join(stream)
    found = streams.encode({late: rest[0], members[0]: rest[0]})
    whole = codec.encode(torch.cat([wav, rest], -1)).codes
    assert torch.equal(torch.cat([expected[0][0], found[late], streams.flush([late])[late]], -1), whole[0])
    again = codec.stream()
    again.restore(tmp_path / "a.safetensors")
    before = codec.encode(torch.cat([noise(codec, 8.2, members[1]), rest, wav], -1)).codes
    assert torch.equal(
        torch.cat([again.encode(wav), again.flush()], -1), before[..., codes[members[1]].shape[-1] + 8 :]
    )


def test_a_file_of_other_weights_is_refused(tmp_path: Path) -> None:
    codec, other = small_codec("mimi"), small_codec("mimi", seed=1)
    stream, path = codec.stream(), tmp_path / "a.safetensors"
    both(stream, noise(codec, 3))
    stream.save(path)
    with pytest.raises(ValueError, match=f"weights is {codec.weights}; accepted: {other.weights}"):
        other.stream().restore(path)
    with pytest.raises(ValueError, match="num_codebooks is 4; accepted: 2"):
        codec.stream(2).restore(path)
    with pytest.raises(FileNotFoundError, match="no saved stream"):
        codec.stream().restore(tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder.0": None}, "encoder.0 is None; accepted"),
        ({"encoder.3": torch.zeros(1, 3, 3)}, r"encoder.3 is torch.float32 \(1, 3, 3\); accepted: .*'B'"),
        ({"decoder.1": torch.zeros(7, 8, 5)}, "decoder.1 is|batches of"),
        ({"more": torch.zeros(1)}, r"tensors \['more'\] too many"),
        ({"rest": torch.full((1, 1, 3), torch.nan)}, "rest holds NaN"),
        ({"rest": torch.zeros(1, 3)}, "rest is torch.float32"),
        ({"rest": torch.zeros(2, 1, 3)}, r"batches of \[1, 2\]"),
        ({"held": torch.full((1, 4, 3), 99)}, "codes lie in 99..99"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    change: dict[str, Tensor | None], message: str, tmp_path: Path
) -> None:
    codec, path = small_codec("mimi"), tmp_path / "a.safetensors"
    stream = codec.stream()
    both(stream, noise(codec, 3.5))
    stream.save(path)
    with safe_open(path, "pt") as file:
        header = file.metadata()
    found = {**load_file(path), **change}
    save_file({name: tensor for name, tensor in found.items() if tensor is not None}, path, header)
    again = codec.stream()
    with pytest.raises(ValueError, match=message):
        again.restore(path)
    assert again.encoder_state is None  # nothing of it is taken
    path.write_bytes(b"RIFF" * 9)
    with pytest.raises(ValueError, match="not a saved stream"):
        again.restore(path)


def test_trees() -> None:
    stream = small_codec("mimi").stream()
    stream.encode(noise(stream.codec, 4).repeat(3, 1, 1))
    state = stream.encoder_state
    assert [len(tensor) for tensor in tensors(state)] == [3] * len(list(tensors(state)))
    first, last = pick(state, [0]), pick(state, [2, 1])
    back = join([first, pick(last, [1]), pick(last, [0])])
    assert shape(back) == shape(first) == shape(state)
    for found, expected in zip(tensors(back), tensors(state), strict=True):
        assert torch.equal(found, expected)
    longer = mapped(lambda tensor: torch.cat([tensor, tensor], -1) if tensor.ndim > 1 else tensor, state)
    assert shape(longer) != shape(state)


def test_a_state_of_ones_own_is_written_in_place_and_any_other_is_left() -> None:
    codec = small_codec("mimi")
    wav = noise(codec, 6)
    with torch.no_grad():
        _, state = codec.encoder(wav)
        kept = [tensor.clone() for tensor in tensors(state)]
        once, _ = codec.encoder(wav, state)
        twice, _ = codec.encoder(wav, state)
        assert torch.equal(once, twice)
        assert all(torch.equal(a, b) for a, b in zip(tensors(state), kept, strict=True))
        mine = owned(state)
        ours, after = codec.encoder(wav, mine)
    assert torch.equal(ours, once)
    places = {tensor.data_ptr() for tensor in tensors(state)}
    assert sum(tensor.data_ptr() in places for tensor in tensors(after)) == 4  # keys and values of two layers
