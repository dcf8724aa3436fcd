"""WavTokenizer (https://arxiv.org/abs/2408.16532): 40 or 75 tokens a second of one codebook."""

import math
from typing import Any

from torch import Tensor

from vocable.codecs.backbones.seanet import SEANetEncoder
from vocable.codecs.backbones.wavtokenizer import WavTokenizerDecoder
from vocable.codecs.codec import Codec
from vocable.codecs.zoo import encodec
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.vq import EMAVQ


def wavtokenizer(
    dim: int = 32,
    ratios: tuple[int, ...] = (8, 5, 4, 2),
    latent_dim: int = 512,
    codebook_size: int = 4096,
    decoder_dim: int = 768,
    blocks: int = 12,
) -> Codec:
    """24 kHz mono, one codebook; not causal, every frame of the decoder attends to all others.

    dim, ratios: the SEANet encoder's first channels, and its strides backwards, as published.
    decoder_dim, blocks: width and ConvNeXt blocks of the decoder.
    """
    return Codec(
        SEANetEncoder(dim, tuple(reversed(ratios)), latent_dim),
        EMAVQ(latent_dim, codebook_size, kmeans_iterations=200),
        WavTokenizerDecoder(latent_dim, decoder_dim, blocks, math.prod(ratios)),
        sample_rate=24_000,
    )


RULES = {
    r"quantizer\.vq\.layers\.0\._codebook\.(.+)": r"quantizer.\1",
    **encodec.RULES,
    r"backbone\.embed\.(.+)": r"decoder.inp.conv.\1",
    r"backbone\.pos_net\.(.+)": r"decoder.context.\1",
    r"backbone\.norm\.scale\.weight": "decoder.norm.weight",
    r"backbone\.norm\.shift\.weight": "decoder.norm.bias",
    r"backbone\.convnext\.(\d+)\.dwconv\.(.+)": r"decoder.blocks.\1.depthwise.\2",
    r"backbone\.convnext\.(\d+)\.norm\.scale\.weight": r"decoder.blocks.\1.norm.weight",
    r"backbone\.convnext\.(\d+)\.norm\.shift\.weight": r"decoder.blocks.\1.norm.bias",
    r"backbone\.convnext\.(\d+)\.pwconv1\.(.+)": r"decoder.blocks.\1.widen.\2",
    r"backbone\.convnext\.(\d+)\.pwconv2\.(.+)": r"decoder.blocks.\1.narrow.\2",
    r"backbone\.convnext\.(\d+)\.gamma": r"decoder.blocks.\1.scale",
    r"backbone\.final_layer_norm\.(.+)": r"decoder.out_norm.\1",
    r"head\.out\.(.+)": r"decoder.head.out.\1",
}
DROPPED = (
    r"decoder\..+",  # EnCodec's, never run
    r"head\.istft\.window",
    r"(multiperioddisc|multiresddisc|dac|dacdiscriminator|melspec_loss)\..+",
)


def state(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The official training checkpoint to ours.

    Its norms have one scale and shift for each of four ids of a bandwidth; the first is the one in use.
    """
    if "state_dict" not in checkpoint:
        raise ValueError(f"the checkpoint holds {sorted(checkpoint)[:5]}; accepted: state_dict, among others")
    tensors = {}
    for key, tensor in checkpoint["state_dict"].items():
        adaptive = key.endswith((".norm.scale.weight", ".norm.shift.weight"))
        tensors[key.removeprefix("feature_extractor.encodec.")] = tensor[0] if adaptive else tensor
    return rename(tensors, RULES, DROPPED)


def _published(name: str, file: str, repo: str, hop_length: int) -> Published:
    ratios, parameters = {320: ([8, 5, 4, 2], 71_690_242), 600: ([6, 5, 5, 4], 72_051_810)}[hop_length]
    return Published(
        name=f"wavtokenizer-{name}",
        build=wavtokenizer,
        options={"ratios": ratios},
        sources=(Source(f"{file}.ckpt", f"novateur/WavTokenizer{repo}"),),
        state=state,
        licence="MIT",
        licence_source="https://github.com/jishengpeng/WavTokenizer/blob/main/LICENSE",
        paper="https://arxiv.org/abs/2408.16532",
        sample_rate=24_000,
        hop_length=hop_length,
        codebook_sizes=(4096,),
        parameters=parameters,
    )


MUSIC = "medium_music_audio_320_24k"
PUBLISHED = (
    _published("small-600", "WavTokenizer_small_600_24k_4096", "", 600),
    _published("small-320", "WavTokenizer_small_320_24k_4096", "", 320),
    _published("medium-320", "wavtokenizer_medium_speech_320_24k", "-medium-speech-75token", 320),
    _published("medium-320-v2", "wavtokenizer_medium_speech_320_24k_v2", "-medium-speech-75token", 320),
    _published("medium-music-320", f"wavtokenizer_{MUSIC}", "-medium-music-audio-75token", 320),
    _published("medium-music-320-v2", f"wavtokenizer_{MUSIC}_v2", "-medium-music-audio-75token", 320),
    _published("large-600", "wavtokenizer_large_unify_600_24k", "-large-unify-40token", 600),
    _published("large-320", "wavtokenizer_large_speech_320_24k", "-large-speech-75token", 320),
    _published("large-320-v2", "wavtokenizer_large_speech_320_v2", "-large-speech-75token", 320),
)
