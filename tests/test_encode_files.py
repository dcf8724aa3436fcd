"""Many files at once: the tokens of each alone, in the order of the paths, whatever fails, few at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from vocable.codecs import Codec, Tokens, audio, many
from vocable.codecs.many import Source, batches

Small = Callable[[str], Codec]
Same = Callable[[Tokens, Tokens], None]
SHAPES = [(16_000, 1, 900), (44_100, 2, 4001), (8000, 1, 1), (16_000, 1, 2000), (24_000, 1, 1500)]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Ten files, some of one length."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for i, (rate, channels, samples) in enumerate(SHAPES * 2):
        path = tmp_path / f"{i}.{'flac' if i % 2 else 'wav'}"
        audio.write(path, 0.2 * torch.randn(channels, samples, generator=generator), rate)
        found.append(path)
    return found


@pytest.mark.parametrize(
    "name", ["vocable-16khz", "encodec-48khz", "snac-44khz", "stablecodec-4x729", "mimi"]
)
@pytest.mark.parametrize("seconds", [120.0, 0.1])  # of the second, the longer ones are read while encoded
def test_tokens_are_those_of_each_file_alone(
    small_codec: Small, paths: list[Path], name: str, seconds: float, check_same: Same
) -> None:
    codec = small_codec(name)
    found = list(codec.encode_files(map(str, paths), batch_seconds=seconds))
    assert [path for path, _ in found] == paths
    for path, tokens in found:
        check_same(tokens, codec.encode(path))


@pytest.mark.parametrize("name", ["vocable-16khz", "encodec-48khz", "bigcodec"])
def test_together_files_of_one_length_give_the_same(
    small_codec: Small, paths: list[Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where only rounding differs."""
    codec = small_codec(name)
    monkeypatch.setattr(many, "READERS", 10)  # files in a window
    monkeypatch.setattr(many, "batches", lambda sources, together, seconds: batches(sources, True, seconds))
    found = list(codec.encode_files(paths, num_codebooks=1))
    assert [path for path, _ in found] == paths
    for path, tokens in found:
        alone = codec.encode(path, num_codebooks=1)
        assert tokens.codes.shape == alone.codes.shape
        assert torch.equal(tokens.lengths, alone.lengths)
        assert float((tokens.codes == alone.codes).float().mean()) > 0.97


def test_batches_are_of_one_length_and_bounded(small_codec: Small, paths: list[Path]) -> None:
    codec = small_codec("vocable-16khz")
    sources = [Source(codec, i, path) for i, path in enumerate(paths * 3)]
    assert batches(sources, False, 1.0) == [[source] for source in sources]
    for seconds in (0.3, 10.0):
        made = batches(sources, True, seconds)
        assert sorted(source.index for batch in made for source in batch) == list(range(30))
        for batch in made:
            assert len({source.padded for source in batch}) == 1
            assert len(batch) == 1 or sum(source.seconds for source in batch) <= seconds + 1e-9
    # 1000 samples of 24 kHz's 1500, and 16 kHz's 900, are 13 and 12 frames of 80; one sample is one
    assert [len(batch) for batch in batches(sources, True, 10.0)] == [6] * 5


def test_what_fails_is_told_and_the_rest_goes_on(small_codec: Small, paths: list[Path]) -> None:
    codec = small_codec("vocable-16khz")
    paths[2].write_bytes(b"no audio")
    paths[4].unlink()
    data = paths[5].read_bytes()  # a FLAC file, whose header is whole
    paths[5].write_bytes(data[: len(data) // 2])
    told: list[tuple[Path, Exception]] = []
    found = list(codec.encode_files(paths, on_error=lambda path, error: told.append((path, error))))
    assert [path for path, _ in told] == [paths[2], paths[4], paths[5]]
    assert [type(error) for _, error in told] == [ValueError, FileNotFoundError, ValueError]
    assert all(str(path) in str(error) for path, error in told)
    assert [path for path, _ in found] == [path for i, path in enumerate(paths) if i not in (2, 4, 5)]
    one_by_one = codec.encode_files(paths)
    assert [next(one_by_one)[0], next(one_by_one)[0]] == paths[:2]
    with pytest.raises(ValueError, match=f"{paths[2]}: not an audio file"):
        next(one_by_one)


def test_only_a_few_files_are_read_ahead(
    small_codec: Small, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    read = Source.read

    def noted(source: Source) -> many.Wav:
        opened.append(source.index)
        return read(source)

    monkeypatch.setattr(Source, "read", noted)

    def endless() -> Iterator[Path]:
        while True:
            yield from paths

    found = small_codec("vocable-16khz").encode_files(endless())
    for taken in range(1, 30):
        next(found)
        assert len(opened) <= taken + many.AHEAD
    found.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_seconds": 0.0}, "batch_seconds is 0.0; accepted: more than 0"),
        ({"num_codebooks": 9}, "num_codebooks is 9; accepted: 1 to 3"),
    ],
)
def test_bad_arguments_are_refused_at_once(small_codec: Small, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_codec("vocable-16khz").encode_files([], **options)


def test_no_files_are_no_tokens(small_codec: Small) -> None:
    assert list(small_codec("vocable-16khz").encode_files([])) == []
