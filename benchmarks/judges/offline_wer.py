"""Word error rates by two recognisers that need no network."""

import torch
from torch import Tensor

from vocable.benchmarks.judges import text
from vocable.benchmarks.judges.base import Column, Judge, Score, Utterance
from vocable.benchmarks.judges.common import at, versions
from vocable.benchmarks.judges.moonshine import Moonshine
from vocable.benchmarks.judges.recognition import RATE, Recogniser
from vocable.benchmarks.judges.whisper_tiny import WhisperTiny


def _columns(name: str) -> tuple[Column, ...]:
    about = {
        f"WER {name}": f"Word error rate: of 100 words truly said, how many {name} gets wrong.",
        f"consensus WER {name}": (
            f"Word error rate of {name} against the text on which the recognisers agree in the original, of "
            "recordings whose true text is unknown: easy ones, on which the original scores 0."
        ),
        f"dWER {name}": (
            f"Differential word error rate: of 100 words that {name} hears in the original, how many it gets "
            "wrong."
        ),
    }
    return tuple(Column(heading, said, "lower", unit="%") for heading, said in about.items())


class OfflineWER(Judge):
    """Word error rates in percent by Moonshine tiny and Whisper tiny.en, who also agree on a text.

    Against the true transcript; where there is none, against the manifest's consensus, or else the text that
    both hear in the original, word for word once normalised; and against what the same recogniser hears in
    the original. A text without words is no reference: its column is left out.
    """

    name = "offline-wer"
    kind = "offline"
    columns = (*_columns(Moonshine.name), *_columns(WhisperTiny.name))

    def __init__(self) -> None:
        self.recognisers: tuple[Recogniser, ...] = (Moonshine(), WhisperTiny())
        self._originals: dict[str, tuple[str, ...]] = {}

    def check(self) -> None:
        text.check()
        for recogniser in self.recognisers:
            recogniser.check()

    @property
    def version(self) -> str:
        return "; ".join((*(recogniser.version for recogniser in self.recognisers), versions(*text.PACKAGES)))

    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        wav = at(RATE, utterance, made, 0)
        originals = self._heard(utterance)
        same = torch.equal(made, utterance.wav)
        consensus = _consensus(utterance, originals)
        scores: dict[str, Score | None] = {}
        for recogniser, original in zip(self.recognisers, originals, strict=True):
            heard = original if same else recogniser.transcribe(wav, RATE)
            references = {"WER": utterance.transcript, "consensus WER": consensus, "dWER": original}
            for column, reference in references.items():
                if reference is not None:
                    scores[f"{column} {recogniser.name}"] = text.word_errors(reference, heard)
        return {column: score for column, score in scores.items() if score is not None}

    def _heard(self, utterance: Utterance) -> tuple[str, ...]:
        """What each recogniser hears in the original; kept, as every codec is judged by it."""
        if utterance.key not in self._originals:
            wav, rate = utterance.wav, utterance.sample_rate
            heard = tuple(recogniser.transcribe(wav, rate) for recogniser in self.recognisers)
            self._originals[utterance.key] = heard
        return self._originals[utterance.key]


def _consensus(utterance: Utterance, heard: tuple[str, ...]) -> str | None:
    """The text to judge by where no true one is known, if there is one."""
    if utterance.transcript is not None:
        return None
    agreed = {text.normalise(one) for one in heard}
    return utterance.consensus or (agreed.pop() if len(agreed) == 1 else None)
