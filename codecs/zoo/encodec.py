"""EnCodec (https://arxiv.org/abs/2210.13438) at 24 and 48 kHz, and MusicGen's at 32 kHz."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from vocable.codecs.backbones.seanet import Layers, SEANetDecoder, SEANetEncoder
from vocable.codecs.codec import Codec
from vocable.codecs.segmented import SegmentedCodec
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.dropout import PerBatch
from vocable.quantizers.rvq import RVQ, ema_rvq


def encodec_24khz(
    dim: int = 32,
    ratios: tuple[int, ...] = (8, 5, 4, 2),
    latent_dim: int = 128,
    num_codebooks: int = 32,
    codebook_size: int = 1024,
) -> Codec:
    """24 kHz, causal: 75 frames a second, 0.75 kbit/s a codebook, so 2 to 32 of them for 1.5 to 24 kbit/s.

    ratios: the decoder's strides; the encoder has them backwards.
    """
    encoder, decoder = seanet(dim, ratios, latent_dim, 1, Layers(causal=True))
    return Codec(encoder, _quantizer(latent_dim, num_codebooks, codebook_size), decoder, 24_000)


def encodec_48khz(
    dim: int = 32,
    ratios: tuple[int, ...] = (8, 5, 4, 2),
    latent_dim: int = 128,
    num_codebooks: int = 16,
    codebook_size: int = 1024,
    segment: int = 48_000,
    stride: int = 47_520,
) -> SegmentedCodec:
    """48 kHz, stereo: 150 frames a second, 1.5 kbit/s a codebook, so 2 to 16 of them for 3 to 24 kbit/s.

    ratios: the decoder's strides; the encoder has them backwards.
    segment, stride: samples of a segment, and from its start to the next one's.
    """
    encoder, decoder = seanet(dim, ratios, latent_dim, 2, Layers(norm="group"))
    quantizer = _quantizer(latent_dim, num_codebooks, codebook_size)
    return SegmentedCodec(encoder, quantizer, decoder, 48_000, 2, segment, stride)


def encodec_32khz(
    dim: int = 64,
    ratios: tuple[int, ...] = (8, 5, 4, 4),
    latent_dim: int = 128,
    num_codebooks: int = 4,
    codebook_size: int = 2048,
) -> Codec:
    """32 kHz, 50 frames a second, 0.55 kbit/s a codebook: the tokens of MusicGen.

    Padding reflects, as the published weights' own configuration says; audiocraft's recipe for training
    them says zeros. Within 20 ms or so of a signal's ends the codes may differ.
    ratios: the decoder's strides; the encoder has them backwards.
    """
    encoder, decoder = seanet(dim, ratios, latent_dim, 1, Layers(true_skip=True))
    return Codec(encoder, ema_rvq(latent_dim, num_codebooks, codebook_size), decoder, 32_000)


def _quantizer(dim: int, num_codebooks: int, codebook_size: int) -> RVQ:
    """Trained at 2, 4, 8 ... codebooks, a batch at one of these bandwidths."""
    counts = (*(2**i for i in range(1, (num_codebooks - 1).bit_length())), num_codebooks)
    return ema_rvq(dim, num_codebooks, codebook_size, dropout=PerBatch(counts))


def seanet(
    dim: int, ratios: tuple[int, ...], latent_dim: int, channels: int, layers: Layers
) -> tuple[SEANetEncoder, SEANetDecoder]:
    """EnCodec's encoder, and its decoder, the mirror image."""
    encoder = SEANetEncoder(dim, tuple(reversed(ratios)), latent_dim, channels, layers=layers)
    return encoder, SEANetDecoder(dim, tuple(ratios), latent_dim, channels, layers=layers)


def state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An EnCodec checkpoint, as first published or in the layout of transformers, under our names."""
    return rename(checkpoint, RULES)


_LAYER = r"(encoder|decoder)\.(?:model|layers)\.(\d+)\."
# as published: encoder.model.1.block.3.conv.conv.bias; in transformers: encoder.layers.1.block.3.conv.bias
RULES = {
    _LAYER + r"block\.(\d+)\.(?:conv\.)?(conv|norm)\.(.+)": r"\1.layers.layers.\2.block.layers.\3.\4.\5",
    _LAYER + r"shortcut\.(?:conv\.)?(conv|norm)\.(.+)": r"\1.layers.layers.\2.shortcut.\3.\4",
    _LAYER + r"lstm\.(.+)": r"\1.layers.layers.\2.lstm.\3",
    _LAYER + r"(?:conv\.|convtr\.)?norm\.(.+)": r"\1.layers.layers.\2.norm.\3",
    _LAYER + r"(?:conv\.|convtr\.)?(?:conv|convtr)\.(.+)": r"\1.layers.layers.\2.conv.\3",
    r"quantizer\.(?:vq\.)?layers\.(\d+)\._?codebook\.(.+)": r"quantizer.layers.\1.\2",
}


def _published(build: Callable[..., Codec], source: Source, parameters: int, **numbers: Any) -> Published:
    name = build.__name__.replace("_", "-")
    return Published(
        name=name,
        build=build,
        options={},
        sources=(source,),
        state=state,
        paper="https://arxiv.org/abs/2210.13438",
        parameters=parameters,
        **numbers,
    )


_HOME = "https://dl.fbaipublicfiles.com/encodec/v0/"
_UNKNOWN = {"licence": "unknown", "licence_source": ""}
_MUSICGEN = {
    "licence": "CC-BY-NC-4.0",
    "licence_source": "https://github.com/facebookresearch/audiocraft#license",
}
PUBLISHED = (
    _published(
        encodec_24khz,
        Source(_HOME + "encodec_24khz-d7cc33bc.th", sha256="d7cc33bc"),
        14_851_810,
        sample_rate=24_000,
        hop_length=320,
        codebook_sizes=(1024,) * 32,
        **_UNKNOWN,
    ),
    _published(
        encodec_48khz,
        Source(_HOME + "encodec_48khz-7e698e3e.th", sha256="7e698e3e"),
        14_856_294,
        sample_rate=48_000,
        hop_length=320,
        codebook_sizes=(1024,) * 16,
        **_UNKNOWN,
    ),
    _published(
        encodec_32khz,
        Source("model.safetensors", repo="facebook/encodec_32khz"),
        56_884_674,
        sample_rate=32_000,
        hop_length=640,
        codebook_sizes=(2048,) * 4,
        **_MUSICGEN,
    ),
)
