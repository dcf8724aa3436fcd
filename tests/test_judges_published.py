"""UTMOS and WavLM SV against what the official code makes of the same random weights (assets/judges.json)."""

import hashlib
import json
import runpy
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("transformers")

from vocable.benchmarks.judges import utmos, wavlm_sv
from vocable.benchmarks.judges.base import Judge, Unavailable, Utterance
from vocable.benchmarks.judges.ecapa import ECAPA
from vocable.codecs.audio import resample
from vocable.codecs.zoo.published import Source
from vocable.codecs.zoo.xcodec import base

ASSETS = Path(__file__).parent / "assets"
INPUTS = runpy.run_path(str(ASSETS / "judges_inputs.py"))
fill, signal, CONV, WAVLM, HEAD, SIZES = (
    INPUTS[name] for name in ("fill", "signal", "CONV", "WAVLM", "HEAD", "UTMOS")
)
GOLDEN = json.loads((ASSETS / "judges.json").read_text())
MODULES = {"utmos": utmos, "speaker": wavlm_sv}


def config(model_type: str, sizes: dict[str, int]) -> dict[str, Any]:
    """A tiny speech model, as transformers names its sizes."""
    return base(model_type) | {
        "hidden_size": sizes["dim"],
        "num_attention_heads": sizes["heads"],
        "intermediate_size": sizes["hidden"],
        "conv_dim": [CONV["width"]] * 7,
    }


TINY_WAVLM = config("wavlm", WAVLM) | {
    "num_hidden_layers": WAVLM["layers"],
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": WAVLM["pos"],
    "num_conv_pos_embedding_groups": WAVLM["groups"],
    "num_buckets": WAVLM["buckets"],
    "max_bucket_distance": WAVLM["far"],
}
LISTENER = {"embedding": SIZES["embedding"], "hidden": SIZES["lstm"], "projection": SIZES["projection"]}


def build(name: str) -> nn.Module:
    """The tiny model of a judge, with random weights."""
    if name == "utmos":
        return utmos.StrongLearner(config("wav2vec2", SIZES), **LISTENER).eval()
    return wavlm_sv.SpeakerEmbedding(TINY_WAVLM, ECAPA(WAVLM["dim"], **HEAD)).eval()


@cache
def checkpoint(name: str) -> dict[str, Tensor]:
    """The weights that the official model had, under its names."""
    return {key: fill(key, tuple(shape)) for key, shape in GOLDEN[name]["shapes"].items()}


def utterance(wav: Tensor, sample_rate: int = 16_000, key: str = "key") -> Utterance:
    return Utterance(Path("clip.wav"), key, wav, sample_rate)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["utmos", "speaker"])
