"""Mimi, the codec of Moshi (https://arxiv.org/abs/2410.00037)."""

import math
import re
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from vocable.codecs.backbones.mimi import MimiDecoder, MimiEncoder
from vocable.codecs.backbones.rope import to_pairs
from vocable.codecs.backbones.seanet import Layers, SEANetDecoder, SEANetEncoder
from vocable.codecs.backbones.transformer import CausalTransformer
from vocable.codecs.codec import Codec
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.dropout import Dropout, PerBatch
from vocable.quantizers.rvq import RVQ, ema_rvq
from vocable.quantizers.split import SplitRVQ


def mimi(
    num_codebooks: int = 8,
    codebook_size: int = 2048,
    codebook_dim: int = 256,
    dim: int = 64,
    ratios: tuple[int, ...] = (8, 6, 5, 4),
    latent_dim: int = 512,
    layers: int = 8,
    heads: int = 8,
    context: int = 250,
    weight_norm: bool = False,
) -> Codec:
    """24 kHz, 12.5 frames a second, causal; the first codebook is semantic, the others acoustic.

    ratios: strides of SEANet's decoder, the encoder has them backwards. layers, heads, context: of each
    transformer. weight_norm: of SEANet's convolutions, which were trained with it and published without.
    """
    convs = Layers(True, "weight" if weight_norm else "none", "constant", true_skip=True)
    shape = {"latent_dim": latent_dim, "lstm": 0, "last_kernel": 3, "layers": convs}
    encoder, decoder = (
        CausalTransformer(latent_dim, layers, heads, 4 * latent_dim, context) for _ in range(2)
    )
    return Codec(
        MimiEncoder(SEANetEncoder(dim, tuple(reversed(ratios)), **shape), encoder),
        SplitRVQ(
            _stack(1, codebook_size, codebook_dim, 0.0),
            _stack(num_codebooks - 1, codebook_size, codebook_dim, PerBatch()),
            latent_dim,
            unquantized=0.5,
        ),
        MimiDecoder(decoder, SEANetDecoder(dim, tuple(ratios), **shape)),
        24_000,
    )


def _stack(num_codebooks: int, codebook_size: int, dim: int, dropout: float | Dropout) -> RVQ:
    """Codebooks whose entries are replaced at a tenth of an even share of use, whatever the batch."""
    return ema_rvq(dim, num_codebooks, codebook_size, dropout, dead_threshold=math.inf)


def state(checkpoint: Mapping[str, Tensor], num_codebooks: int = 32, heads: int = 8) -> dict[str, Tensor]:
    """Mimi's weights, as in moshi's file or in that of transformers, under our names.

    num_codebooks: how many of the checkpoint's are kept. heads: of the transformers, whose halves of a
    head's channels turn as pairs here.
    """
    named = rename(_fuse(checkpoint, heads), RULES)
    beyond = {f"quantizer.rest.layers.{k}" for k in range(num_codebooks - 1, len(named))}
    named = {name: tensor for name, tensor in named.items() if name.rpartition(".")[0] not in beyond}
    for name in [name for name in named if name.endswith(".embed_avg")]:
        book = name.removesuffix("embed_avg")
        if (use := named.get(book + "cluster_size")) is not None:
            named[book + "embed"] = named[name] / use.clamp(min=1e-5)[:, None]
    return named


def _fuse(checkpoint: Mapping[str, Tensor], heads: int) -> dict[str, Tensor]:
    """Queries, keys and values as one projection, where they are three, as transformers has them."""
    fused = dict(checkpoint)
    for name in checkpoint:
        if match := re.fullmatch(r"(.+_transformer\.layers\.\d+\.self_attn)\.q_proj\.weight", name):
            q, k, v = names = [f"{match[1]}.{part}_proj.weight" for part in "qkv"]
            if all(part in fused for part in names):
                parts = [to_pairs(fused[q], heads), to_pairs(fused[k], heads), fused[v]]
                fused = {key: value for key, value in fused.items() if key not in names}
                fused[f"{match[1]}.in_proj_weight"] = torch.cat(parts)
    return fused


# moshi: encoder.model.1.block.3.conv.conv.weight; transformers: encoder.layers.1.block.3.conv.weight
_CONV = r"(encoder|decoder)\.(?:model|layers)\.(\d+)\."
_LAYER = r"(encoder|decoder)_transformer\.(?:transformer\.)?layers\.(\d+)\."
_OURS = r"\1.transformer.layers.\2."
_STACKS = {
    "first": r"quantizer\.(?:rvq_first|semantic_residual_vector_quantizer)\.",
    "rest": r"quantizer\.(?:rvq_rest|acoustic_residual_vector_quantizer)\.",
}
_BUFFERS = {
    "inited": "_initialized|initialized|inited",
    "cluster_size": "cluster_usage|cluster_size",
    "embed_avg": "embedding_sum|embed_sum|embed_avg",
}
RULES = {
    _CONV
    + r"block\.(\d+)\.conv\.(?:conv\.)?(weight|bias)": r"\1.seanet.layers.layers.\2.block.layers.\3.conv.\4",
    _CONV + r"(?:conv\.|convtr\.)?(?:conv|convtr)\.(weight|bias)": r"\1.seanet.layers.layers.\2.conv.\3",
    _LAYER + r"self_attn\.(?:in_projs\.0\.weight|in_proj\.weight|in_proj_weight)": _OURS + "qkv.weight",
    _LAYER + r"self_attn\.(?:out_projs\.0|out_proj|o_proj)\.weight": _OURS + "out.weight",
    _LAYER + r"(?:norm1|input_layernorm)\.(weight|bias)": _OURS + r"attention_norm.\3",
    _LAYER + r"(?:norm2|post_attention_layernorm)\.(weight|bias)": _OURS + r"mlp_norm.\3",
    _LAYER + r"(?:linear1|mlp\.fc1)\.weight": _OURS + "widen.weight",
    _LAYER + r"(?:linear2|mlp\.fc2)\.weight": _OURS + "narrow.weight",
    _LAYER + r"(?:layer_scale_1|self_attn_layer_scale)\.scale": _OURS + "attention_scale",
    _LAYER + r"(?:layer_scale_2|mlp_layer_scale)\.scale": _OURS + "mlp_scale",
    r"downsample\.(?:conv\.)+weight": "encoder.down.conv.weight",
    r"upsample\.(?:convtr\.convtr\.convtr|conv)\.weight": "decoder.up.conv.weight",
    **{
        rf"{theirs}(?:vq\.)?layers\.(\d+)\._?codebook\.(?:{names})": rf"quantizer.{ours}.layers.\1.{buffer}"
        for ours, theirs in _STACKS.items()
        for buffer, names in _BUFFERS.items()
    },
    **{
        rf"{theirs}(in|out)put_proj\.weight": rf"quantizer.{ours}_\1.weight"
        for ours, theirs in _STACKS.items()
    },
}


def _published(name: str, num_codebooks: int) -> Published:
    file = "tokenizer-e351c8d8-checkpoint125.safetensors"
    return Published(
        name=name,
        build=mimi,
        options={"num_codebooks": num_codebooks},
        sources=(Source(file, repo="kyutai/moshiko-pytorch-bf16"),),
        state=partial(state, num_codebooks=num_codebooks),
        licence="CC-BY-4.0",
        licence_source="https://github.com/kyutai-labs/moshi#license",
        paper="https://arxiv.org/abs/2410.00037",
        sample_rate=24_000,
        hop_length=1920,
        codebook_sizes=(2048,) * num_codebooks,
        parameters=79_308_609,
    )


PUBLISHED = (_published("mimi", 8), _published("mimi-32", 32))
