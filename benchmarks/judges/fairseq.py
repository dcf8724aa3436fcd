"""Speech models that were published in fairseq's layout, held by the classes of transformers."""

from collections.abc import Mapping
from typing import Any

from torch import nn

_LAYER = r"encoder\.layers\.(\d+)\."
_OURS = r"encoder.layers.\1."
# wav2vec 2.0 (https://arxiv.org/abs/2006.11477) and WavLM (https://arxiv.org/abs/2110.13900); the first has
# a group norm in the first convolution or layer norms in all, of the second only WavLM's names are different
RULES = {
    r"feature_extractor\.conv_layers\.(\d+)\.0\.weight": r"feature_extractor.conv_layers.\1.conv.weight",
    r"feature_extractor\.conv_layers\.0\.2\.(weight|bias)": r"feature_extractor.conv_layers.0.layer_norm.\1",
    r"feature_extractor\.conv_layers\.(\d+)\.2\.1\.(weight|bias)": (
        r"feature_extractor.conv_layers.\1.layer_norm.\2"
    ),
    r"layer_norm\.(weight|bias)": r"feature_projection.layer_norm.\1",
    r"post_extract_proj\.(weight|bias)": r"feature_projection.projection.\1",
    r"encoder\.pos_conv\.0\.(.+)": r"encoder.pos_conv_embed.conv.\1",
    r"encoder\.layer_norm\.(weight|bias)": r"encoder.layer_norm.\1",
    rf"{_LAYER}self_attn\.([qkv]_proj|out_proj)\.(weight|bias)": rf"{_OURS}attention.\2.\3",
    rf"{_LAYER}self_attn\.grep_linear\.(weight|bias)": rf"{_OURS}attention.gru_rel_pos_linear.\2",
    rf"{_LAYER}self_attn\.grep_a": rf"{_OURS}attention.gru_rel_pos_const",
    rf"{_LAYER}self_attn\.relative_attention_bias\.weight": rf"{_OURS}attention.rel_attn_embed.weight",
    rf"{_LAYER}self_attn_layer_norm\.(weight|bias)": rf"{_OURS}layer_norm.\2",
    rf"{_LAYER}fc1\.(weight|bias)": rf"{_OURS}feed_forward.intermediate_dense.\2",
    rf"{_LAYER}fc2\.(weight|bias)": rf"{_OURS}feed_forward.output_dense.\2",
    rf"{_LAYER}final_layer_norm\.(weight|bias)": rf"{_OURS}final_layer_norm.\2",
}


def speech_model(config: Mapping[str, Any]) -> nn.Module:
    """The model of transformers that `config` describes, with random weights: (B, T) at 16 kHz to an output
    whose `last_hidden_state` is (B, N, D)."""
    from transformers import AutoConfig, AutoModel

    return AutoModel.from_config(AutoConfig.for_model(**config)).eval()
