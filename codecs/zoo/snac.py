"""SNAC, the multi-scale neural audio codec (https://arxiv.org/abs/2410.14411)."""

import math
from typing import Any

from torch import Tensor

from vocable.codecs.backbones.snac import SNACDecoder, SNACEncoder
from vocable.codecs.codec import Codec
from vocable.codecs.zoo import dac
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.multiscale import factorized_multiscale

RULES = {
    r"encoder\.block\.(\d+)\.(norm|to_qkv|to_out)\.(weight|bias)": r"encoder.layers.layers.\1.\2.\3",
    r"decoder\.model\.(\d+)\.(norm|to_qkv|to_out)\.(weight|bias)": r"decoder.layers.layers.\1.\2.\3",
    r"decoder\.model\.(\d+)\.block\.2\.linear\.(.+)": r"decoder.layers.layers.\1.layers.2.linear.conv.\2",
    **dac.RULES,
}


def snac(
    sample_rate: int = 24000,
    strides: tuple[int, ...] = (2, 4, 8, 8),
    encoder_dim: int = 48,
    decoder_dim: int = 1024,
    window: int | None = None,
    vq_strides: tuple[int, ...] = (4, 2, 1),
    codebook_size: int = 4096,
    codebook_dim: int = 8,
    seed: int | None = 0,
) -> Codec:
    """A SNAC with random weights; strides are the encoder's, and the decoder's in reverse.

    Its frames are the coarsest level's, each with the codes of all levels: 7 for the strides (4, 2, 1).
    window: latents that attend to each other. seed: of the decoder's noise, `codec.decoder.seed`.
    """
    latent_dim = encoder_dim * 2 ** len(strides)
    shape = {"window": window, "frame_stride": vq_strides[0]}
    return Codec(
        SNACEncoder(encoder_dim, tuple(strides), **shape),
        factorized_multiscale(latent_dim, tuple(vq_strides), codebook_size, codebook_dim),
        SNACDecoder(latent_dim, decoder_dim, tuple(reversed(strides)), **shape, seed=seed),
        sample_rate,
    )


def state(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """The official file, bare weights, as the state of `snac`; its rotary frequencies are constants."""
    return rename(checkpoint, RULES, drop=(r".+\.rel_pos\.inv_freq",))


def _published(name: str, parameters: int, **options: Any) -> Published:
    repo = f"hubertsiuzdak/{name.replace('-', '_')}"
    return Published(
        name=name,
        build=snac,
        options=options,
        sources=(Source("pytorch_model.bin", repo),),
        state=state,
        licence="MIT",
        licence_source=f"https://huggingface.co/{repo}",
        paper="https://arxiv.org/abs/2410.14411",
        sample_rate=options["sample_rate"],
        hop_length=math.prod(options["strides"]) * options["vq_strides"][0],
        codebook_sizes=(4096,) * sum(options["vq_strides"]),
        parameters=parameters,
    )


_SPEECH = {"strides": [2, 4, 8, 8], "encoder_dim": 48, "decoder_dim": 1024, "vq_strides": [4, 2, 1]}
_MUSIC = {
    "strides": [2, 3, 8, 8],
    "encoder_dim": 64,
    "decoder_dim": 1536,
    "window": 32,
    "vq_strides": [8, 4, 2, 1],
}
PUBLISHED = (
    _published("snac-24khz", 19_842_914, sample_rate=24000, **_SPEECH),
    _published("snac-32khz", 54_546_338, sample_rate=32000, **_MUSIC),
    _published("snac-44khz", 54_546_338, sample_rate=44100, **_MUSIC),
)
