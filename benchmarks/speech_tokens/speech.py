"""Speech in a codec's tokens, beside the units that it says and the windows that tell who says them."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from vocable.benchmarks.speech_tokens.books import Books
from vocable.benchmarks.speech_tokens.units import Heard, units_of
from vocable.codecs import Codec, audio


@dataclass(frozen=True)
class Speech:
    """Utterances in tokens, the first `fitted` to fit on and the others to judge on.

    codes: (K, N) of each. units: by the tokens that a codebook has for a frame, those (N * count,) that each
    utterance says meanwhile.
    """

    books: Books
    codes: list[Tensor]
    units: dict[int, list[Tensor]]
    fitted: int

    def tokens(self, book: int) -> tuple[list[Tensor], list[Tensor]]:
        """One codebook's tokens (N * count,) in each utterance: to fit on, to judge on."""
        found = [self.books.tokens(codes, book) for codes in self.codes]
        return found[: self.fitted], found[self.fitted :]


def say(codec: Codec, heard: Iterable[Heard], fitted: int, centres: Tensor) -> Speech:
    """Encode utterances, as the codec's channels; ValueError, with the file, for one that it can't take."""
    books = Books(codec)
    codes: list[Tensor] = []
    units: dict[int, list[Tensor]] = {count: [] for count in books.counts}
    for utterance in heard:
        wav = audio.to_channels(audio.read(utterance.path, codec.sample_rate)[0], codec.channels)
        try:
            codes.append(codec.encode(wav).codes[0])
        except ValueError as error:
            raise ValueError(f"{utterance.path}: {error}") from error
        for count, found in units.items():
            found.append(units_of(utterance, centres, codes[-1].shape[1] * count))
    return Speech(books, codes, units, fitted)
