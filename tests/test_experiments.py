"""Every published codec's experiment: its numbers as composed, and three steps of it, all small."""

import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("lightning")
pytest.importorskip("hydra")
pytest.importorskip("transformers")

from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vocable.codecs import Codec
from vocable.codecs.backbones.semantic import SemanticEncoder
from vocable.codecs.zoo import xcodec, xcodec2
from vocable.codecs.zoo.table import FAMILIES, published
from vocable.recipes.distillation import Distillation
from vocable.recipes.listener import PerceptualLoss, listening
from vocable.recipes.progress import Progress
from vocable.recipes.schedule import constant, exponential, inverse, warmup_linear
from vocable.recipes.teachers import Teacher
from vocable.recipes.train import train

HUBERT = {
    **xcodec.base("hubert"),
    **{"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8},
    **{"conv_dim": [4] * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
}
W2V_BERT = {
    **xcodec2.W2V_BERT,
    **{"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8},
}
# arguments of each family's function
SEANET = {"dim": 2, "latent_dim": 8, "codebook_size": 8}
CODECS: dict[str, dict[str, Any]] = {
    "soundstream": {
        "encoder_dim": 2,
        "decoder_dim": 2,
        "latent_dim": 8,
        "codebook_size": 8,
        "num_codebooks": 3,
    },
    "encodec": {**SEANET, "num_codebooks": 4},
    "dac": {"encoder_dim": 2, "latent_dim": 8, "decoder_dim": 32, "codebook_size": 8, "num_codebooks": 3},
    "snac": {"encoder_dim": 4, "decoder_dim": 64, "codebook_size": 8},
    "speechtokenizer": {**SEANET, "num_codebooks": 3},
    "mimi": {**SEANET, "codebook_dim": 4, "num_codebooks": 3, "layers": 1, "heads": 1, "context": 9},
    "xcodec": {"teacher": HUBERT, "encoder_dim": 2, "latent_dim": 8, "decoder_dim": 16, "codebook_size": 8},
    "xcodec2": {
        **{"teacher": W2V_BERT, "encoder_dim": 2, "latent_dim": 8},
        **{"decoder_dim": 32, "layers": 1, "heads": 2},
    },
    "bigcodec": {"encoder_dim": 2, "latent_dim": 8, "decoder_dim": 32, "codebook_size": 8},
    "wavtokenizer": {**SEANET, "decoder_dim": 32, "blocks": 1},
    "stablecodec": {"widths": [8, 8], "depths": [1, 1], "head_dim": 8, "window": [3, 4]},
}
# arguments of the parts of discriminators and losses; how many sub-discriminators there are stays
PARTS: dict[str, dict[str, Any]] = {
    "MultiPeriodDiscriminator": {"channels": [2, 2, 2, 2, 2]},
    "MultiBandDiscriminator": {"channels": 2},
    "MultiScaleSTFTDiscriminator": {"channels": 2},
    "MultiScaleDiscriminator": {"layers": [[2, 15, 1, 1], [2, 41, 4, 2], [2, 5, 1, 1]]},
    "melgan_discriminator": {"layers": [[2, 15, 1, 1], [2, 41, 4, 2], [2, 5, 1, 1]]},
    "ComplexSTFTDiscriminator": {"channels": 1},
    "MultiFrequencyDiscriminator": {"channels": [32] * 6},
    "SpectrogramDiscriminator": {"channels": [2, 2, 2, 2, 2]},
    "PerceptualLoss": {"layers": None},
    "Term": {"start_step": 0, "end_step": None},
    "Adversary": {"start_step": 0},
    "semantic_adapter": {"dim": 8},
    "ReLUAdapter": {"dim": 8},
}
MPD, MRD, MSTFT = "MultiPeriodDiscriminator", "MultiBandDiscriminator", "MultiScaleSTFTDiscriminator"
MEL = {"mel": 15.0}
# optimizer, learning rate, betas; steps, batch, crop in seconds; terms; adversarial and feature weight
PUBLISHED: dict[str, tuple[Any, ...]] = {
    "soundstream": ("Adam", 3e-4, (0.5, 0.9), 400_000, 64, 1.0, {"mel": 1.0}, (1, 100)),
    "encodec_24khz": ("Adam", 3e-4, (0.5, 0.9), 400_000, 64, 1.0, {"mel": 2.0, "waveform": 0.1}, (4, 4)),
    "encodec_48khz": ("Adam", 3e-4, (0.5, 0.9), 400_000, 64, 1.0, {"mel": 2.0, "waveform": 0.1}, (4, 4)),
    "encodec_32khz": ("Adam", 3e-4, (0.5, 0.9), 400_000, 64, 1.0, {"mel": 2.0, "waveform": 0.1}, (4, 4)),
    "dac_44khz": ("AdamW", 1e-4, (0.8, 0.99), 400_000, 72, 0.38, MEL, (1, 2)),
    "dac_24khz": ("AdamW", 1e-4, (0.8, 0.99), 400_000, 72, 0.38, MEL, (1, 2)),
    "dac_16khz": ("AdamW", 1e-4, (0.8, 0.99), 400_000, 72, 0.38, MEL, (1, 2)),
    "snac_24khz": ("AdamW", 1e-4, (0.8, 0.99), 400_000, 72, 20480 / 24000, MEL, (1, 2)),
    "snac_44khz": ("AdamW", 1e-4, (0.8, 0.99), 400_000, 72, 24576 / 44100, MEL, (1, 2)),
    "speechtokenizer": (
        *("Adam", 1e-4, (0.9, 0.99), 468_735, 6, 3.0),
        {"mel_1024": 45.0, "mel_512": 1.0, "mel_256": 1.0, "mel_128": 1.0, "waveform": 500.0},
        (1, 2),
    ),
    "mimi": ("AdamW", 8e-4, (0.5, 0.9), 4_000_000, 128, 12.0, {}, (4, 4)),
    "xcodec": ("AdamW", 2e-4, (0.8, 0.99), 400_000, 8, 3.0, {"full": 1.0, "bands": 1.0}, (1, 20)),
    "xcodec2": ("AdamW", 1e-4, (0.8, 0.9), 700_000, 8, 6.0, {**MEL, "perceptual": 1.0}, (1, 1)),
    "bigcodec": ("AdamW", 1e-4, (0.8, 0.9), 600_000, 8, 1.0, MEL, (1, 1)),
    "wavtokenizer_75": ("AdamW", 2e-4, (0.9, 0.999), 1_000_000, 40, 3.0, {"mel": 45.0}, (1, 1)),
    "wavtokenizer_40": ("AdamW", 2e-4, (0.9, 0.999), 1_000_000, 40, 3.0, {"mel": 45.0}, (1, 1)),
    "stablecodec": (
        *("AdamW", 1.5e-4, (0.8, 0.99), 650_000, 10, 5.12),
        {"spectrum": 1.0, "waveform": 0.1, "perceptual": 1.0},
        (0.1, 5),
    ),
}
DISCRIMINATORS = {
    "soundstream": ["melgan_discriminator", "ComplexSTFTDiscriminator"],
    "encodec": [MSTFT],
    "dac": [MPD, MRD],
    "snac": [MPD, MRD],
    "speechtokenizer": [MPD, "MultiScaleDiscriminator", MSTFT],
    "mimi": [MSTFT],
    "xcodec": ["MultiFrequencyDiscriminator"],
    "xcodec2": [MPD, "SpectrogramDiscriminator"],
    "bigcodec": [MPD, "SpectrogramDiscriminator"],
    "wavtokenizer": [MPD, MRD, MPD, MRD],
    "stablecodec": [MSTFT],
}
# what is not the sum or mean that the quantizer gives; clipping of codec and discriminator; precision
WEIGHTS = {"dac_44khz": 9, "dac_24khz": 32, "dac_16khz": 12, "snac_24khz": 3, "snac_44khz": 4}
WEIGHTS |= {"speechtokenizer": 10, "wavtokenizer_75": 1000, "wavtokenizer_40": 1000}
CLIPS = {
    "dac": (1000, 10),
    "snac": (1000, 10),
    "xcodec": (2, None),
    "xcodec2": (1, None),
    "bigcodec": (1, None),
}
CLIPS |= {"mimi": (1, None), "stablecodec": (1, None)}
HALF = {"bigcodec", "xcodec2", "mimi", "stablecodec"}
DISTILLED = {"speechtokenizer": 120, "mimi": 1, "xcodec": 100, "xcodec2": 5}


def family(name: str) -> str:
    return name.split("_")[0]


@cache
def composed(name: str, *overrides: str) -> dict[str, Any]:
    """The experiment, resolved, not to be changed."""
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        cfg = compose("train", overrides=[f"experiment={name}", *overrides])
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def targets(node: Any) -> Iterator[dict[str, Any]]:
    """All that is built, in order."""
    values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and "_target_" in node:
        yield node
    for value in values:
        yield from targets(value)


def kind(node: dict[str, Any]) -> str:
    return node["_target_"].rpartition(".")[2]


def small(name: str, folder: Path) -> Any:
    """The experiment with a tiny codec, discriminator and speech models, on the clip of the package."""
    options = CODECS[family(name)]
    tree = composed.__wrapped__(
        name,
        *("data=clip", "trainer=cpu", "steps=3", "validate_every=9", "checkpoint_every=9", "log_every=1"),
        *("data.batch_size=2", "data.valid=null", f"run_dir={folder}"),
        f"latent_dim={16 if 'teacher' in options else 8}",
    )
    for node in targets(tree):
        node.update(PARTS.get(kind(node), {}))
        if kind(node) == "codec" and "name" in node:
            node.update(options)
    samples = 10240 if name == "xcodec" else 4200  # what the discriminators' longest windows need
    tree["data"]["crop_seconds"] = samples / tree["sample_rate"]
    for node in targets(tree["training"]["distillation"]):
        for key in {"in_channels", "out_channels"} & node.keys():
            node[key] = 8 if node[key] in (768, 1024) else node[key]
    return OmegaConf.create(tree)


def pretrained(name: str, layer: int | None = None) -> Teacher:
    """A tiny model of the kind that `name` is."""
    config = W2V_BERT if "bert-2" in name else HUBERT
    encoder = SemanticEncoder(config, None if layer is None else 1)
    return Teacher(encoder, encoder.dim, 50.0, margin=40, normalize=config is HUBERT)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """The values of each step of a run."""
    steps: list[dict[str, float]] = []

    def after_step(self: Progress, module: Any, logs: dict[str, Tensor], seconds: float) -> None:
        steps.append({key: float(value) for key, value in logs.items()})

    monkeypatch.setattr(Progress, "after_step", after_step)
    monkeypatch.setattr("vocable.recipes.teachers.pretrained", pretrained)
    return steps


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.filterwarnings("ignore")
def test_three_steps(name: str, tmp_path: Path, seen: list[dict[str, float]]) -> None:
    cfg = small(name, tmp_path)
    module = train(cfg).lightning_module
    expected = {"loss", "discriminator", "quantizer", "adversarial", "features", *cfg.loss}
    expected |= {"gradient/codec", "gradient/discriminator"}
    expected |= {"distillation"} if name in DISTILLED else set()
    assert len(seen) == 3
    for step in seen:
        assert expected <= step.keys()
        assert all(math.isfinite(step[key]) for key in expected), step
        assert step["gradient/codec"] > 0
        assert step["gradient/discriminator"] > 0
    codec, rate = module.codec, published()[cfg.codec.name].sample_rate
    assert isinstance(codec, Codec)
    assert codec.sample_rate == cfg.sample_rate == rate
    assert all(parameter.isfinite().all() for parameter in codec.parameters())


@pytest.mark.parametrize(
    ("name", "books"),
    [
        ("vocable_16khz", 12),
        ("vocable_16khz_further", 12),
        ("vocable_16khz_causal", 12),
        ("vocable_16khz_fsq", 1),
    ],
)
def test_three_steps_of_our_own(name: str, books: int, tmp_path: Path, seen: list[dict[str, float]]) -> None:
    tree = composed.__wrapped__(
        name,
        *("data=clip", "trainer=cpu", "steps=3", "validate_every=9", "checkpoint_every=9", "log_every=1"),
        *("data.batch_size=2", "data.valid=null", "data.crop_seconds=0.5", f"run_dir={tmp_path}"),
        *("latent_dim=8", "encoder.dim=16", "decoder.dim=16", "encoder.blocks=1", "decoder.blocks=1"),
    )
    tree["init_from"] = None
    tree["training"]["quantize_from"] = 0
    for node in targets(tree):
        node.update(PARTS.get(kind(node), {}))
    cfg = OmegaConf.create(tree)
    codec = train(cfg).lightning_module.codec
    assert isinstance(codec, Codec)
    assert (codec.frame_rate, codec.num_codebooks) == (50, books)
    assert len(seen) == 3
    for step in seen:
        assert {"loss", "quantizer", "features", "distillation", *cfg.loss} <= step.keys()
        assert all(map(math.isfinite, step.values())), step
        assert step["gradient/codec"] > 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name: str) -> None:
    tree, of = composed(name, "data.train=x"), family(name)
    training, data = tree["training"], tree["data"]
    found = training["optimizer"]
    assert (kind(found), found["lr"], tuple(found["betas"])) == PUBLISHED[name][:3]
    crop = pytest.approx(PUBLISHED[name][5], abs=1e-6)
    assert (tree["steps"], data["batch_size"], data["crop_seconds"]) == (*PUBLISHED[name][3:5], crop)
    assert {term: node["weight"] for term, node in training["terms"].items()} == PUBLISHED[name][6]
    adversary = training["adversary"]
    assert (adversary["weight"], adversary["feature_weight"]) == PUBLISHED[name][7]
    parts = [kind(node) for node in targets(adversary["discriminator"])]
    assert [part for part in parts if part in PARTS] == DISCRIMINATORS[of]
    assert training["quantizer_weight"] == WEIGHTS.get(name, 1)
    assert (training["clip"], adversary.get("clip")) == CLIPS.get(of, (math.inf, None))
    assert tree["trainer"]["precision"] == ("bf16-mixed" if of in HALF else "32-true")
    assert tree["trainer"]["devices"] == 1
    weight = training["distillation"]["weight"] if training["distillation"] else None
    assert weight == DISTILLED.get(name)


@pytest.mark.parametrize("name", DISTILLED)
def test_the_head_takes_the_full_codecs_latents(name: str) -> None:
    tree = composed(name, "data.train=x")
    with torch.device("meta"):
        codec = instantiate(tree["codec"], _convert_="all")
    assert codec.quantizer.dim == tree["latent_dim"]


@pytest.mark.parametrize("name", ["encodec_24khz", "encodec_48khz", "encodec_32khz", "mimi"])
def test_the_balancer_has_encodecs_weights(name: str) -> None:
    weights = composed(name, "data.train=x")["training"]["balancer"]["weights"]
    shares = {"mel": 2.0, "waveform": 0.1, "adversarial": 4.0, "features": 4.0}
    assert {key: weights[key] for key in shares if key in weights} | {"waveform": 0.1} == shares


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        ("dac_16khz", {0: 1e-4, 1: 0.999996e-4, 250_000: 0.999996**250_000 * 1e-4}),
        ("xcodec", {4393: 2e-4, 4394: 0.999 * 2e-4, 9000: 0.999**2 * 2e-4}),
        ("bigcodec", {0: 1e-5, 500: 3.25e-5, 1000: 1e-4, 251_000: 5.5e-5, 501_000: 1e-5, 600_000: 1e-5}),
        ("xcodec2", {0: 1e-5, 3000: 1e-4, 203_000: 6e-5, 403_000: 2e-5, 600_000: 2e-5}),
        ("wavtokenizer_75", {0: 2e-4, 500_000: 1e-4, 1_000_000: 0.0}),
        ("speechtokenizer", {0: 1e-4, 468_735: 0.0}),
        ("encodec_24khz", {0: 3e-4, 400_000: 3e-4}),
        ("stablecodec", {0: 1.5e-7, 200_000: 1.5e-4 * 0.5**0.5}),
    ],
)
def test_learning_rates(name: str, rates: dict[int, float]) -> None:
    training = composed(name, "data.train=x")["training"]
    schedule = instantiate(training["schedule"])
    found = {step: training["optimizer"]["lr"] * schedule(step) for step in rates}
    assert found == pytest.approx(rates, rel=1e-4, abs=1e-12)


