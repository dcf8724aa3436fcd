"""Speech models as parts of an encoder, and the features that one of them takes, against transformers."""

import builtins
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vocable.codecs.backbones.fbank import fbank
from vocable.codecs.backbones.semantic import SemanticEncoder

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
WAVEFORM: dict[str, Any] = {
    **SMALL,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
CONFIGS = [
    {"model_type": "hubert", **WAVEFORM},
    {"model_type": "wavlm", **WAVEFORM},
    {"model_type": "wav2vec2-bert", **SMALL},
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["model_type"])
@pytest.mark.parametrize("layer", [None, 0, 2, 3])
def test_features_are_the_models_hidden_states(config: dict[str, Any], layer: int | None) -> None:
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    encoder = SemanticEncoder(config, layer).train()
    wav = 0.1 * torch.randn(2, 1, 1600)
    features = encoder(wav)
    assert features.shape == (2, encoder.dim, features.shape[2]) == (2, 16, 4)
    assert torch.equal(features, encoder(wav))  # no dropout, also when the codec around it trains
    assert not features.requires_grad
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    inputs = fbank(wav[:, 0]) if encoder.takes_fbank else wav[:, 0]
    out = encoder.model(inputs, output_hidden_states=True)
    assert len(out.hidden_states) == 4
    torch.testing.assert_close(out.hidden_states[3], out.last_hidden_state)
    expected = out.hidden_states[layer] if layer is not None else sum(out.hidden_states) / 4
    torch.testing.assert_close(features.transpose(1, 2), expected)


def test_a_model_with_fewer_layers_gives_what_the_whole_gives_there() -> None:
    pytest.importorskip("transformers")
    whole = SemanticEncoder(CONFIGS[2], layer=2)
    part = SemanticEncoder({**CONFIGS[2], "num_hidden_layers": 2}, layer=2)
    part.load_state_dict({k: v for k, v in whole.state_dict().items() if ".layers.2." not in k})
    wav = torch.randn(1, 1, 4000)
    assert torch.equal(whole(wav), part(wav))


def test_bad_arguments_are_refused() -> None:
    pytest.importorskip("transformers")
    with pytest.raises(ValueError, match="layer is 4; accepted: 0 to 3"):
        SemanticEncoder(CONFIGS[0], layer=4)
    with pytest.raises(ValueError, match="accepted: model_type"):
        SemanticEncoder(SMALL)
    with pytest.raises(ValueError, match="whisperer"):
        SemanticEncoder({"model_type": "whisperer"})


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "transformers":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"pip install 'vocable\[semantic\]'"):
        SemanticEncoder(CONFIGS[0])


def test_fbank_is_the_published_feature_extractors(speech: Callable[[int, float], Tensor]) -> None:
    transformers = pytest.importorskip("transformers")
    extract = transformers.SeamlessM4TFeatureExtractor(padding_value=1.0)  # as for facebook/w2v-bert-2.0
    quiet = speech(16000, 2.0) * 1e-3
    for wav in (speech(16000, 2.0), quiet, 0.1 * torch.randn(1, 1, 8000), torch.zeros(1, 1, 3200)):
        expected = extract(wav[0, 0].numpy(), sampling_rate=16000, return_tensors="pt")["input_features"]
        torch.testing.assert_close(fbank(wav[:, 0]), expected, rtol=0, atol=3e-5)


def test_fbank_of_a_batch_is_that_of_its_items() -> None:
    wav = torch.randn(3, 2000)
    torch.testing.assert_close(fbank(wav), torch.cat([fbank(item[None]) for item in wav]), rtol=0, atol=1e-6)
