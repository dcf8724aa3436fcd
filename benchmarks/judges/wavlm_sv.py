"""Whether it is still the same speaker, by WavLM large fine-tuned for speaker verification."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.benchmarks.judges.base import Column, Judge, Score, Utterance
from vocable.benchmarks.judges.common import at, need, versions, weights
from vocable.benchmarks.judges.ecapa import ECAPA
from vocable.benchmarks.judges.ecapa import RULES as HEAD
from vocable.benchmarks.judges.fairseq import RULES as FAIRSEQ
from vocable.benchmarks.judges.fairseq import speech_model
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Source
from vocable.codecs.zoo.xcodec import base

RATE = 16_000
SHORTEST = 720 / RATE  # seconds, of the two frames that have a deviation
# the authors' file is on Google Drive, which programs can't rely on; this is a copy, of the same digest
SOURCE = Source(
    "https://huggingface.co/bezzam/wavlm_large_finetune_seed_tts_eval/resolve/"
    "f127f699a44abb1c6e05f03522bd1b8c48be3184/wavlm_large_finetune.pth",
    sha256="51f07e3b94d9e0262a6a675ef5a087be3dd09e8c62e9d886827f44f82fe7f94b",
)
LARGE = base("wavlm") | {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_buckets": 320,
    "max_bucket_distance": 800,
}
RULES = {
    **{rf"feature_extract\.model\.{theirs}": f"speech.{ours}" for theirs, ours in FAIRSEQ.items()},
    "feature_weight": "layer_weights",
    **{theirs: f"head.{ours}" for theirs, ours in HEAD.items()},
}
# what only training needs: the mask of WavLM, and the classes of the speakers that it learnt from
_TRAINING = (r"feature_extract\.model\.mask_emb", r"loss_calculator\..+")


class SpeakerEmbedding(nn.Module):
    """Waveforms (B, T) at 16 kHz to embeddings (B, 256), as downstreams/speaker_verification of UniSpeech.

    A weighted mean of what goes into each layer of WavLM (https://arxiv.org/abs/2110.13900) and comes out of
    the last, its channels normalised over time, goes through an ECAPA-TDNN.

    config: of the speech model, see `speech_model`. head: from (B, D, N).
    """

    def __init__(self, config: Mapping[str, Any], head: ECAPA) -> None:
        super().__init__()
        self.speech, self.head = speech_model(config), head
        self.layer_weights = nn.Parameter(torch.zeros(config["num_hidden_layers"] + 1))

    def forward(self, wav: Tensor) -> Tensor:
        states: list[Tensor] = []
        # versions of transformers differ in whether the last of `hidden_states` is before or after its norm
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
            for layer in self.speech.get_submodule("encoder.layers").children()
        ]
        try:
            states.append(self.speech(F.layer_norm(wav, wav.shape[-1:])).last_hidden_state)
        finally:
            for hook in hooks:
                hook.remove()
        mean = torch.einsum("l,lbnd->bdn", self.layer_weights.softmax(0), torch.stack(states))
        return self.head(F.instance_norm(mean))


def state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published file's tensors as the state of `SpeakerEmbedding`."""
    return rename(checkpoint, RULES, drop=_TRAINING)


class WavLMSpeaker(Judge):
    """Cosine of the embeddings of the original and of what was made; 45 ms or more."""

    name = "SPK-SIM"
    kind = "published"
    columns = (Column("SPK-SIM", "Likeness of the voice, up to 1, by WavLM large SV.", "higher"),)

    def __init__(self) -> None:
        self._originals: dict[str, Tensor] = {}  # a kilobyte each

    def check(self) -> None:
        need(("transformers",), "'vocable[bench]'")
        weights(SOURCE)

    @property
    def version(self) -> str:
        return f"{versions('torch', 'transformers')}, weights {SOURCE.sha256[:12]}"

    @cached_property
    def _model(self) -> SpeakerEmbedding:
        model = SpeakerEmbedding(LARGE, ECAPA(LARGE["hidden_size"])).eval()
        model.load_state_dict(state(torch.load(weights(SOURCE), "cpu", weights_only=True)["model"]))
        return model

    @torch.inference_mode()
    def _embed(self, utterance: Utterance, wav: Tensor) -> Tensor:
        return self._model(at(RATE, utterance, wav, SHORTEST)[None])[0]

    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        if utterance.key not in self._originals:
            self._originals[utterance.key] = self._embed(utterance, utterance.wav)
        original = self._originals[utterance.key]
        return {"SPK-SIM": Score(float(F.cosine_similarity(original, self._embed(utterance, made), dim=0)))}
