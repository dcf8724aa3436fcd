"""Stable Codec, a transformer autoencoder for speech at 25 frames a second (https://arxiv.org/abs/2411.19842).

The sizes are the paper's description: patches of 320 samples, 8 layers, a stride of 2, 20 layers, all 1024
wide, and a window of 128 frames, which make 953 million parameters where it says about 950. The exact file,
model_config.json, is on the hub with the weights, behind its licence. It is compared with them when weights
are converted, so that a mistake here is an error and not another codec.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vocable.codecs.backbones.taae import TAAEDecoder, TAAEEncoder
from vocable.codecs.codec import Codec
from vocable.codecs.normalizing import NormalizingCodec
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.codecs.zoo.stable_audio import check_config
from vocable.quantizers.base import Quantizer
from vocable.quantizers.dithered_fsq import DitheredFSQ
from vocable.quantizers.residual_fsq import ResidualFSQ

SAMPLE_RATE = 16000
# levels of every coordinate and scale of the lattice, for each stage
POSTHOC: dict[str, tuple[tuple[int, float], ...]] = {
    "1x46656": ((6, 1.0),),
    "2x15625": ((5, 1.0), (5, 0.25)),
    "4x729": ((3, 1.0), (3, 0.5), (3, 0.25), (3, 0.125)),
}
_LAYER = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.layers\.[02]\.(\d+)\.(.+)")
_NAMES = {
    r"pre_norm\.gamma": "attention_norm.weight",
    r"self_attn\.to_(qkv|out)\.weight": r"attention.\3.weight",
    r"self_attn\.([qk]_norm\.(?:weight|bias))": r"attention.\3",
    r"self_attn_scale\.scale": "attention_scale",
    r"ff_norm\.gamma": "mlp_norm.weight",
    r"ff\.ff\.0\.proj\.(weight|bias)": r"mlp.widen.\3",
    r"ff\.ff\.2\.(weight|bias)": r"mlp.narrow.\3",
    r"ff_scale\.scale": "mlp_scale",
}


def stablecodec(
    bottleneck: str = "training",
    normalize: bool = True,
    widths: Sequence[int] = (1024, 1024),
    depths: Sequence[int] = (8, 20),
    strides: Sequence[int] = (1, 2),
    patch: int = 320,
    latent_dim: int = 6,
    levels: int = 17,
    head_dim: int = 128,
    window: Sequence[int] = (63, 64),
) -> Codec:
    """A Stable Codec with random weights, 16 kHz mono.

    bottleneck: "training", one codebook of levels ** latent_dim, far too many for a language model, or one of
        the coarser ones that were published to replace it after training: "1x46656", "2x15625", "4x729".
    normalize: bring signals to -20 LUFS first, as the published code does with files (not with tensors). The
        decoder's output is brought back to the input's loudness; bare codes decode at -20 LUFS.
    widths, depths, strides, patch, head_dim, window: see `TAAEEncoder`.
    """
    sizes = (widths, depths, strides, patch, latent_dim, 1, head_dim, window)
    parts = TAAEEncoder(*sizes), quantizer(bottleneck, latent_dim, levels), TAAEDecoder(*sizes)
    return NormalizingCodec(*parts, SAMPLE_RATE) if normalize else Codec(*parts, SAMPLE_RATE)


def quantizer(bottleneck: str, latent_dim: int = 6, levels: int = 17) -> Quantizer:
    """The quantizer `bottleneck` of a Stable Codec; none has weights, so a loaded codec can change its own.

    >>> codec.quantizer = quantizer("4x729")
    """
    if bottleneck == "training":
        return DitheredFSQ((levels,) * latent_dim)
    if bottleneck not in POSTHOC:
        raise ValueError(
            f"bottleneck is {bottleneck!r}; accepted: 'training', {', '.join(map(repr, POSTHOC))}"
        )
    stages = POSTHOC[bottleneck]
    return ResidualFSQ([(count,) * latent_dim for count, _ in stages], [scale for _, scale in stages])


def state(checkpoint: Mapping[str, Any], config: Mapping[str, Any], **sizes: Any) -> dict[str, Tensor]:
    """The official weights and their model_config.json as the state of `stablecodec`.

    sizes: arguments of `stablecodec` where they are not its defaults.
    ValueError, naming what differs, for a config of another model than the one that these build.
    """
    built = inspect.signature(stablecodec).bind(**sizes)
    built.apply_defaults()
    check_config(config, SAMPLE_RATE, built.arguments)
    if "state_dict" not in checkpoint:
        raise ValueError(f"the checkpoint holds {sorted(checkpoint)[:5]}; accepted: a state_dict")
    weights = _without_constants(checkpoint["state_dict"])
    return rename(weights, _rules(len(built.arguments["strides"])))


def _without_constants(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All but the buffers that never change; layers counted from 0 and named `encoder.BLOCK.LAYER.NAME`."""
    kept = {}
    for key, tensor in weights.items():
        if key.endswith("_norm.beta"):
            if tensor.any():
                raise ValueError(f"{key} is not zero; accepted: a norm without bias")
        elif key.endswith("rope.inv_freq"):
            frequencies = 10_000 ** -(torch.arange(len(tensor)) / len(tensor))
            if not torch.allclose(tensor.float(), frequencies, rtol=1e-5):
                raise ValueError(f"{key} is of another base; accepted: 10000")
        else:
            kept[_LAYER.sub(lambda m: f"{m[1]}.{m[2]}.{int(m[3]) - 1}.{m[4]}", key)] = tensor
    return kept


