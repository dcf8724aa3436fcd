"""Word errors between two texts, as the protocol counts them."""

from collections.abc import Callable
from functools import cache

from vocable.benchmarks.judges.base import Score
from vocable.benchmarks.judges.common import need

PACKAGES = ("jiwer", "transformers", "whisper-normalizer")


def check() -> None:
    """Raise `Unavailable` unless the packages that count word errors are here."""
    need(("jiwer", "transformers", "whisper_normalizer"), " ".join(PACKAGES))


def normalise(text: str) -> str:
    """English without what hearing can't tell: case, punctuation, numbers as words, British spelling...

    By Whisper's EnglishTextNormalizer (https://arxiv.org/abs/2212.04356, appendix C); "" without any word.
    """
    found = _normaliser()(text).strip()
    return found if any(map(str.isalnum, found)) else ""  # of "..." it leaves a full stop


def word_errors(reference: str, hypothesis: str) -> Score | None:
    """Word error rate in percent, from 0, above 100 where words are invented; its weight is the words.

    Words substituted, deleted and inserted over words of the reference, both normalised; the mean by weight
    is a corpus's WER. None where the reference holds no word.
    """
    from jiwer import process_words

    reference, hypothesis = normalise(reference), normalise(hypothesis)
    if not reference:
        return None
    found = process_words(reference, hypothesis)
    words = found.hits + found.substitutions + found.deletions
    return Score(100 * (found.substitutions + found.deletions + found.insertions) / words, words)


@cache
def _normaliser() -> Callable[[str], str]:
    # transformers has OpenAI's rules, but not the table of spellings that goes with them; whisper-normalizer
    # has the table, but adds rules of its own, as "cause" to "because"
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
    from whisper_normalizer.english import EnglishSpellingNormalizer

    return EnglishTextNormalizer(EnglishSpellingNormalizer().mapping)
