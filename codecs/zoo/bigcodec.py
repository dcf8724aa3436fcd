"""BigCodec (https://arxiv.org/abs/2409.05377)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vocable.codecs.backbones.antialias import low_pass
from vocable.codecs.backbones.bigcodec import BigCodecDecoder, BigCodecEncoder
from vocable.codecs.codec import Codec
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.vq import FactorizedVQ

_LAYER = r"(?:block|model)\.(\d+)"
_CONV = r"(bias|parametrizations\.weight\.original[01])"
_OTHER = r"(act\.alpha|act\.beta|lstm\..+)"
LAYERS = {
    rf"{_LAYER}\.{_OTHER}": r"layers.layers.\1.\2",
    rf"{_LAYER}\.{_CONV}": r"layers.layers.\1.conv.\2",
    rf"{_LAYER}\.block\.(\d+)\.{_OTHER}": r"layers.layers.\1.layers.\2.\3",
    rf"{_LAYER}\.block\.(\d+)\.{_CONV}": r"layers.layers.\1.layers.\2.conv.\3",
    rf"{_LAYER}\.block\.(\d+)\.block\.(\d+)\.{_OTHER}": r"layers.layers.\1.layers.\2.layer.layers.\3.\4",
    rf"{_LAYER}\.block\.(\d+)\.block\.(\d+)\.{_CONV}": r"layers.layers.\1.layers.\2.layer.layers.\3.conv.\4",
}
_QUANTIZER = {
    rf"quantizer\.layers\.0\.(in_proj|out_proj)\.{_CONV}": r"\1.\2",
    r"quantizer\.layers\.0\._codebook\.weight": "codebook.weight",
}


def bigcodec(
    strides: tuple[int, ...] = (2, 2, 2, 5, 5),
    encoder_dim: int = 48,
    latent_dim: int = 1024,
    decoder_dim: int = 1536,
    codebook_size: int = 8192,
    codebook_dim: int = 8,
) -> Codec:
    """A BigCodec with random weights, 16 kHz; strides are the encoder's, and the decoder's in reverse."""
    return Codec(
        BigCodecEncoder(encoder_dim, tuple(strides), latent_dim),
        FactorizedVQ(latent_dim, codebook_size, codebook_dim),
        BigCodecDecoder(decoder_dim, tuple(reversed(strides)), latent_dim),
        sample_rate=16000,
    )


def state(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The official file, the states of two modules, as the state of `bigcodec`."""
    if set(checkpoint) != {"CodecEnc", "generator"}:
        raise ValueError(f"the checkpoint holds {sorted(checkpoint)[:5]}; accepted: CodecEnc, generator")
    encoder = rename(without_filters(checkpoint["CodecEnc"]), LAYERS)
    generator = without_filters(checkpoint["generator"])
    books = {key: value for key, value in generator.items() if key.startswith("quantizer.")}
    decoder = rename({key: value for key, value in generator.items() if key not in books}, LAYERS)
    # the projections are linear layers there, convolutions of width 1 here
    quantizer = {
        key: value[..., None] if "original" in key else value
        for key, value in rename(books, _QUANTIZER).items()
    }
    parts = {"encoder": encoder, "quantizer": quantizer, "decoder": decoder}
    return {f"{part}.{key}": value for part, tensors in parts.items() for key, value in tensors.items()}


def without_filters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state without its anti-aliasing filters, which are computed here; ValueError if one is another."""
    kept = {}
    for key, value in tensors.items():
        if not key.endswith(("upsample.filter", "downsample.lowpass.filter")):
            kept[key] = value
        elif value.numel() != len(low_pass()) or not torch.allclose(
            value.float().flatten(), value.new_tensor(low_pass(), dtype=torch.float32), atol=1e-6
        ):
            raise ValueError(f"{key} is {value.flatten().tolist()}; accepted: {low_pass()}")
    return kept


PUBLISHED = (
    Published(
        name="bigcodec",
        build=bigcodec,
        options={},
        sources=(Source("bigcodec.pt", repo="Alethia/BigCodec"),),
        state=state,
        licence="MIT",
        licence_source="https://github.com/Aria-K-Alethia/BigCodec#licence",
        paper="https://arxiv.org/abs/2409.05377",
        sample_rate=16000,
        hop_length=200,
        codebook_sizes=(8192,),
        parameters=159_436_290,
    ),
)
