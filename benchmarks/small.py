"""Every architecture of the zoo, and the built-in's, at reduced size: quick to build, with lively weights.

What holds of an architecture at any size (lengths, batches, streams, tiles, export) is tested on these.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from vocable.codecs.backbones.conv import Conv1d
from vocable.codecs.backbones.depthwise import DepthwiseConv1d
from vocable.codecs.backbones.gainshape import GainShapeDecoder, GainShapeEncoder
from vocable.codecs.backbones.semanticodec.vae import VAEDecoder
from vocable.codecs.codec import Codec
from vocable.codecs.hub import load
from vocable.codecs.zoo import table, xcodec, xcodec2
from vocable.quantizers.base import Quantizer
from vocable.quantizers.rvq import ema_rvq
from vocable.quantizers.semantic_residual import SemanticResidual
from vocable.quantizers.vq import EMAVQ

BUILT_IN = "vocable-16khz"
_PUBLISHED = """
soundstream-16khz encodec-24khz encodec-48khz encodec-32khz dac-44khz dac-16khz snac-24khz snac-44khz
speechtokenizer-hubert speechtokenizer-snake mimi xcodec-hubert-librispeech xcodec-wavlm-mls xcodec2 bigcodec
wavtokenizer-small-600 stablecodec-speech-16khz stablecodec-4x729 semanticodec-100
"""
NAMES = (BUILT_IN, *_PUBLISHED.split())  # one of each architecture
NEEDS_TRANSFORMERS = tuple(name for name in NAMES if name.startswith("xcodec"))
_SEANET = {"dim": 4, "ratios": (5, 4, 2), "latent_dim": 8, "num_codebooks": 3, "codebook_size": 32}
_DAC = {"encoder_dim": 4, "decoder_dim": 32, "num_codebooks": 3, "codebook_size": 64}
_TAAE = {"widths": (8, 16), "depths": (1, 2), "patch": 16, "head_dim": 8, "window": (3, 4)}
_TEACHER = {
    **{"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
    **{"conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4},
}
_BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
_DIFFUSION = {"dim": 16, "heads": 2, "unet_channels": 32, "vae_channels": 32, "vocoder_channels": 32}
_FAMILIES: dict[str, dict[str, Any]] = {
    "soundstream": {"encoder_dim": 4, "decoder_dim": 4, "strides": (2, 4, 5), "latent_dim": 8}
    | {"num_codebooks": 3, "codebook_size": 32},
    "encodec": _SEANET,
    "dac": {**_DAC, "latent_dim": 16},
    "snac": {"encoder_dim": 4, "decoder_dim": 64, "codebook_size": 64, "strides": (2, 3, 4, 4)},
    "speechtokenizer": _SEANET,
    "mimi": {**_SEANET, "num_codebooks": 4, "codebook_dim": 6, "latent_dim": 16}
    | {"layers": 2, "heads": 2, "context": 5},
    "xcodec": {"encoder_dim": 4, "latent_dim": 8, "decoder_dim": 32, "num_codebooks": 3, "codebook_size": 64},
    "xcodec2": {"encoder_dim": 4, "latent_dim": 32, "decoder_dim": 64, "layers": 2, "heads": 4},
    "bigcodec": {"encoder_dim": 4, "latent_dim": 16, "decoder_dim": 64, "codebook_size": 64},
    "wavtokenizer": {"dim": 2, "ratios": (5, 4, 2), "latent_dim": 8, "codebook_size": 64}
    | {"decoder_dim": 64, "blocks": 2},
    "stablecodec": _TAAE,
    "semanticodec": {**_DIFFUSION, "steps": 1, "guidance": 1.0, "semantic_size": 64},
}
_OWN: dict[str, dict[str, Any]] = {  # beside the family's
    "encodec-48khz": {"segment": 2400, "stride": 2376},
    # SNAC's attention has heads of 64 channels
    "snac-32khz": {"decoder_dim": 128, "window": 4},
    "snac-44khz": {"decoder_dim": 128, "window": 4},
    "xcodec2": {"teacher": {**xcodec2.W2V_BERT, **_BERT}},
}
_SHAPE = {
    "strides",
    "ratios",
    "patch",
    "depths",
    "window",
    "layers",
    "context",
    "blocks",
    "segment",
    "stride",
}


def small_codec(name: str, seed: int = 0, narrow: bool = False) -> Codec:
    """The published codec `name`, or the built-in, narrow and shallow, with random weights that matter.

    Rates, channels and structure are the published ones; widths, depths, codebooks and most hops are less.
    narrow: only widths and codebooks are less, so that its frames and how far it looks are the published.
    ValueError for other names; ImportError for `NEEDS_TRANSFORMERS` without transformers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == BUILT_IN:
            return load(name) if narrow else enliven(_built_in())
        family = name.split("-")[0]
        options = {**_FAMILIES.get(family, {}), **_OWN.get(name, {})}
        options = {key: value for key, value in options.items() if not narrow or key not in _SHAPE}
        if family == "xcodec":
            options["teacher"] = {**xcodec.base("wavlm" if "wavlm" in name else "hubert"), **_TEACHER}
        codec = table.codec(name, **options)
        if family == "semanticodec":  # of whose decoder it is most of the work
            codec.decoder.vae = VAEDecoder(32, (1, 1, 1))
        codec.name = name
        return enliven(codec)


