"""X-codec2 against transformers' model: the same codes and the same audio from the same checkpoint."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocable.codecs import Codec, load, save
from vocable.codecs.backbones.rope import rotary, rotate_pairs, to_pairs
from vocable.codecs.build import build
from vocable.codecs.zoo import xcodec2
from vocable.quantizers.fsq import FSQ, TwiceBoundedFSQ

TEACHER = {**xcodec2.W2V_BERT, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
TINY: dict[str, Any] = {"encoder_dim": 4, "latent_dim": 64, "decoder_dim": 64, "layers": 2, "heads": 4}
NODE = {"_target_": "vocable.codecs.zoo.xcodec2.xcodec2", "teacher": TEACHER, **TINY}


def make_peer(teacher: dict[str, Any], sizes: dict[str, Any], randomize: Callable[..., nn.Module]) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    dim, heads = sizes.get("decoder_dim", 1024), sizes.get("heads", 16)
    config = transformers.Xcodec2Config(
        encoder_hidden_size=sizes.get("encoder_dim", 48),
        semantic_model_config=teacher,
        quantization_dim=dim + teacher["hidden_size"],
        hidden_size=dim,
        intermediate_size=4 * dim,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=dim // heads,
        num_hidden_layers=sizes.get("layers", 12),
    )
    peer = transformers.Xcodec2Model(config)
    for name, part in peer.named_modules():
        if isinstance(part, nn.Conv1d | nn.Linear) and not name.startswith("semantic_encoder"):
            part.reset_parameters()  # those of 0.02 would leave nothing of a signal
    filters = {name: buffer.clone() for name, buffer in peer.named_buffers()}
    randomize(peer)
    for name, buffer in peer.named_buffers():
        buffer.copy_(filters[name])
    return spread(peer.eval())


@torch.no_grad()
def spread(peer: Any) -> Any:
    """Latents that reach all levels."""
    wav = 0.3 * torch.randn(1, 1, 8000)
    found: list[Tensor] = []
    hook = peer.quantizer.project_in.register_forward_hook(lambda m, i, out: found.append(out.flatten(0, 1)))
    reference(peer, wav)
    hook.remove()
    deviation, mean = torch.std_mean(found[0], 0)
    projection = peer.quantizer.project_in
    projection.weight.mul_(2 / deviation[:, None])
    projection.bias.sub_(mean).mul_(2 / deviation)
    return peer


LAYER = r"acoustic_decoder\.layers\.(\d+)"
RENAMED = {
    r"semantic_encoder\.(.+)": r"semantic_model.\1",
    r"semantic_adapter\.conv1\.(.+)": r"SemanticEncoder_module.initial_conv.\1",
    r"semantic_adapter\.conv2\.(.+)": r"SemanticEncoder_module.residual_blocks.1.\1",
    r"semantic_adapter\.conv3\.(.+)": r"SemanticEncoder_module.residual_blocks.3.\1",
    r"semantic_adapter\.conv4\.(.+)": r"SemanticEncoder_module.final_conv.\1",
    r"acoustic_encoder\.conv1\.(.+)": r"CodecEnc.conv_blocks.0.\1",
    r"acoustic_encoder\.snake1\.(.+)": r"CodecEnc.conv_final_block.0.\1",
    r"acoustic_encoder\.conv2\.(.+)": r"CodecEnc.conv_final_block.1.\1",
    r"quantizer\.(project_.+)": r"generator.quantizer.\1",
    r"fc_encoder\.(.+)": r"fc_prior.\1",
    r"acoustic_decoder\.fc\.(.+)": r"fc_post_a.\1",
    r"acoustic_decoder\.head\.linear\.(.+)": r"generator.head.out.\1",
    r"acoustic_decoder\.norm\.(.+)": r"generator.backbone.final_layer_norm.\1",
    rf"{LAYER}\.self_attn\.o_proj\.(.+)": r"generator.backbone.transformers.\1.att.c_proj.\2",
    rf"{LAYER}\.input_layernorm\.(.+)": r"generator.backbone.transformers.\1.att_norm.\2",
    rf"{LAYER}\.post_attention_layernorm\.(.+)": r"generator.backbone.transformers.\1.ffn_norm.\2",
    rf"{LAYER}\.mlp\.(.+)": r"generator.backbone.transformers.\1.mlp.\2",
    r"acoustic_decoder\.(embed|prior_net|post_net)\.(.+)": r"generator.backbone.\1.\2",
}


def name_of(key: str) -> str:
    """A name of transformers as the official file has it."""
    unit = {"snake1": 0, "conv1": 1, "snake2": 2, "conv2": 3}
    if found := re.fullmatch(r"acoustic_encoder\.block\.(\d)\.res_unit(\d)\.(\w+)\.(.+)", key):
        block, number, layer, leaf = found.groups()
        return f"CodecEnc.conv_blocks.{int(block) + 1}.block.{int(number) - 1}.block.{unit[layer]}.{leaf}"
    if found := re.fullmatch(r"acoustic_encoder\.block\.(\d)\.(snake1|conv1)\.(.+)", key):
        block, layer, leaf = found.groups()
        return f"CodecEnc.conv_blocks.{int(block) + 1}.block.{3 if layer == 'snake1' else 4}.{leaf}"
    pattern = next(pattern for pattern in RENAMED if re.fullmatch(pattern, key))
    return re.sub(pattern, RENAMED[pattern], key)


def checkpoint(peer: Any) -> dict[str, Tensor]:
    """What the official file holds: weight norm, queries, keys and values in one, filters, unused layers."""
    state = peer.state_dict()
    heads = peer.config.num_attention_heads
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if part := re.fullmatch(rf"{LAYER}\.self_attn\.[qkv]_proj\.weight", key):
            q, k, v = (state[key.replace(key[-13:], f"{x}_proj.weight")] for x in "qkv")
            name = f"generator.backbone.transformers.{part[1]}.att.c_attn.weight"
            found[name] = torch.cat([to_pairs(q, heads), to_pairs(k, heads), v])
        elif name_of(key).startswith("CodecEnc") and key.endswith("conv1.weight") | key.endswith(
            "conv2.weight"
        ):
            stem = name_of(key).removesuffix("weight")
            found[f"{stem}parametrizations.weight.original0"] = value.norm(dim=(1, 2), keepdim=True)
            found[f"{stem}parametrizations.weight.original1"] = value
        else:
            found[name_of(key).replace("act.beta", "act.bias")] = value
    for key, value in peer.named_buffers():
        if key.endswith("filter"):
            found[name_of(key).replace("downsample", "downsample.lowpass")] = value
    found["generator.head.istft.window"] = torch.hann_window(1280)
    found["semantic_model.masked_spec_embed"] = torch.zeros(1)
    found["semantic_model.encoder.layers.16.ffn1_layer_norm.weight"] = torch.zeros(1)
    file = io.BytesIO()
    torch.save(found, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def convert(peer: Any, teacher: dict[str, Any], sizes: dict[str, Any]) -> Codec:
    codec = xcodec2.xcodec2(teacher=teacher, **sizes).eval()
    codec.load_state_dict(xcodec2.state(checkpoint(peer)))
    return codec


@pytest.fixture(scope="module")
def pair(randomize: Callable[..., nn.Module]) -> tuple[Any, Codec]:
    peer = make_peer(TEACHER, TINY, randomize)
    return peer, convert(peer, TEACHER, TINY)


@torch.no_grad()
def reference(peer: Any, wav: Tensor) -> tuple[Tensor, Tensor]:
    """One item by the published steps, with the feature extractor that they take."""
    transformers = pytest.importorskip("transformers")
    extract = transformers.SeamlessM4TFeatureExtractor(padding_value=1.0)
    padded = F.pad(wav, (0, 320 - wav.shape[-1] % 320))
    listened = F.pad(padded[0, 0], (160, 160)).numpy()
    features = extract(listened, sampling_rate=16000, return_tensors="pt")["input_features"]
    codes = peer.encode(padded, input_features=features).audio_codes
    return codes.long(), peer.decode(codes).audio_values


def check(peer: Any, codec: Codec, wav: Tensor) -> None:
    codes, audio = reference(peer, wav)
    tokens = codec.encode(wav)
    assert torch.equal(tokens.codes, codes)
    out = codec.decode(tokens)
    assert out.shape == wav.shape
    audio = audio[..., : wav.shape[-1]]
    assert (out - audio).abs().max() <= 1e-5 * audio.abs().max()


def test_codes_and_audio_are_the_peers(
    pair: tuple[Any, Codec], speech: Callable[[int, float], Tensor]
) -> None:
    for length in (1, 319, 320, 3001):
        check(*pair, 0.3 * torch.randn(1, 1, length))
    check(*pair, speech(16000, 1.0))
    assert len(reference(pair[0], speech(16000, 1.0))[0].unique()) > 25


def test_items_of_a_batch_are_the_peers_alone(pair: tuple[Any, Codec]) -> None:
    batch, lengths = torch.randn(3, 1, 2000) * 0.3, [2000, 1, 777]
    tokens = pair[1].encode(batch, lengths=lengths)
    audio = pair[1].decode(tokens)
    for i, length in enumerate(lengths):
        codes, expected = reference(pair[0], batch[i : i + 1, :, :length])
        assert torch.equal(tokens.codes[i : i + 1, :, : codes.shape[-1]], codes)
        torch.testing.assert_close(audio[i, :, :length], expected[0, :, :length], rtol=0, atol=1e-5)


def test_padding_is_that_of_the_published_feature_extractor(pair: tuple[Any, Codec]) -> None:
    pytest.importorskip("torchaudio")
    extract = pytest.importorskip("transformers").Xcodec2FeatureExtractor()
    for length in (320, 500):
        wav = 0.3 * torch.randn(1, 1, length)
        values = extract(audio=wav[0, 0].numpy(), sampling_rate=16000, return_tensors="pt")["input_values"]
        assert torch.equal(values, pair[1].pad(wav))


def test_turning_by_the_head_is_no_turning() -> None:
    """The published code takes the axis of heads for that of positions; no position is left of it."""
    q, k, v = torch.randn(3, 2, 4, 50, 16)
    cos, sin = (angle[:, None] for angle in rotary(torch.arange(4), 16))
    turned = F.scaled_dot_product_attention(rotate_pairs(q, cos, sin), rotate_pairs(k, cos, sin), v)
    torch.testing.assert_close(turned, F.scaled_dot_product_attention(q, k, v), rtol=0, atol=1e-6)


def test_coordinates_are_bounded_twice() -> None:
    once, twice = FSQ(8, (4,) * 8), TwiceBoundedFSQ(8, (4,) * 8)
    z = torch.randn(1, 8, 500)
    assert (once.encode(z) != twice.encode(z)).float().mean() > 0.3
    codes = twice.encode(z)
    assert torch.equal(twice(z).codes, codes)
    torch.testing.assert_close(twice(z).z, twice.decode(codes))
    assert torch.equal(twice.decode(codes), once.decode(codes))


def test_names_and_shapes_are_those_of_the_published_code(pair: tuple[Any, Codec]) -> None:
    """The state of xcodec2 0.1.5's modules, less the speech model's, which is a transformers model."""
    lines = (Path(__file__).parent / "assets" / "xcodec2_names.txt").read_text().splitlines()
    found = checkpoint(pair[0]).items()
    shapes = [" ".join((name, *map(str, tensor.shape))) for name, tensor in found]
    assert {line for line in shapes if not line.startswith("semantic_model.")} == set(lines)


def test_a_saved_folder_gives_the_same_with_weights_folded(pair: tuple[Any, Codec], tmp_path: Path) -> None:
    save(pair[1], NODE, tmp_path / "codec")
    loaded = load(tmp_path / "codec")
    assert not any("parametrizations" in key for key in loaded.state_dict())
    check(pair[0], loaded, 0.3 * torch.randn(1, 1, 3000))


def test_a_checkpoint_with_one_tensor_more_or_less_is_refused(pair: tuple[Any, Codec]) -> None:
    found = checkpoint(pair[0])
    for surplus in ("CodecEnc.conv_blocks.0.surplus", "generator.surplus", "discriminator.surplus"):
        with pytest.raises(ValueError, match="surplus"):
            xcodec2.state({**found, surplus: torch.zeros(1)})
    del found["fc_post_a.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*decoder\.inp\.bias"):
        pair[1].load_state_dict(xcodec2.state(found))


def test_published_numbers_are_the_codecs() -> None:
    pytest.importorskip("transformers")
    (published,) = xcodec2.PUBLISHED
    with torch.device("meta"):
        codec = build(published.config)
    assert (codec.sample_rate, codec.hop_length) == (published.sample_rate, published.hop_length)
    assert codec.codebook_sizes == published.codebook_sizes
    assert sum(parameter.numel() for parameter in codec.parameters()) == published.parameters


def test_hydra_builds_the_same() -> None:
    pytest.importorskip("transformers")
    instantiate = pytest.importorskip("hydra.utils").instantiate
    ours, theirs = build(NODE), instantiate(NODE, _convert_="all")
    assert str(ours) == str(theirs)


@pytest.mark.full
def test_full_size(randomize: Callable[..., nn.Module], speech: Callable[[int, float], Tensor]) -> None:
    peer = make_peer(xcodec2.W2V_BERT, {}, randomize)
    check(peer, convert(peer, xcodec2.W2V_BERT, {}), speech(16000, 1.013))
