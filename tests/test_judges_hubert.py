"""The published judge of word errors, on a small random checkpoint laid out as the hub's."""

import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vocable.benchmarks.judges.base import Unavailable, Utterance
from vocable.codecs.audio import read, resample
from vocable.codecs.cli import clip

for module in ("jiwer", "transformers", "whisper_normalizer"):
    pytest.importorskip(module)

from transformers import HubertConfig, HubertForCTC, Wav2Vec2Processor  # noqa: E402

from vocable.benchmarks.judges.hubert_ctc import REPO, HubertCTC  # noqa: E402
from vocable.benchmarks.judges.text import word_errors  # noqa: E402

LETTERS = ["<pad>", "|", "E", "T", "A", "O", "N", "I"]
PROCESSOR = {"do_normalize": True, "feature_size": 1, "padding_value": 0, "return_attention_mask": True}
TOKENIZER = {"pad_token": "<pad>", "unk_token": "<pad>", "bos_token": "<pad>", "eos_token": "<pad>"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    position = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    # the kinds of norm that HuBERT-large has
    kind = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
    config = HubertConfig(
        vocab_size=len(LETTERS), conv_dim=(16,) * 7, pad_token_id=0, **sizes, **position, **kind
    )
    model = HubertForCTC(config)
    model.lm_head.weight.data.mul_(30)  # so that it says more than one letter
    folder = tmp_path_factory.mktemp("hubert")
    model.save_pretrained(folder)
    for name, content in {
        "vocab.json": {letter: i for i, letter in enumerate(LETTERS)},
        "preprocessor_config.json": PROCESSOR | {"sampling_rate": 16_000},
        "tokenizer_config.json": TOKENIZER | {"word_delimiter_token": "|"},
    }.items():
        (folder / name).write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def judge(folder: Path) -> HubertCTC:
    made = HubertCTC(folder)
    made.check()
    return made


@pytest.fixture(scope="module")
def wav() -> Tensor:
    return read(clip())[0][0, 16_000:48_000]


def _logits(folder: Path, wav: Tensor) -> Tensor:
    """(N, V) of a signal brought to mean 0 and variance 1."""
    scaled = (wav - wav.mean()) / (wav.var(correction=0) + 1e-7).sqrt()
    with torch.no_grad():
        return HubertForCTC.from_pretrained(folder).eval()(scaled[None]).logits[0]


def test_greedy_ctc_merges_repeats_and_drops_blanks(judge: HubertCTC, folder: Path, wav: Tensor) -> None:
    frames = _logits(folder, wav).argmax(1).tolist()
    assert len(frames) == 99  # 32 000 samples in hops of 320, with a window of 400
    merged = "".join(LETTERS[letter] for letter, _ in groupby(frames) if letter)
    heard = judge.transcribe(wav, 16_000)
    assert len(set(heard)) > 3
    assert heard == " ".join(merged.replace("|", " ").split(" ")).strip()
    assert judge.transcribe(wav, 16_000) == heard


def test_loudness_and_offset_are_taken_out(judge: HubertCTC, wav: Tensor) -> None:
    assert judge.transcribe(0.25 * wav + 0.1, 16_000) == judge.transcribe(wav, 16_000)


def test_alone_it_is_heard_as_in_a_padded_and_masked_batch(
    judge: HubertCTC, folder: Path, wav: Tensor
) -> None:
    processor: Any = Wav2Vec2Processor.from_pretrained(folder)
    model = HubertForCTC.from_pretrained(folder).eval()
    batch = [wav.numpy(), wav[:20_000].numpy()]
    given = processor(batch, sampling_rate=16_000, return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = model(**given).logits
    frames = (20_000 - 400) // 320 + 1
    alone = _logits(folder, wav[:20_000])
    assert torch.allclose(logits[1, :frames], alone, atol=1e-4 * float(alone.abs().max()))
    assert processor.decode(logits[1, :frames].argmax(1)) == judge.transcribe(wav[:20_000], 16_000)


def test_other_rates_silence_and_short_audio(judge: HubertCTC, wav: Tensor) -> None:
    low = resample(wav, 16_000, 8_000)
    assert judge.transcribe(low, 8_000) == judge.transcribe(resample(low, 8_000, 16_000), 16_000)
    assert judge.transcribe(torch.zeros(800), 16_000) == ""
    assert len(judge.transcribe(wav[:100], 16_000)) <= 1


def test_the_true_text_is_the_only_reference(judge: HubertCTC, wav: Tensor) -> None:
    heard = judge.transcribe(wav, 16_000)
    utterance = Utterance(Path("a.wav"), "a", wav, 16_000, transcript=heard)
    exact = judge(utterance, wav)
    assert exact == {"WER": word_errors(heard, heard)}
    assert exact["WER"].value == 0
    assert judge(utterance, torch.zeros_like(wav))["WER"] == (100, exact["WER"].weight)
    assert judge(replace(utterance, transcript=None, consensus="NO"), wav) == {}
    with pytest.raises(ValueError, match="accepted"):
        judge(utterance, wav[:-1])


def test_weights_of_either_kind_tell_the_same(
    judge: HubertCTC, folder: Path, wav: Tensor, tmp_path: Path
) -> None:
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save(HubertForCTC.from_pretrained(folder).state_dict(), tmp_path / "pytorch_model.bin")
    other = HubertCTC(tmp_path)
    other.check()
    assert other.transcribe(wav, 16_000) == judge.transcribe(wav, 16_000)
    assert other.version != judge.version


def test_a_cache_as_the_hub_lays_it_out_is_used(
    judge: HubertCTC, folder: Path, wav: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "models--facebook--hubert-large-ls960-ft"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("0" * 40)
    (repo / "snapshots").mkdir()
    (repo / "snapshots" / ("0" * 40)).symlink_to(folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached = HubertCTC()
    cached.check()
    assert cached.transcribe(wav, 16_000) == judge.transcribe(wav, 16_000)
    assert cached.version.startswith("hubert-large-ls960-ft, weights ")


def test_without_weights_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unavailable, match=r"holds no config.json.*model.safetensors or pytorch_model.bin"):
        HubertCTC(tmp_path).check()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(Unavailable, match=rf"{REPO} is not in the cache {tmp_path}.*hf download {REPO}"):
        HubertCTC().check()
