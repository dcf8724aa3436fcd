"""Word error rate as the field's papers report it: HuBERT-large, fine-tuned on LibriSpeech."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vocable.benchmarks.judges import text
from vocable.benchmarks.judges.base import Column, Judge, Score, Unavailable, Utterance
from vocable.benchmarks.judges.common import at, digest, versions
from vocable.benchmarks.judges.recognition import RATE, Recogniser

REPO = "facebook/hubert-large-ls960-ft"
CONFIGS = ("config.json", "preprocessor_config.json", "tokenizer_config.json", "vocab.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # either will do
PATIENCE = 5  # seconds for the hub to answer in


class HubertCTC(Recogniser, Judge):
    """Word error rate in percent by HuBERT CTC (https://arxiv.org/abs/2106.07447) against true transcripts.

    Greedy, one recording at a time, scaled and spelt by the checkpoint's own processor: what made the tables
    of the X-codec2 paper (zhenye234/X-Codec-2.0, issue 29).

    source: a checkpoint's name on the Hugging Face hub, or a folder that holds its files.
    """

    name = "hubert-ctc"
    kind = "published"
    columns = (
        Column("WER", "Word error rate: errors in 100 words truly said, as HuBERT hears.", "lower", unit="%"),
    )
    shortest = 400  # samples of a frame

    def __init__(self, source: str | Path = REPO) -> None:
        self.source = source

    def check(self) -> None:
        text.check()
        _ = self._weights

    @property
    def version(self) -> str:
        files = (self._weights, *(self._weights.parent / name for name in CONFIGS))
        return f"{Path(self.source).name}, {digest(*files)}, {versions('torch', *text.PACKAGES)}"

    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        wav = at(RATE, utterance, made, 0)
        if utterance.transcript is None:
            return {}
        score = text.word_errors(utterance.transcript, self.transcribe(wav, RATE))
        return {} if score is None else {"WER": score}

    @torch.inference_mode()
    def recognise(self, wav: Tensor) -> str:
        processor, model = self._model
        given = processor(wav.numpy(), sampling_rate=RATE, return_tensors="pt").input_values
        return processor.decode(model(given).logits[0].argmax(-1))

    @cached_property
    def _model(self) -> tuple[Any, Any]:
        """The processor, which scales audio and spells tokens, and the model."""
        from transformers import HubertForCTC, Wav2Vec2Processor

        folder = self._weights.parent
        model = HubertForCTC.from_pretrained(folder, weights_only=True).float().eval()
        return Wav2Vec2Processor.from_pretrained(folder), model

    @cached_property
    def _weights(self) -> Path:
        """The file of the weights, beside all others that are needed."""
        if Path(self.source).is_dir():
            files = {path.name: path for path in Path(self.source).iterdir()}
        else:
            files = _cached(str(self.source)) or _downloaded(str(self.source))
        weights = next((files[name] for name in WEIGHTS if name in files), None)
        missing = [name for name in CONFIGS if name not in files]
        if weights is None or missing:
            lacking = ", ".join([*missing, *([] if weights else [" or ".join(WEIGHTS)])])
            raise Unavailable(f"{self.source} holds no {lacking}; accepted: {REPO} or a copy of it")
        return weights


def _cached(repo: str) -> dict[str, Path]:
    """A repository's files in the hub's cache by name, if there are enough of them."""
    from huggingface_hub import try_to_load_from_cache

    found = {name: try_to_load_from_cache(repo, name) for name in (*CONFIGS, *WEIGHTS)}
    files = {name: Path(path) for name, path in found.items() if isinstance(path, str)}
    return files if files.keys() >= set(CONFIGS) and files.keys() & set(WEIGHTS) else {}


def _downloaded(repo: str) -> dict[str, Path]:
    """A repository's files by name, from the network; Unavailable where that fails."""
    from huggingface_hub import HfApi, constants, snapshot_download

    try:
        there = {file.rfilename for file in HfApi().model_info(repo, timeout=PATIENCE).siblings or ()}
        weights = next((name for name in WEIGHTS if name in there), WEIGHTS[-1])  # one of them is enough
        folder = Path(snapshot_download(repo, allow_patterns=[*CONFIGS, weights], etag_timeout=PATIENCE))
    except Exception as error:  # the hub's, the HTTP library's and the system's, which vary by version
        raise Unavailable(
            f"{repo} is not in the cache {constants.HF_HUB_CACHE} and could not be downloaded "
            f"({type(error).__name__}: {error}); where there is a network: hf download {repo}"
        ) from error
    return {path.name: path for path in folder.iterdir()}