def _built_in() -> Codec:
    shape: dict[str, Any] = {
        "latent_dim": 16,
        "dim": 16,
        "blocks": 1,
        "n_fft": 160,
        "stft_hop": 80,
        "bands": 9,
    }
    return Codec(
        GainShapeEncoder(**shape),
        ema_rvq(16, 3, 32, beam=4),
        GainShapeDecoder(**shape),
        16_000,
        name=BUILT_IN,
    )


@torch.no_grad()
def enliven(codec: Codec, level: float = 0.5) -> Codec:
    """Random weights for which every layer, and the signal itself, matters; in evaluation mode.

    Constants (norms, scales, biases) become noise about them. Every linear layer's outputs are brought to
    mean 0 and deviation `level` over time, one after another (https://arxiv.org/abs/1511.06422), and the
    codebooks' entries come from among the latents of the signal that does so.
    """
    for name, weight in codec.eval().named_parameters():
        if weight.min() == weight.max():
            small = name.endswith("scale") and abs(float(weight.flatten()[0])) < 1  # layer scales
            weight.copy_(torch.rand_like(weight) + 0.3 if small else weight + 0.1 * torch.randn_like(weight))
        elif weight.ndim > 1:
            weight *= 3**0.5  # from PyTorch's bound to one that keeps the power
    wav = probe(codec, max(0.3, 100 * codec.hop_length / codec.sample_rate))
    with _levelled(codec.encoder, level):
        z, _ = codec.encoder(codec.pad(wav))
    _spread(codec.quantizer, z)
    z = codec.quantizer.decode(codec.quantizer.encode(z))
    if not isinstance(codec.quantizer, SemanticResidual):  # diffusion has norms, and takes seconds
        with _levelled(codec.decoder, level):
            codec.decoder(z)
    return codec


def probe(codec: Codec, seconds: float = 0.3) -> Tensor:
    """Noise that swells, (1, C, T)."""
    time = torch.arange(round(seconds * codec.sample_rate)) / codec.sample_rate
    return torch.randn(1, codec.channels, len(time)) * (0.1 + 0.3 * torch.sin(20 * time).square())


@contextmanager
def _levelled(part: nn.Module, level: float) -> Iterator[None]:
    """Within it, what runs through a linear layer of `part` sets that layer's weights."""
    own = (Conv1d, DepthwiseConv1d, nn.Conv1d, nn.ConvTranspose1d, nn.Linear)
    hook = partial(_level, level)
    handles = [layer.register_forward_hook(hook) for layer in part.modules() if isinstance(layer, own)]
    with torch.enable_grad():  # so that no layer works in tiles
        yield
    for handle in handles:
        handle.remove()


@torch.no_grad()
def _level(level: float, layer: nn.Module, _: Any, out: Any) -> Any:
    y = out[0] if isinstance(out, tuple) else out
    if getattr(layer, "norm", None) is not None or y.ndim != 3:
        return out
    conv = cast(nn.Conv1d, getattr(layer, "conv", layer))
    over = (0, 1) if isinstance(conv, nn.Linear) else (0, 2)
    shift = y.mean(over, keepdim=True) if conv.bias is not None else y.new_zeros(1)
    gain = level / (y.std(over).mean() + 1e-6)
    name = "parametrizations.weight.original0" if is_parametrized(conv, "weight") else "weight"
    conv.get_parameter(name).mul_(gain)
    if conv.bias is not None:
        conv.bias.sub_(shift.flatten()).mul_(gain)
    y = (y - shift) * gain
    return (y, *out[1:]) if isinstance(out, tuple) else y


def _spread(quantizer: Quantizer, z: Tensor) -> None:
    """Entries, or what projects to them, set by latents z."""
    if isinstance(quantizer, SemanticResidual):
        rows = z[0, :-1].T
        quantizer.centroids.copy_(rows[torch.randint(len(rows), (len(quantizer.centroids),))])
        found = quantizer._residual(z, quantizer.centroids[quantizer._semantic(z)[0]].transpose(1, 2))
        rows = found[0].T
        quantizer.acoustic.embed.copy_(rows[torch.randint(len(rows), (len(quantizer.acoustic.embed),))])
    elif any(isinstance(part, EMAVQ) for part in quantizer.modules()):
        quantizer.train()(z, quantizer.num_codebooks)  # the first batch sets them by k-means
    else:
        with _levelled(quantizer, 1.0):
            quantizer.encode(z)
    quantizer.eval()
