"""Whether it is still the same speaker, by Resemblyzer, whose weights come with the package."""

from collections.abc import Callable
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vocable.benchmarks.judges.base import Column, Judge, Score, Utterance
from vocable.benchmarks.judges.common import at, digest, need, versions

RATE = 16_000
SHORTEST = 0.03  # seconds, of the one window that voice is looked for in
Step = Callable[[np.ndarray], Any]


class Resemblyzer(Judge):
    """Cosine of the embeddings (https://arxiv.org/abs/1710.10467) of the original and of what was made.

    As the package documents: quiet audio is made louder, pauses are left out, and the rest is embedded in
    parts of 1.6 s. ValueError where no voice is left. Samples beyond -1 to 1 are clipped, as in 16 bits.
    """

    name = "Resemblyzer"
    kind = "offline"
    columns = (Column("SPK-SIM Resemblyzer", "Likeness of the voice, 0 to 1, by Resemblyzer.", "higher"),)

    def __init__(self) -> None:
        self._originals: dict[str, np.ndarray] = {}  # a kilobyte each

    def check(self) -> None:
        # webrtcvad looks itself up by pkg_resources, which setuptools has no more
        need(("webrtcvad", "resemblyzer"), "resemblyzer 'setuptools<81'")

    @property
    def version(self) -> str:
        weights = Path(str(files("resemblyzer"))) / "pretrained.pt"
        return f"{versions('resemblyzer', 'webrtcvad', 'librosa', 'torch')}, {digest(weights)}"

    @cached_property
    def _parts(self) -> tuple[Step, Step]:
        """What the package does before it embeds, and the embedding."""
        self.check()  # which imports it without its warnings
        from resemblyzer import VoiceEncoder, preprocess_wav

        return preprocess_wav, VoiceEncoder("cpu", verbose=False).embed_utterance

    def _embed(self, utterance: Utterance, wav: Tensor, which: str) -> np.ndarray:
        prepare, embed = self._parts
        samples = at(RATE, utterance, wav, SHORTEST).clamp(-1, 1).numpy()
        voiced = prepare(samples) if samples.any() else samples[:0]  # it divides by the loudness
        if not len(voiced):
            raise ValueError(f"no voice in {which}; accepted: speech that webrtcvad (mode 3) hears")
        return embed(voiced)

    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        if utterance.key not in self._originals:
            self._originals[utterance.key] = self._embed(utterance, utterance.wav, "the original")
        original = self._originals[utterance.key]
        cosine = original @ self._embed(utterance, made, "what was made")  # both have norm 1
        return {"SPK-SIM Resemblyzer": Score(float(cosine))}
