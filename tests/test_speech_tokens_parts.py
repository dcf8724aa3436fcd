"""The parts of the benchmark of tokens: units, codebooks apart, windows of speakers, shifts."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.benchmarks.speech_tokens.books import Books
from vocable.benchmarks.speech_tokens.shifts import repeats, stability, total
from vocable.benchmarks.speech_tokens.speakers import MOST, cut, told_apart
from vocable.benchmarks.speech_tokens.speech import say
from vocable.benchmarks.speech_tokens.units import Heard, fit_units, hear
from vocable.codecs import Codec, audio
from vocable.codecs.backbones.frames import spread
from vocable.codecs.backbones.whisper import WhisperEncoder
from vocable.quantizers.clusters import kmeans
from vocable.quantizers.multiscale import MultiScaleRVQ, factorized_multiscale
from vocable.quantizers.semantic_residual import SemanticResidual
from vocable.quantizers.vq import EMAVQ


def test_tokens_are_a_codecs_and_units_follow_them(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    torch.manual_seed(0)
    audio.write(path, 0.1 * torch.randn(1, 3200), 16000)
    (tmp_path / "heard").mkdir()
    heard = hear([path], WhisperEncoder(8, 2, 1, 10), tmp_path / "heard")
    assert heard[0].features.shape == (1, 8, 10)
    centres = fit_units(heard, 4, 1000)
    speech = say(codec, heard, 1, centres)
    codes = codec.encode(path).codes
    assert torch.equal(speech.codes[0], codes[0])
    assert torch.equal(speech.tokens(1)[0][0], codes[0, 1])
    nearest = torch.cdist(spread(heard[0].features, 320)[0].T, centres).argmin(1)
    assert torch.equal(speech.units[1][0], nearest)


def test_units_are_the_clusters_of_frames_drawn_from_all() -> None:
    torch.manual_seed(1)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    features = (centres.repeat(100, 1) + 0.1 * torch.randn(300, 2)).T[None]
    heard = [Heard(Path("x"), part) for part in features.split((40, 160, 100), 2)]
    found = fit_units(heard, 3, 1000)
    assert torch.cdist(found, centres).amin(0).max() < 0.5
    torch.manual_seed(2)
    few = fit_units(heard, 3, 50)
    torch.manual_seed(2)
    drawn = features[0].T[torch.randperm(300)[:50]]
    assert torch.equal(few, kmeans(drawn, torch.ones(50), 3, 50)[0])


def test_books_of_residual_codebooks(codec: Codec) -> None:
    books, codes = Books(codec), torch.randint(12, (3, 40))
    assert (books.sizes, books.counts) == ((16, 16, 12), (1, 1, 1))
    decode = codec.quantizer.decode
    assert torch.equal(books.latents(codes, [0]).T[None], decode(codes[None, :1]))
    assert torch.equal(books.latents(codes, range(3)).T[None], decode(codes[None]))
    second = books.latents(codes, [1]).T[None]
    apart = second - (decode(codes[None, :2]) - decode(codes[None, :1]))
    torch.testing.assert_close(apart, apart[..., :1].expand_as(apart))  # a constant: codebook 1's entry 0


def with_quantizer(codec: Codec, quantizer: torch.nn.Module) -> Codec:
    codec.quantizer = quantizer  # type: ignore[assignment]
    return codec


def test_books_of_levels(codec: Codec) -> None:
    quantizer = factorized_multiscale(8, (4, 2, 1), 32, 4)
    books, codes = Books(with_quantizer(codec, quantizer)), torch.randint(32, (7, 5))
    assert (books.sizes, books.counts) == ((32, 32, 32), (1, 2, 4))
    for book, level in enumerate(quantizer.levels_of(codes[None])):
        assert torch.equal(books.tokens(codes, book), level[0])
        found = books.latents(codes, [book])
        alone = MultiScaleRVQ._layer(quantizer, book).look_up(level)[0].T
        torch.testing.assert_close(found - found[:1], alone - alone[:1])
    torch.testing.assert_close(books.latents(codes, range(3)).T[None], quantizer.decode(codes[None]))
    assert books.latents(codes, [0, 1]).shape == (10, 8)


def test_books_that_need_each_other(codec: Codec) -> None:
    quantizer = SemanticResidual(4, 16, 16, layers=1, segment=16)
    books, codes = Books(with_quantizer(codec, quantizer)), torch.randint(16, (2, 30))
    semantic, acoustic = books.latents(codes, [0]), books.latents(codes, [1])
    torch.testing.assert_close(semantic[:, 4:], quantizer.centroids[codes[0]])
    torch.testing.assert_close(acoustic[:, :4], quantizer.acoustic.embed[codes[1]])
    assert semantic[:, :4].std(0).max() == acoustic[:, 4:].std(0).max() == 0


def test_windows_of_halves_and_of_utterances() -> None:
    paths = [Path(f"{i}") for i in range(5)]
    speakers = dict(zip(paths[:4], "abcd", strict=True))
    windows = cut(paths, [100, 9, 2, 1, 50], speakers, 10)  # the fourth is too short, the last has no speaker
    assert (windows.names, windows.split) == (("a", "b", "c"), "halves")
    assert windows.fit[:2] == [(0, 0, 10), (0, 10, 20)]
    assert windows.test[:2] == [(0, 50, 60), (0, 60, 70)]
    assert windows.fit[-2:] == [(1, 0, 4), (2, 0, 1)]
    assert windows.test[-2:] == [(1, 4, 9), (2, 1, 2)]
    assert windows.fit_speakers.tolist() == [0] * 5 + [1, 2]
    windows = cut(paths, [29, 10, 10, 10, 900], dict(zip(paths, "ababa", strict=True)), 10)
    assert windows.split == "utterances"
    assert windows.fit == [(0, 0, 14), (0, 14, 29), (1, 0, 10)]
    assert len(windows.test) == 46 + 1  # every other of the 91 of the first speaker, to have at most MOST
    assert MOST == 50
    assert {index for index, _, _ in windows.test} == {2, 3, 4}
    with pytest.raises(ValueError, match=r"speakers are \['a'\]; accepted: 2 or more"):
        cut(paths, [10] * 5, dict.fromkeys(paths, "a"), 10)


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("mean", 0.99, 1), ("deviation", 0.99, 1), ("none", 0, 0.2)]
)
def test_speakers_are_told_by_mean_and_deviation_and_by_nothing_else(
    kind: str, low: float, high: float
) -> None:
    torch.manual_seed(0)
    paths = [Path(f"{i}") for i in range(10)]
    windows = cut(paths, [2000] * 10, {path: path.name for path in paths}, 100)
    noise, own = torch.randn(10, 2000, 6), torch.randn(10, 1, 6)
    speech = {"mean": noise + own, "deviation": noise * own.exp(), "none": noise}[kind]

    def latents(index: int, start: int, end: int) -> Tensor:
        return speech[index, start:end]

    assert low <= told_apart(windows, latents) <= high  # 0.1 by chance


class Means(torch.nn.Module):
    """Means of frames of 20 samples."""

    hop_length = 20

    def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, object]:
        return F.avg_pool1d(x, 20), None


def test_shifts_and_repeats(tmp_path: Path) -> None:
    """Blocks of four frames of one level: a shift of a part of a frame changes the one that straddles two."""
    torch.manual_seed(0)
    quantizer = EMAVQ(1, 16)
    quantizer.embed.copy_(torch.linspace(-0.75, 0.75, 16)[:, None])  # 0.1 apart
    blocks = torch.where(torch.arange(400) % 2 == 0, torch.randint(5, (400,)), torch.randint(11, 16, (400,)))
    path = tmp_path / "a.wav"
    wav = quantizer.embed[blocks, 0].repeat_interleave(80)[None]
    audio.write(path, wav, 16_000, "FLOAT")
    codec = Codec(Means(), quantizer, Means(), 16_000).eval()
    codes = codec.encode(path).codes[0]
    assert torch.equal(codes[0], blocks.repeat_interleave(4))
    same = total([stability(codec, Books(codec), path, codes) for _ in range(2)])
    assert same[0].shares == (0.75, 0.75, 0.75, 1)
    assert same[0].compared.tolist() == [2400, 2400, 2400, 2 * 1199]  # but for 200 frames at both ends
    assert repeats([codes[0], codes[0]]) == 2 * 1200 / (2 * 1599)
    assert repeats([torch.tensor([3])]) is None


def test_a_file_too_short_to_shift(codec: Codec, tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", torch.zeros(1, 3), 16_000)
    codes = codec.encode(tmp_path / "a.wav").codes[0]
    same = stability(codec, Books(codec), tmp_path / "a.wav", codes)
    assert [each.shares for each in same] == [(None,) * 4] * 3
