"""UTMOS22: naturalness as listeners of the VoiceMOS Challenge 2022 would score it."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from vocable.benchmarks.judges.base import Column, Judge, Score, Utterance
from vocable.benchmarks.judges.common import at, need, versions, weights
from vocable.benchmarks.judges.fairseq import RULES as FAIRSEQ
from vocable.benchmarks.judges.fairseq import speech_model
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Source
from vocable.codecs.zoo.xcodec import base

RATE = 16_000
SHORTEST = 400 / RATE  # seconds, of one frame
SOURCE = Source(
    "https://github.com/tarepan/SpeechMOS/releases/download/v1.0.0/utmos22_strong_step7459_v1.pt",
    sha256="38aa51ab79e2a4e09a1449758a4b37e9cbb2e8235a49662a732d33a9ba1e9bff",
)
RULES = {
    **{rf"wav2vec2\.{theirs}": f"speech.{ours}" for theirs, ours in FAIRSEQ.items()},
    r"(domain_emb|judge_emb|blstm\..+|projection\..+)": r"\1",
}


class StrongLearner(nn.Module):
    """UTMOS's strong learner without phonemes (https://arxiv.org/abs/2204.02152), as in tarepan/SpeechMOS.

    Waveforms (B, T) at 16 kHz, not normalised, to MOS (B,): the features of wav2vec 2.0, beside embeddings of
    a data set and of a listener, go through an LSTM to a score of each frame; their mean is the score.

    config: of the speech model, see `speech_model`. embedding, hidden, projection: widths of the others.
    """

    def __init__(
        self, config: Mapping[str, Any], embedding: int = 128, hidden: int = 512, projection: int = 2048
    ) -> None:
        super().__init__()
        self.speech = speech_model(config)
        self.domain_emb = nn.Parameter(torch.zeros(1, embedding))
        self.judge_emb = nn.Parameter(torch.zeros(1, embedding))
        width = config["hidden_size"] + 2 * embedding
        self.blstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.projection = nn.Sequential(
            nn.Linear(2 * hidden, projection), nn.ReLU(), nn.Linear(projection, 1)
        )

    def forward(self, wav: Tensor) -> Tensor:
        frames = self.speech(wav).last_hidden_state
        given = torch.cat([self.domain_emb, self.judge_emb], 1).expand(*frames.shape[:2], -1)
        scores = self.projection(self.blstm(torch.cat([frames, given], 2))[0])
        return scores.mean((1, 2)) * 2 + 3  # learnt from scores of 1 to 5, moved to -1 to 1


def state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published file's tensors as the state of `StrongLearner`."""
    return rename(checkpoint, RULES, drop=(r"wav2vec2\.mask_emb",))


class UTMOS(Judge):
    """UTMOS22 strong of what was made, without the original; 25 ms or more."""

    name = "UTMOS"
    kind = "published"
    columns = (Column("UTMOS", "Naturalness, 1 to 5, predicted by UTMOS22 strong.", "higher"),)

    def check(self) -> None:
        need(("transformers",), "'vocable[bench]'")
        weights(SOURCE)

    @property
    def version(self) -> str:
        return f"{versions('torch', 'transformers')}, weights {SOURCE.sha256[:12]}"

    @cached_property
    def _model(self) -> StrongLearner:
        model = StrongLearner(base("wav2vec2")).eval()
        model.load_state_dict(state(torch.load(weights(SOURCE), "cpu", weights_only=True)))
        return model

    @torch.inference_mode()
    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        return {"UTMOS": Score(float(self._model(at(RATE, utterance, made, SHORTEST)[None])))}