def test_it_is_the_official_model(name: str) -> None:
    model = build(name)
    model.load_state_dict(MODULES[name].state(checkpoint(name)), strict=True)
    assert len(GOLDEN[name]["made"]) == 3
    for length, expected in GOLDEN[name]["made"].items():
        made = model(signal(int(length))[None]).reshape(-1)
        torch.testing.assert_close(made, torch.tensor(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["utmos", "speaker"])
def test_a_checkpoint_must_have_all_tensors_and_no_others(name: str) -> None:
    state = MODULES[name].state
    with pytest.raises(ValueError, match=r"1 tensors that are not this codec's: extra\.weight"):
        state(checkpoint(name) | {"extra.weight": torch.zeros(1)})
    model, spare = build(name), ("mask_emb", "num_batches_tracked")  # torch fills in the second by itself
    for missing in [key for key in GOLDEN[name]["shapes"] if not key.endswith(spare)][::20]:
        with pytest.raises(RuntimeError, match="Missing key"):
            model.load_state_dict(state({k: v for k, v in checkpoint(name).items() if k != missing}))


def test_the_classes_that_the_speaker_model_learnt_from_are_left_out() -> None:
    published = checkpoint("speaker") | {"loss_calculator.projection.weight": torch.zeros(5994, 256)}
    assert wavlm_sv.state(published).keys() == build("speaker").state_dict().keys()


def test_full_sizes_have_the_published_numbers_of_tensors() -> None:
    """711 are in wavlm_large_finetune.pth; WavLM's mask and the training classes are not for use."""
    with torch.device("meta"):
        speaker = wavlm_sv.SpeakerEmbedding(wavlm_sv.LARGE, ECAPA(1024))
        listener = utmos.StrongLearner(base("wav2vec2"))
    assert len(speaker.state_dict()) == 711 - 2
    assert sum(x.numel() for x in speaker.speech.parameters()) == 315_453_120 - 1024  # WavLM large, no mask
    assert len(listener.state_dict()) == len(GOLDEN["utmos"]["shapes"]) - 1


@pytest.fixture
def judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Judge]:
    """Both judges at tiny size, their files of weights put into the cache by hand."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "vocable" / "judges"
    folder.mkdir(parents=True)
    contents = {"utmos": checkpoint("utmos"), "speaker": {"model": checkpoint("speaker"), "best_eer": 0.4}}
    for name, module in MODULES.items():
        path = folder / Path(module.SOURCE.file).name
        torch.save(contents[name], path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        monkeypatch.setattr(module, "SOURCE", Source(module.SOURCE.file, sha256=digest))
    monkeypatch.setattr(utmos, "base", lambda _: config("wav2vec2", SIZES))
    monkeypatch.setattr(utmos, "StrongLearner", partial(utmos.StrongLearner, **LISTENER))
    monkeypatch.setattr(wavlm_sv, "LARGE", TINY_WAVLM)
    monkeypatch.setattr(wavlm_sv, "ECAPA", partial(ECAPA, **HEAD))
    return {"utmos": utmos.UTMOS(), "speaker": wavlm_sv.WavLMSpeaker()}


def test_weights_in_the_cache_are_used(judges: dict[str, Judge]) -> None:
    for name, judge in judges.items():
        judge.check()
        assert judge.version.endswith(f"weights {MODULES[name].SOURCE.sha256[:12]}")
    wav = signal(16_007)
    score = judges["utmos"](utterance(wav), wav)["UTMOS"]
    assert score.value == pytest.approx(GOLDEN["utmos"]["made"]["16007"][0], abs=1e-4)
    assert score.weight == 1
    first, second = (torch.tensor(GOLDEN["speaker"]["made"][key]) for key in ("16007", "8000"))
    same = judges["speaker"](utterance(wav), wav)["SPK-SIM"].value
    assert same == pytest.approx(1, abs=1e-6)
    part = signal(8000)
    vars(judges["speaker"])["_originals"]["part"] = first  # of another length: only embeddings are compared
    other = judges["speaker"](utterance(part, key="part"), part)["SPK-SIM"].value
    assert other == pytest.approx(float(torch.cosine_similarity(first, second, dim=0)), abs=1e-4)
    assert other < 0.995


def test_other_rates_are_resampled_and_scores_repeat(judges: dict[str, Judge]) -> None:
    wav = signal(16_007)
    louder = resample(wav, 16_000, 44_100)
    for judge in judges.values():
        noisy = wav + 0.02 * torch.randn(len(wav), generator=torch.Generator().manual_seed(0))
        scores = [judge(utterance(wav, key=key), noisy) for key in "aab"]
        assert scores[0] == scores[1] == scores[2]
        (there,) = judge(utterance(louder, 44_100, "c"), resample(noisy, 16_000, 44_100)).values()
        (here,) = scores[0].values()
        assert there.value == pytest.approx(here.value, abs=0.02)


def test_what_they_refuse(judges: dict[str, Judge]) -> None:
    for judge, shortest in ((judges["utmos"], 400), (judges["speaker"], 720)):
        wav = signal(shortest)
        judge(utterance(wav), wav)
        silence = torch.zeros(shortest)
        judge(utterance(silence, key="silence"), silence)  # defined, as any other sound's score
        short = signal(shortest - 1)
        with pytest.raises(
            ValueError, match=rf"the audio is 0\.0.. s long; accepted: {shortest / 16_000:.3f} s"
        ):
            judge(utterance(short, key="short"), short)
        with pytest.raises(ValueError, match="what was made has NaN"):
            judge(utterance(wav), wav * torch.nan)
        with pytest.raises(ValueError, match=rf"accepted: float \({shortest},\)"):
            judge(utterance(wav), wav[1:])


@pytest.mark.parametrize("module", [utmos, wavlm_sv])
def test_absent_weights_say_where_they_go(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    file = Path(module.SOURCE.file).name
    monkeypatch.setattr(module, "SOURCE", Source(f"http://127.0.0.1:9/{file}", sha256=module.SOURCE.sha256))
    judge = utmos.UTMOS() if module is utmos else wavlm_sv.WavLMSpeaker()
    placed = tmp_path / "vocable" / "judges" / file
    with pytest.raises(Unavailable, match=rf"{file} could not be downloaded .*: put it at {placed}"):
        judge.check()
    placed.parent.mkdir(parents=True)
    placed.write_bytes(b"another")
    digest = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(Unavailable, match=rf"SHA-256 is {digest}; accepted: {module.SOURCE.sha256}"):
        judge.check()
