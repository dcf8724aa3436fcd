"""Word errors between two texts."""

import pytest

jiwer = pytest.importorskip("jiwer")
for module in ("transformers", "whisper_normalizer"):
    pytest.importorskip(module)

from vocable.benchmarks.judges.text import check, normalise, word_errors  # noqa: E402


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Let's!", "let us"),
        ("he's like", "he is like"),
        ("she's been like", "she has been like"),
        ("Mr. Park visited Assoc. Prof. Kim Jr.", "mister park visited associate professor kim junior"),
        ("The COLOUR (laughter), um, of 1,000 [noise] cafés", "the color of 1000 cafes"),
        ("twenty-one dollars and one oh one", "$21 and 101"),
        ("for cause", "for cause"),  # which whisper-normalizer's own rules make because
        (" ... ", ""),
        ("", ""),
    ],
)
def test_normalise_as_whisper_does(written: str, meant: str) -> None:
    assert normalise(written) == meant


def test_word_errors_in_percent_of_the_words_said() -> None:
    check()
    assert word_errors("The cat sat on the mat.", "the cat sit on mat") == (100 * 2 / 6, 6)
    assert word_errors("two words", "two more words here now") == (150, 2)
    assert word_errors("Two words", "2 words") == (0, 2)
    assert word_errors("two words", "") == (100, 2)
    assert word_errors("...", "made up") is None


def test_the_mean_by_weight_is_the_wer_of_the_corpus() -> None:
    said = ["a b c d e f g", "h", "it is not so", "all the same words"]
    heard = ["a c d e f x y g", "i j k", "", "all the same words"]
    scores = [score for pair in zip(said, heard, strict=True) if (score := word_errors(*pair))]
    mean = sum(value * weight for value, weight in scores) / sum(weight for _, weight in scores)
    assert mean == pytest.approx(100 * jiwer.wer(said, heard))
    assert mean == pytest.approx(100 * 10 / 16)