def test_every_family_but_the_diffusion_codec_has_an_experiment() -> None:
    assert {family(name) for name in PUBLISHED} == set(FAMILIES) - {"semanticodec"}
    assert DISCRIMINATORS.keys() == CODECS.keys() == {family(name) for name in PUBLISHED}


def test_schedules_at_their_ends() -> None:
    assert constant(10**9) == 1.0
    assert exponential(7, 0.5, every=4) == 0.5
    assert [warmup_linear(step, 2, 4, 0.2, 0.6) for step in (0, 1, 2, 4, 6, 9)] == pytest.approx(
        [0.2, 0.4, 1.0, 0.8, 0.6, 0.6]
    )
    assert inverse(0, 10) == 1.0
    assert inverse(30, 10) == 0.5


def xcodec_tiny() -> Codec:
    return xcodec.xcodec(**CODECS["xcodec"])


def test_a_listening_codec_has_its_teachers_weights() -> None:
    teacher = pretrained("hubert")
    codec = listening(xcodec_tiny(), teacher)
    wav = 0.1 * torch.randn(1, 1, 3200)
    with torch.no_grad():
        expected = teacher.model(torch.nn.functional.pad(wav, (160, 160)))
        assert torch.equal(codec.encoder.hear(wav), expected)  # type: ignore[operator]
        distillation = Distillation(None, torch.nn.functional.l1_loss, torch.nn.Conv1d(16, 8, 1), of="all")
        out = codec.train()(wav[..., :-7])
        assert distillation(out, wav[..., :-7], codec) > 0


def test_models_that_do_not_fit_are_refused(codec: Codec) -> None:
    teacher = pretrained("w2v-bert-2")
    with pytest.raises(ValueError, match="DACEncoder listens with no speech model"):
        listening(codec, teacher)
    with pytest.raises(ValueError, match=r"the teacher lacks .*; accepted: the codec's speech model"):
        listening(xcodec_tiny(), teacher)
    distillation = Distillation(None, torch.nn.functional.l1_loss, torch.nn.Conv1d(8, 8, 1), of="all")
    wav = torch.randn(1, 1, 800)
    with pytest.raises(ValueError, match="accepted: a teacher for the distillation"):
        distillation(codec(wav), wav, codec)


def test_perceptual_loss_teaches_the_estimate_alone() -> None:
    torch.manual_seed(0)
    loss = PerceptualLoss(pretrained("hubert"))
    estimate, target = (0.1 * torch.randn(2, 1, 1600)).requires_grad_(), 0.1 * torch.randn(2, 1, 1600)
    assert float(loss(target, target)) == 0
    loss(estimate, target).backward()
    assert estimate.grad is not None
    assert bool(estimate.grad.isfinite().all() and estimate.grad.any())
    assert all(parameter.grad is None for parameter in loss.parameters())
