"""DAC, the Descript Audio Codec (https://arxiv.org/abs/2306.06546)."""

import math
from typing import Any

from torch import Tensor

from vocable.codecs.backbones.dac import DACDecoder, DACEncoder
from vocable.codecs.codec import Codec
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.rvq import factorized_rvq

_LAYER = r"(encoder|decoder)\.(?:block|model)\.(\d+)"
_CONV = r"(bias|parametrizations\.weight\.original[01])"
RULES = {
    rf"{_LAYER}\.alpha": r"\1.layers.layers.\2.alpha",
    rf"{_LAYER}\.{_CONV}": r"\1.layers.layers.\2.conv.\3",
    rf"{_LAYER}\.block\.(\d+)\.alpha": r"\1.layers.layers.\2.layers.\3.alpha",
    rf"{_LAYER}\.block\.(\d+)\.{_CONV}": r"\1.layers.layers.\2.layers.\3.conv.\4",
    rf"{_LAYER}\.block\.(\d+)\.block\.(\d+)\.alpha": r"\1.layers.layers.\2.layers.\3.layer.layers.\4.alpha",
    rf"{_LAYER}\.block\.(\d+)\.block\.(\d+)\.{_CONV}": (
        r"\1.layers.layers.\2.layers.\3.layer.layers.\4.conv.\5"
    ),
    r"quantizer\.quantizers\.(\d+)\.(codebook\.weight|(?:in|out)_proj\..+)": r"quantizer.layers.\1.\2",
}


def dac(
    sample_rate: int = 44100,
    strides: tuple[int, ...] = (2, 4, 8, 8),
    encoder_dim: int = 64,
    latent_dim: int = 1024,
    decoder_dim: int = 1536,
    num_codebooks: int = 9,
    codebook_size: int = 1024,
    codebook_dim: int = 8,
    dropout: float = 0.5,
) -> Codec:
    """A DAC with random weights; strides are the encoder's, and the decoder's in reverse.

    Decoding gives every sample back. The published code gives 8 less at 16 and 24 kHz, where it cuts one at
    each odd stride; away from the end both are the same.
    """
    return Codec(
        DACEncoder(encoder_dim, tuple(strides), latent_dim),
        factorized_rvq(latent_dim, num_codebooks, codebook_size, codebook_dim, dropout),
        DACDecoder(decoder_dim, tuple(reversed(strides)), latent_dim),
        sample_rate,
    )


def state(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The official file, weights beside metadata, as the state of `dac`."""
    if "state_dict" not in checkpoint:
        raise ValueError(f"the checkpoint holds {sorted(checkpoint)[:5]}; accepted: state_dict and metadata")
    return rename(checkpoint["state_dict"], RULES)


def _published(name: str, asset: str, parameters: int, **options: Any) -> Published:
    releases = "https://github.com/descriptinc/descript-audio-codec/releases/download"
    return Published(
        name=name,
        build=dac,
        options=options,
        sources=(Source(f"{releases}/{asset}"),),
        state=state,
        licence="MIT",
        licence_source="https://github.com/descriptinc/descript-audio-codec#weights",
        paper="https://arxiv.org/abs/2306.06546",
        sample_rate=options["sample_rate"],
        hop_length=math.prod(options["strides"]),
        codebook_sizes=(1024,) * options["num_codebooks"],
        parameters=parameters,
    )


_44KHZ = {"sample_rate": 44100, "strides": [2, 4, 8, 8]}
_44KHZ_16KBPS = {**_44KHZ, "num_codebooks": 18, "latent_dim": 128}
_24KHZ = {"sample_rate": 24000, "strides": [2, 4, 5, 8]}
_16KHZ = {"sample_rate": 16000, "strides": [2, 4, 5, 8]}
PUBLISHED = (
    _published("dac-44khz", "0.0.1/weights.pth", 76_651_890, **_44KHZ, num_codebooks=9),
    _published("dac-44khz-16kbps", "1.0.0/weights_44khz_16kbps.pth", 64_213_250, **_44KHZ_16KBPS),
    _published("dac-24khz", "0.0.4/weights_24khz.pth", 74_708_706, **_24KHZ, num_codebooks=32),
    _published("dac-16khz", "0.0.5/weights_16khz.pth", 74_175_906, **_16KHZ, num_codebooks=12),
)
