"""SpeechTokenizer (https://arxiv.org/abs/2308.16692): a first codebook of meaning, seven more of sound."""

from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor, nn

from vocable.codecs.backbones.seanet import Layers, SEANetDecoder, SEANetEncoder, elu
from vocable.codecs.backbones.snake import Snake
from vocable.codecs.codec import Codec
from vocable.codecs.zoo import encodec
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.rvq import ema_rvq


def speechtokenizer_hubert(
    dim: int = 64,
    ratios: tuple[int, ...] = (8, 5, 4, 2),
    latent_dim: int = 1024,
    num_codebooks: int = 8,
    codebook_size: int = 1024,
) -> Codec:
    """16 kHz mono, 50 frames a second; the encoder's LSTM runs both ways, so that it is not causal.

    dim, ratios: the SEANet's outermost channels, and its decoder's strides; the encoder has them backwards.
    """
    return _codec(elu, dim, ratios, latent_dim, num_codebooks, codebook_size)


def speechtokenizer_snake(
    dim: int = 64,
    ratios: tuple[int, ...] = (8, 5, 4, 2),
    latent_dim: int = 1024,
    num_codebooks: int = 8,
    codebook_size: int = 1024,
) -> Codec:
    """`speechtokenizer_hubert` with Snake for its ELU, trained on more data; the one AnyGPT uses."""
    return _codec(Snake, dim, ratios, latent_dim, num_codebooks, codebook_size)


def _codec(
    activation: Callable[[int], nn.Module],
    dim: int,
    ratios: tuple[int, ...],
    latent_dim: int,
    num_codebooks: int,
    codebook_size: int,
) -> Codec:
    layers = Layers(activation=activation)
    return Codec(
        SEANetEncoder(dim, tuple(reversed(ratios)), latent_dim, bidirectional=True, layers=layers),
        ema_rvq(latent_dim, num_codebooks, codebook_size),
        SEANetDecoder(dim, tuple(ratios), latent_dim, layers=layers),
        sample_rate=16_000,
    )


_LAYER = r"(encoder|decoder)\.model\.(\d+)\."
RULES = {
    _LAYER + r"alpha": r"\1.layers.layers.\2.alpha",
    _LAYER + r"block\.(\d+)\.alpha": r"\1.layers.layers.\2.block.layers.\3.alpha",
    **encodec.RULES,
}


def state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official checkpoint to ours, without `transform`: it takes the first codebook's entries to HuBERT's
    features in training, and no audio depends on it."""
    return rename(checkpoint, RULES, drop=(r"transform\.(weight|bias)",))


_published = partial(
    Published,
    options={},
    state=state,
    licence="unknown",
    licence_source="",
    paper="https://arxiv.org/abs/2308.16692",
    sample_rate=16_000,
    hop_length=320,
    codebook_sizes=(1024,) * 8,
)
PUBLISHED = (
    _published(
        name="speechtokenizer-hubert",
        build=speechtokenizer_hubert,
        sources=(Source("speechtokenizer_hubert_avg/SpeechTokenizer.pt", "fnlp/SpeechTokenizer"),),
        parameters=102_888_386,
    ),
    _published(
        name="speechtokenizer-snake",
        build=speechtokenizer_snake,
        sources=(Source("speechtokenizer/ckpt.dev", "fnlp/AnyGPT-speech-modules"),),
        parameters=102_896_258,
    ),
)
