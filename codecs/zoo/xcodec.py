"""X-codec (https://arxiv.org/abs/2408.17175)."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from torch import Tensor

from vocable.codecs.backbones.dac import DACEncoder
from vocable.codecs.backbones.semantic import SemanticAcousticEncoder, SemanticEncoder
from vocable.codecs.backbones.xcodec import XCodecDecoder, semantic_adapter
from vocable.codecs.codec import Codec
from vocable.codecs.zoo.dac import RULES as DAC
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.dropout import PerBatch
from vocable.quantizers.rvq import ema_rvq

_DAC = {
    pattern.replace("(encoder|decoder)", name): template.replace(r"\1", ours)
    for name, ours in (("(encoder)", "encoder.acoustic"), ("(decoder_2)", "decoder"))
    for pattern, template in DAC.items()
}
_CODEBOOK = r"(inited|cluster_size|embed|embed_avg)"
RULES = {
    **_DAC,
    r"semantic_model\.(.+)": r"encoder.teacher.model.\1",
    r"encoder_semantic\.conv\.conv\.weight": "encoder.adapter.0.weight",
    **{
        rf"encoder_semantic\.conv_blocks\.{i}\.{theirs}": rf"encoder.adapter.{i + 1}.{ours}"
        for i in range(2)
        for theirs, ours in (
            (r"res_units\.(\d)\.conv1\.conv\.weight", r"\1.conv1.weight"),
            (r"res_units\.(\d)\.conv2\.weight", r"\1.conv2.weight"),
            (r"conv\.conv\.(weight|bias)", r"2.\1"),
        )
    },
    r"fc_prior\.(.+)": r"encoder.mix.\1",
    rf"quantizer\.vq\.layers\.(\d+)\._codebook\.{_CODEBOOK}": r"quantizer.layers.\1.\2",
    r"fc_post2\.(.+)": r"decoder.inp.\1",
}
# what only training uses: the way back to the speech model's features, and its masks
_TRAINING = (r"decoder_semantic\..+", r"fc_post1\..+", r"semantic_model\.masked_spec_embed")


def xcodec(
    teacher: Mapping[str, Any],
    strides: tuple[int, ...] = (8, 5, 4, 2),
    encoder_dim: int = 64,
    latent_dim: int = 256,
    decoder_dim: int = 1024,
    num_codebooks: int = 8,
    codebook_size: int = 1024,
) -> Codec:
    """An X-codec with random weights, 16 kHz.

    strides: of the encoder and of the decoder, in this order in both.
    teacher: configuration of the speech model, see `SemanticEncoder`; the mean of its hidden states is used.

    Signals are padded to whole frames, as the published feature extractor has it. The script published with
    the paper pads none: of other lengths it drops up to 79 samples, or moves the waveform by half a frame.
    """
    listener = SemanticEncoder(teacher)
    acoustic = DACEncoder(encoder_dim, tuple(strides), latent_dim)
    encoder = SemanticAcousticEncoder(acoustic, latent_dim, listener, semantic_adapter(listener.dim))
    bandwidths = tuple(n for n in (1, 2, 3, 4, 8) if n <= num_codebooks)
    return Codec(
        encoder,
        ema_rvq(encoder.dim, num_codebooks, codebook_size, dropout=PerBatch(bandwidths)),
        XCodecDecoder(encoder.dim, decoder_dim, tuple(strides), latent_dim),
        sample_rate=16000,
    )


def state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The official file, names to tensors, as the state of `xcodec`."""
    # some of the files hold a buffer of bytes beside the tensors
    tensors = {key: value for key, value in checkpoint.items() if not isinstance(value, BytesIO)}
    return rename(tensors, RULES, drop=_TRAINING)


def base(model_type: str) -> dict[str, Any]:
    """The base size of HuBERT and WavLM, spelled out: the names of layers and their sizes."""
    return {
        "model_type": model_type,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "feat_extract_norm": "group",
        "feat_extract_activation": "gelu",
        "conv_dim": [512] * 7,
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_bias": False,
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
        "do_stable_layer_norm": False,
        "mask_time_prob": 0.0,
    }


def _published(name: str, file: str, teacher: str, parameters: int) -> Published:
    return Published(
        name=name,
        build=xcodec,
        options={"teacher": base(teacher)},
        sources=(Source(file, repo="ZhenYe234/xcodec"),),
        state=state,
        licence="unknown",
        licence_source="",
        paper="https://arxiv.org/abs/2408.17175",
        sample_rate=16000,
        hop_length=320,
        codebook_sizes=(1024,) * 8,
        parameters=parameters,
    )


_HUBERT, _WAVLM = 143_410_754, 143_420_978
PUBLISHED = (
    _published("xcodec-hubert-librispeech", "xcodec_speech_hubert_librispeech.pth", "hubert", _HUBERT),
    _published("xcodec-wavlm-mls", "xcodec_speech_wavlm_mls.pth", "wavlm", _WAVLM),
    _published("xcodec-wavlm-more-data", "xcodec_speech_wavlm_more_data.pth", "wavlm", _WAVLM),
    _published("xcodec-hubert-general-audio", "xcodec_hubert_general_audio.pth", "hubert", _HUBERT),
    _published("xcodec-hubert-general-audio-v2", "xcodec_hubert_general_audio_v2.pth", "hubert", _HUBERT),
)