def _rules(blocks: int) -> dict[str, str]:
    """Names, of a codec of so many blocks, to ours."""
    conv = r"(bias|parametrizations\.weight\.original[01])"
    rules = {rf"(encoder|decoder)\.layers\.0\.{conv}": r"\1.layers.layers.0.conv.\2"}
    rules[rf"(encoder|decoder)\.layers\.{blocks + 2}\.{conv}"] = rf"\1.layers.layers.{blocks + 1}.conv.\2"
    for part, theirs, ours, layers in (("encoder", 1, 0, 1), ("decoder", 2, 1, 0)):
        block = rf"{part}.layers.layers.\1.layers"
        rules[rf"{part}\.layers\.(\d+)\.layers\.{theirs}\.{conv}"] = rf"{block}.{ours}.conv.\2"
        for pattern, name in _NAMES.items():
            rules[rf"{part}\.(\d+)\.(\d+)\.{pattern}"] = rf"{block}.{layers}.layers.\2.{name}"
    return rules


def _published(name: str, bottleneck: str, repo: str, codebook_sizes: tuple[int, ...]) -> Published:
    hub = f"stabilityai/{repo}"
    return Published(
        name=name,
        build=stablecodec,
        options={"bottleneck": bottleneck},
        # the hub asks for an account that has accepted the licence
        sources=(Source("model.ckpt", hub), Source("model_config.json", hub)),
        state=state,
        licence="Stability AI Community License",
        licence_source=f"https://huggingface.co/{hub}/blob/main/LICENSE.md",
        paper="https://arxiv.org/abs/2411.19842",
        sample_rate=SAMPLE_RATE,
        hop_length=640,
        codebook_sizes=codebook_sizes,
        parameters=953_319_756,
    )


_TUNED, _BASE = "stable-codec-speech-16k", "stable-codec-speech-16k-base"
PUBLISHED = (
    _published("stablecodec-speech-16khz", "training", _TUNED, (17**6,)),
    _published("stablecodec-1x46656", "1x46656", _TUNED, (46656,)),
    _published("stablecodec-2x15625", "2x15625", _TUNED, (15625,) * 2),
    _published("stablecodec-4x729", "4x729", _TUNED, (729,) * 4),
    # before it was tuned on phonemes: the weights of the paper
    _published("stablecodec-base", "training", _BASE, (17**6,)),
)
