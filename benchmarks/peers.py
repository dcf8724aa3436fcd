"""Our codecs beside their authors' own packages, both with random weights and at full size.

Each entry makes the peer as its package does, with `encode(wav (1, C, T)) -> codes` and `decode(codes)`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.build import build
from vocable.codecs.codec import Codec
from vocable.codecs.zoo import table


class Peer(NamedTuple):
    """A peer's model, and how it encodes and decodes."""

    model: nn.Module
    encode: Callable[[Tensor], Any]
    decode: Callable[[Any], Tensor]


class Pair(NamedTuple):
    """A published codec of ours, and the package that has it too."""

    codec: str
    package: str
    peer: Callable[[], Peer]

    def ours(self) -> Codec:
        """Our codec of that name as `load` gives it, but with random weights."""
        codec = build(table.published()[self.codec].config).eval()
        fold_weight_norm(codec)
        return codec


def pairs() -> list[Pair]:
    """Every codec that has a peer on PyPI."""
    return [
        Pair("encodec-24khz", "encodec", lambda: _encodec("24khz", 24.0)),
        Pair("encodec-48khz", "encodec", lambda: _encodec("48khz", 24.0)),
        Pair("encodec-32khz", "transformers", _encodec_32khz),
        Pair("dac-44khz", "descript-audio-codec", lambda: _dac(44100, (2, 4, 8, 8), 9)),
        Pair("dac-24khz", "descript-audio-codec", lambda: _dac(24000, (2, 4, 5, 8), 32)),
        Pair("dac-16khz", "descript-audio-codec", lambda: _dac(16000, (2, 4, 5, 8), 12)),
        Pair("snac-24khz", "snac", lambda: _snac("snac-24khz")),
        Pair("snac-32khz", "snac", lambda: _snac("snac-32khz")),
        Pair("snac-44khz", "snac", lambda: _snac("snac-44khz")),
        Pair("speechtokenizer-hubert", "speechtokenizer", _speechtokenizer),
        Pair("mimi", "moshi", _mimi),
        Pair("bigcodec", "bigcodec", _bigcodec),
        Pair("xcodec-hubert-librispeech", "transformers", _xcodec),
    ]


def _encodec(variant: str, bandwidth: float) -> Peer:
    from encodec.model import EncodecModel

    model = getattr(EncodecModel, f"encodec_model_{variant}")(pretrained=False)
    model.set_target_bandwidth(bandwidth)
    _fill(model)
    return Peer(model.eval(), model.encode, model.decode)


def _encodec_32khz() -> Peer:
    from transformers import EncodecConfig, EncodecModel

    sizes = {"num_filters": 64, "upsampling_ratios": [8, 5, 4, 4], "codebook_size": 2048}
    kinds = {"use_causal_conv": False, "use_conv_shortcut": False, "sampling_rate": 32_000}
    model: Any = EncodecModel(EncodecConfig(**sizes, **kinds, target_bandwidths=[2.2])).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("codebook.embed"):
            buffer.normal_()
    return Peer(
        model,
        lambda wav: model.encode(wav, return_dict=False),
        lambda frames: model.decode(frames[0], frames[1], return_dict=False)[0],
    )


def _dac(sample_rate: int, strides: tuple[int, ...], num_codebooks: int) -> Peer:
    import dac

    model: Any = dac.DAC(
        sample_rate=sample_rate,
        encoder_rates=list(strides),
        decoder_rates=list(reversed(strides)),
        n_codebooks=num_codebooks,
    ).eval()
    return Peer(
        model,
        lambda wav: model.encode(model.preprocess(wav, sample_rate))[1],
        lambda codes: model.decode(model.quantizer.from_codes(codes)[0]),
    )


def _snac(name: str) -> Peer:
    import snac

    options = table.published()[name].options
    model: Any = snac.SNAC(
        sampling_rate=options["sample_rate"],
        encoder_dim=options["encoder_dim"],
        encoder_rates=list(options["strides"]),
        decoder_dim=options["decoder_dim"],
        decoder_rates=list(reversed(options["strides"])),
        attn_window_size=options.get("window"),  # pyright: ignore[reportArgumentType]: None in its models
        vq_strides=list(options["vq_strides"]),
    ).eval()
    return Peer(model, model.encode, model.decode)


def _speechtokenizer() -> Peer:
    from speechtokenizer import SpeechTokenizer

    sizes = {"n_filters": 64, "dimension": 1024, "strides": [8, 5, 4, 2], "n_q": 8, "codebook_size": 1024}
    layers = {"lstm_layers": 2, "bidirectional": True, "dilation_base": 2, "residual_kernel_size": 3}
    heads = {"n_residual_layers": 1, "activation": "ELU", "semantic_dimension": 768, "sample_rate": 16000}
    model: Any = SpeechTokenizer({**sizes, **layers, **heads})
    _fill(model)
    return Peer(model.eval(), model.encode, model.decode)


def _mimi() -> Peer:
    from moshi.models import loaders

    model = loaders.get_mimi(None, num_codebooks=8)
    for name, buffer in model.named_buffers():
        if name.endswith("embedding_sum"):
            buffer.normal_()
    return Peer(model.eval(), model.encode, model.decode)


def _bigcodec() -> Peer:
    from bigcodec import CodecDecoder, CodecEncoder

    encoder: Any = CodecEncoder().eval()
    decoder: Any = CodecDecoder().eval()

    def encode(wav: Tensor) -> Tensor:
        wav = nn.functional.pad(wav, (0, 200 - wav.shape[-1] % 200))
        return decoder(encoder(wav), vq=True)[1]

    def decode(codes: Tensor) -> Tensor:
        return decoder(decoder.vq2emb(codes.transpose(1, 2)).transpose(1, 2), vq=False)

    return Peer(nn.ModuleList([encoder, decoder]), encode, decode)


def _xcodec() -> Peer:
    from transformers import XcodecConfig, XcodecModel

    model: Any = XcodecModel(XcodecConfig()).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("codebook.embed"):
            buffer.normal_()
    return Peer(
        model,
        lambda wav: model.encode(wav, bandwidth=4.0).audio_codes,
        lambda codes: model.decode(codes).audio_values,
    )


def _fill(model: nn.Module) -> None:
    """Random entries in the codebooks of EnCodec's class, which start empty and wait for k-means."""
    for name, buffer in model.named_buffers():
        if name.endswith("_codebook.inited"):
            buffer.fill_(1)
        elif name.endswith("_codebook.embed"):
            torch.nn.init.normal_(buffer)
