"""X-codec2 (https://arxiv.org/abs/2502.04128)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vocable.codecs.backbones.bigcodec import BigCodecEncoder
from vocable.codecs.backbones.semantic import SemanticAcousticEncoder, SemanticEncoder
from vocable.codecs.backbones.xcodec2 import ReLUAdapter, XCodec2Decoder
from vocable.codecs.codec import Codec
from vocable.codecs.zoo.bigcodec import LAYERS, without_filters
from vocable.codecs.zoo.keys import prefixed, rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.fsq import TwiceBoundedFSQ

_BLOCK = r"backbone\.transformers\.(\d+)"
_ENCODER = {
    r"semantic_model\.(.+)": r"teacher.model.\1",
    r"SemanticEncoder_module\.initial_conv\.weight": "adapter.inp.weight",
    r"SemanticEncoder_module\.residual_blocks\.1\.(.+)": r"adapter.conv1.\1",
    r"SemanticEncoder_module\.residual_blocks\.3\.(.+)": r"adapter.conv2.\1",
    r"SemanticEncoder_module\.final_conv\.weight": "adapter.out.weight",
    r"fc_prior\.(.+)": r"mix.\1",
}
_DECODER = {
    r"backbone\.embed\.(.+)": r"embed.\1",
    r"backbone\.prior_net\.(.+)": r"before.\1",
    rf"{_BLOCK}\.att_norm\.weight": r"transformer.\1.attention_norm.weight",
    rf"{_BLOCK}\.att\.c_attn\.weight": r"transformer.\1.qkv.weight",
    rf"{_BLOCK}\.att\.c_proj\.weight": r"transformer.\1.out.weight",
    rf"{_BLOCK}\.ffn_norm\.weight": r"transformer.\1.mlp_norm.weight",
    rf"{_BLOCK}\.mlp\.fc1\.weight": r"transformer.\1.widen.weight",
    rf"{_BLOCK}\.mlp\.fc2\.weight": r"transformer.\1.narrow.weight",
    r"backbone\.post_net\.(.+)": r"after.\1",
    r"backbone\.final_layer_norm\.(.+)": r"norm.\1",
    r"head\.out\.(.+)": r"head.out.\1",
}
RULES = {
    **{pattern: f"encoder.{template}" for pattern, template in _ENCODER.items()},
    r"generator\.quantizer\.project_(in|out)\.(.+)": r"quantizer.\1_proj.\2",
    r"fc_post_a\.(.+)": r"decoder.inp.\1",
    **{rf"generator\.{pattern}": f"decoder.{template}" for pattern, template in _DECODER.items()},
}
# computed here; of training only; and layers of w2v-BERT-2.0 after the sixteenth, which nothing listens to
_DROP = (
    r"generator\.head\.istft\.window",
    r"semantic_model\.masked_spec_embed",
    r"semantic_model\.encoder\.layers\.(1[6-9]|2\d)\..+",
)


def xcodec2(
    teacher: Mapping[str, Any],
    strides: tuple[int, ...] = (2, 2, 4, 4, 5),
    encoder_dim: int = 48,
    latent_dim: int = 1024,
    levels: tuple[int, ...] = (4,) * 8,
    decoder_dim: int = 1024,
    layers: int = 12,
    heads: int = 16,
) -> Codec:
    """An X-codec2 with random weights, 16 kHz.

    teacher: configuration of the speech model, see `SemanticEncoder`; what its last layer gives is used.
    """
    listener = SemanticEncoder(teacher, layer=teacher["num_hidden_layers"])
    acoustic = BigCodecEncoder(encoder_dim, tuple(strides), latent_dim, lstm_layers=0)
    encoder = SemanticAcousticEncoder(acoustic, latent_dim, listener, ReLUAdapter(listener.dim))
    return Codec(
        encoder,
        TwiceBoundedFSQ(encoder.dim, tuple(levels)),
        XCodec2Decoder(encoder.dim, decoder_dim, layers, heads, acoustic.hop_length),
        sample_rate=16000,
    )


def state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official file, names to tensors, as the state of `xcodec2`."""
    acoustic = rename(_one_stack(without_filters(prefixed(checkpoint, "CodecEnc."))), LAYERS)
    others = {key: value for key, value in checkpoint.items() if not key.startswith("CodecEnc.")}
    named = {f"encoder.acoustic.{key}": value for key, value in acoustic.items()}
    named |= rename(others, RULES, _DROP)
    # linear layers there, convolutions of width 1 here
    for key in ("quantizer.in_proj.weight", "quantizer.out_proj.weight"):
        named[key] = named[key][..., None]
    # there the speech model's half comes first
    semantic = named["encoder.adapter.out.weight"].shape[0]
    named["encoder.mix.weight"] = named["encoder.mix.weight"].roll(-semantic, 1)
    return named


def _one_stack(acoustic: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The acoustic encoder's two stacks of layers as the one of BigCodec's, and its name for beta."""
    count = 1 + max(int(key.split(".")[1]) for key in acoustic if key.startswith("conv_blocks."))
    stacked = {}
    for key, value in acoustic.items():
        stack, index, leaf = key.split(".", 2)
        place = int(index) + (count if stack == "conv_final_block" else 0)
        stacked[f"block.{place}.{leaf.replace('act.bias', 'act.beta')}"] = value
    return stacked


W2V_BERT = {
    "model_type": "wav2vec2-bert",
    "feature_projection_input_dim": 160,
    "hidden_size": 1024,
    "num_hidden_layers": 16,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "hidden_act": "swish",
    "layer_norm_eps": 1e-5,
    "position_embeddings_type": "relative_key",
    "left_max_position_embeddings": 64,
    "right_max_position_embeddings": 8,
    "conv_depthwise_kernel_size": 31,
    "add_adapter": False,
    "use_intermediate_ffn_before_adapter": False,
    "mask_time_prob": 0.0,
}
PUBLISHED = (
    Published(
        name="xcodec2",
        build=xcodec2,
        options={"teacher": W2V_BERT},
        sources=(Source("model.safetensors", repo="HKUSTAudio/xcodec2"),),
        state=state,
        licence="CC-BY-NC-4.0",
        licence_source="https://huggingface.co/HKUSTAudio/xcodec2-hf",
        paper="https://arxiv.org/abs/2502.04128",
        sample_rate=16000,
        hop_length=320,
        codebook_sizes=(65536,),
        parameters=629_293_658,
    ),
)
