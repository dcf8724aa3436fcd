"""Stable Codec against values of its official classes, and its official checkpoint's layout.

The official package needs torch 2.4 and FlashAttention: tests/assets/make_stablecodec.py made the values.
"""

import copy
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import Tensor

from vocable import codecs
from vocable.codecs import Codec
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.backbones.taae import TAAEDecoder, TAAEEncoder
from vocable.codecs.build import build
from vocable.codecs.normalizing import NormalizingCodec, normalizing_gain
from vocable.codecs.zoo.stablecodec import POSTHOC, PUBLISHED, quantizer, stablecodec, state

ASSETS = Path(__file__).parent / "assets"
BOTTLENECKS = ("training", *POSTHOC)
TINY: dict[str, Any] = {"widths": [8, 16], "depths": [1, 2], "patch": 4, "head_dim": 8, "window": [3, 4]}


def golden() -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(ASSETS / "stablecodec.safetensors", "pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, json.loads(file.metadata()["config"])  # noqa: SIM118


GOLDEN, CONFIG = golden()


def checkpoint() -> dict[str, Any]:
    """The official file's content, as read from a file."""
    weights = {
        k.removeprefix("checkpoint."): v.float() for k, v in GOLDEN.items() if k.startswith("checkpoint.")
    }
    buffer = io.BytesIO()
    torch.save({"state_dict": weights}, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def loaded(bottleneck: str, **options: Any) -> Codec:
    codec = stablecodec(bottleneck, **options, **TINY).eval()
    codec.load_state_dict(state(checkpoint(), CONFIG, **TINY), strict=True)
    return codec


def assert_close(audio: Tensor, expected: Tensor) -> None:
    assert audio.shape == expected.shape
    assert (audio - expected).abs().max() <= 1e-5 * expected.abs().max()


@torch.no_grad()
def test_encoder_and_decoder_are_the_official_ones() -> None:
    codec = loaded("training")
    torch.testing.assert_close(
        codec.encoder(GOLDEN["noise.wav"])[0], GOLDEN["noise.latents"], rtol=0, atol=1e-5
    )
    z = codec.quantizer.decode(GOLDEN["noise.training.codes"].long())
    assert_close(codec.decoder(z)[0], GOLDEN["noise.training.audio"])


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_codes_and_audio_are_the_official_ones(bottleneck: str, folded: bool) -> None:
    codec = loaded(bottleneck, normalize=False)
    if folded:
        fold_weight_norm(codec)
    wav, expected = GOLDEN["noise.wav"], GOLDEN[f"noise.{bottleneck}.codes"].long()
    codes = codec.encode(wav).codes
    assert torch.equal(codes, expected)
    assert all(len(book.unique()) > 10 for book in codes.unbind(1))
    assert_close(codec.decode(codes), GOLDEN[f"noise.{bottleneck}.audio"])
    for books in range(1, codec.num_codebooks + 1):
        assert torch.equal(codec.encode(wav, num_codebooks=books).codes, expected[:, :books])


@pytest.mark.parametrize("bottleneck", BOTTLENECKS)
def test_a_file_is_padded_and_normalised_as_the_official_code_does(bottleneck: str, tmp_path: Path) -> None:
    codec, path = loaded(bottleneck), tmp_path / "speech.wav"
    soundfile.write(path, GOLDEN["file.wav"].numpy(), 16000)
    tokens = codec.encode(path)
    assert torch.equal(tokens.codes, GOLDEN[f"file.{bottleneck}.codes"].long())
    assert tokens.lengths.tolist() == [6501]
    if bottleneck == "2x15625":
        at_target = codec.decode(tokens.codes)
        assert_close(at_target, GOLDEN["file.2x15625.audio"])
        assert tokens.scales is not None
        assert_close(codec.decode(tokens), at_target[..., :6501] * tokens.scales[..., None])


def test_the_gain_is_the_meter_of_torchaudio() -> None:
    functional = pytest.importorskip("torchaudio.functional")
    generator = torch.Generator().manual_seed(0)
    wav = torch.randn(6, 2, 30011, generator=generator).clamp(-3, 3) / 3
    wav *= torch.tensor([0.01, 0.05, 0.2, 0.5, 0.9, 1])[:, None, None] * torch.linspace(0, 1, 30011) ** 3
    expected = 10 ** ((-30 - functional.loudness(wav, 16000)) / 20)
    torch.testing.assert_close(normalizing_gain([wav], 16000, -30), expected, rtol=1e-5, atol=0)
    short = wav[2:3, :1, -6400:]
    torch.testing.assert_close(
        normalizing_gain([short], 16000, -30), 10 ** ((-30 - functional.loudness(short, 16000)) / 20)
    )


def test_silence_shorts_and_peaks() -> None:
    silence, hum = torch.zeros(1, 1, 8000), torch.full((1, 1, 80000), 0.01)
    click = torch.zeros(1, 1, 8000)
    click[..., 4000] = 0.9
    noise = 0.01 * torch.randn(1, 1, 640, generator=torch.Generator().manual_seed(0))
    gain = [normalizing_gain([wav], 16000, -20).item() for wav in (silence, 1e-4 * noise, click, noise)]
    assert gain[:2] == [1, 1]
    assert gain[2] * 0.9 == pytest.approx(0.95)
    assert 2 < gain[3] < 20
    assert math.isfinite(normalizing_gain([hum], 16000, -20).item())


def test_any_length_and_batches(speech: Callable[[int, float], Tensor]) -> None:
    codec = loaded("2x15625")
    lengths = [1, 7, 8, 9, 500, 6399, 6400, 9001]
    wav = speech(16000, 1.0)[..., :9001].expand(len(lengths), -1, -1)
    together = codec.encode(wav, lengths=lengths)
    for i, length in enumerate(lengths):
        alone = codec.encode(wav[i : i + 1, :, :length])
        frames = math.ceil(length / 8)
        assert alone.codes.shape == (1, 2, frames)
        assert torch.equal(together.codes[i, :, :frames], alone.codes[0])
        assert codec.decode(alone).shape == (1, 1, length)
    quiet, loud = codec.encode(0.25 * wav[-1:]), codec.encode(0.5 * wav[-1:])
    assert (quiet.codes == loud.codes).float().mean() > 0.99
    assert quiet.scales is not None
    assert loud.scales is not None
    torch.testing.assert_close(2 * quiet.scales, loud.scales)


@settings(max_examples=15, deadline=None)
@given(frames=st.integers(1, 40), strides=st.sampled_from([(1,), (3,), (2, 1), (1, 4), (2, 5)]))
def test_frames_and_samples(frames: int, strides: tuple[int, ...]) -> None:
    widths, depths = (8,) * len(strides), (1,) * len(strides)
    sizes = (widths, depths, strides, 4, 3, 2, 8, (2, 1))
    encoder, decoder = TAAEEncoder(*sizes), TAAEDecoder(*sizes)
    with torch.no_grad():
        z, _ = encoder(torch.randn(1, 2, frames * encoder.hop_length))
        assert z.shape == (1, 3, frames)
        assert decoder(z)[0].shape == (1, 2, frames * encoder.hop_length)


def test_training_reaches_every_weight() -> None:
    torch.manual_seed(0)
    codec = stablecodec(**TINY).train()
    assert isinstance(codec, NormalizingCodec)
    out = codec(0.1 * torch.randn(3, 1, 77))
    assert out.wav.shape == (3, 1, 77)
    out.wav.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in codec.parameters())


@pytest.fixture(scope="module")
def full_size() -> Codec:
    """Shapes without values."""
    with torch.device("meta"):
        return build(PUBLISHED[0].config)


def test_full_size_has_the_official_names_and_shapes(full_size: Codec) -> None:
    shapes = json.loads((ASSETS / "stablecodec_keys.json").read_text())
    weights = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    frequencies = 10_000 ** -(torch.arange(32) / 32)
    weights |= {key: frequencies for key in weights if key.endswith("inv_freq")}
    full = {"channels": 1024, "c_mults": [1, 1], "transformer_depths": [8, 20], "sliding_window": [63, 64]}
    config = copy.deepcopy(CONFIG)
    for part, io_name in (("encoder", "in_channels"), ("decoder", "out_channels")):
        config["model"][part]["config"] |= {**full, io_name: 320}
    config["model"]["pretransform"]["config"]["patch_size"] = 320
    config["model"]["downsampling_ratio"] = 640
    named = state({"state_dict": weights}, config)
    expected = {key: tensor.shape for key, tensor in full_size.state_dict().items()}
    assert {key: tensor.shape for key, tensor in named.items()} == expected


def test_published_numbers(full_size: Codec) -> None:
    parameters = sum(p.numel() for p in full_size.parameters())
    for entry in PUBLISHED:
        assert entry.config.keys() == {"_target_", "bottleneck"}
        assert (entry.sample_rate, entry.hop_length) == (full_size.sample_rate, full_size.hop_length)
        assert entry.codebook_sizes == quantizer(entry.options["bottleneck"]).codebook_sizes
        assert entry.parameters == parameters


def test_a_wrong_checkpoint_is_refused() -> None:
    good = checkpoint()
    extra = {"state_dict": good["state_dict"] | {"proj_head.weight": torch.zeros(81, 6)}}
    with pytest.raises(ValueError, match=r"1 tensors that are not this codec's: proj_head\.weight"):
        state(extra, CONFIG, **TINY)
    missing = checkpoint()
    del missing["state_dict"]["decoder.layers.4.weight_v"]
    with pytest.raises(RuntimeError, match="Missing key"):
        stablecodec(**TINY).load_state_dict(state(missing, CONFIG, **TINY), strict=True)
    for key, value, match in (
        (
            "encoder.layers.1.layers.2.1.pre_norm.beta",
            torch.ones(8),
            "not zero; accepted: a norm without bias",
        ),
        ("encoder.layers.1.layers.2.1.rope.inv_freq", torch.ones(2), "another base; accepted: 10000"),
    ):
        with pytest.raises(ValueError, match=match):
            state({"state_dict": good["state_dict"] | {key: value}}, CONFIG, **TINY)
    with pytest.raises(ValueError, match=r"\['weights'\]; accepted: a state_dict"):
        state({"weights": {}}, CONFIG, **TINY)


@pytest.mark.parametrize(
    ("path", "value", "match"),
    [
        ("sample_rate", 44100, "sample_rate is 44100; accepted: 16000"),
        ("model.encoder.config.channels", 16, r"encoder.widths is \[16, 32\]; accepted: \[8, 16\]"),
        ("model.decoder.config.transformer_depths", [2, 2], r"decoder.transformer_depths is \[2, 2\]"),
        ("model.encoder.config.sliding_window", [31, 32], r"encoder.sliding_window is \[31, 32\]"),
        ("model.encoder.config.use_snake", True, "encoder.use_snake is True; accepted: False"),
        ("model.encoder.config.dim_heads", 64, "encoder.dim_heads is 64; accepted: None"),
        ("model.encoder.type", "oobleck", "encoder.type is 'oobleck'; accepted: 'taae'"),
        ("model.decoder.soft_clip", True, "decoder.soft_clip is True; accepted: False"),
        ("model.pretransform.config.oversampling", 2, "pretransform.oversampling is 2; accepted: 1"),
        ("model.bottleneck.config.levels", [9] * 6, r"bottleneck.levels is \[9, 9"),
        ("model.downsampling_ratio", 640, "downsampling_ratio is 640; accepted: 8"),
    ],
)
def test_a_config_of_another_codec_is_refused(path: str, value: Any, match: str) -> None:
    config = copy.deepcopy(CONFIG)
    *parents, last = path.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[last] = value
    with pytest.raises(ValueError, match=match):
        state(checkpoint(), config, **TINY)


def test_configs_may_leave_defaults_out_and_write_them_otherwise() -> None:
    config = copy.deepcopy(CONFIG)
    config["training"] = {"learning_rate": 1e-4}
    config["model"]["bottleneck"]["config"] = {"dim": 6, "levels": [17] * 6}
    config["model"]["encoder"]["config"] |= {"channels": 4, "c_mults": [2, 4]}
    config["model"]["encoder"]["config"].pop("checkpointing")
    assert len(state(checkpoint(), config, **TINY)) == len(loaded("training").state_dict())
    del config["model"]["bottleneck"]
    with pytest.raises(ValueError, match=r"model_config\.json has no 'bottleneck'"):
        state(checkpoint(), config, **TINY)


def test_saved_and_loaded_it_gives_the_same_codes(tmp_path: Path) -> None:
    codec = loaded("4x729")
    node = {"_target_": "vocable.codecs.zoo.stablecodec.stablecodec", "bottleneck": "4x729", **TINY}
    codecs.save(codec, node, tmp_path / "codec")
    again = codecs.load(tmp_path / "codec")
    wav = GOLDEN["noise.wav"]
    assert torch.equal(again.encode(wav).codes, codec.encode(wav).codes)
    again.quantizer = quantizer("2x15625")
    assert torch.equal(again.encode(wav).codes, loaded("2x15625").encode(wav).codes)


def test_hydra_builds_the_same() -> None:
    hydra = pytest.importorskip("hydra.utils")
    node = {"_target_": "vocable.codecs.zoo.stablecodec.stablecodec", "bottleneck": "2x15625", **TINY}
    mine, theirs = build(node), hydra.instantiate(node)
    assert mine.codebook_sizes == theirs.codebook_sizes == (15625, 15625)
    assert list(mine.state_dict()) == list(theirs.state_dict())


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="bottleneck is '8x729'; accepted: 'training', '1x46656'"):
        stablecodec("8x729", **TINY)
    with pytest.raises(ValueError, match="head_dim is 6; accepted: divisors of 8 and multiples of 4"):
        stablecodec(**{**TINY, "head_dim": 6})
    with pytest.raises(ValueError, match="widths are 8 and 16 at stride 1"):
        stablecodec(**TINY, strides=[2, 1])
    with pytest.raises(ValueError, match=r"strides \[1, 2, 2\]; accepted: one of each"):
        stablecodec(**TINY, strides=[1, 2, 2])
    encoder = TAAEEncoder((8,), (1,), (2,), 4, 3, head_dim=8)
    with pytest.raises(ValueError, match="length is 12; accepted: positive multiples of 8"):
        encoder(torch.zeros(1, 1, 12))
    with pytest.raises(ValueError, match="accepted: state=None"):
        encoder(torch.zeros(1, 1, 16), state=[])
    with pytest.raises(AttributeError, match="its encoder is not causal"):
        stablecodec(**TINY).stream()
