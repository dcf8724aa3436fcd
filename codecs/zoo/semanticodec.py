"""SemantiCodec (https://arxiv.org/abs/2405.00233): 25, 50 or 100 tokens a second, half of them semantic."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from vocable.codecs.backbones.semanticodec.decoder import POSITION, SemantiCodecDecoder
from vocable.codecs.backbones.semanticodec.encoder import SemantiCodecEncoder
from vocable.codecs.backbones.semanticodec.hifigan import HiFiGAN
from vocable.codecs.backbones.semanticodec.unet import UNet
from vocable.codecs.backbones.semanticodec.vae import VAEDecoder
from vocable.codecs.codec import Codec
from vocable.codecs.coded import Coded
from vocable.codecs.zoo.keys import rename
from vocable.codecs.zoo.published import Published, Source
from vocable.quantizers.semantic_residual import SemanticResidual

# of a token rate: how many patches, in time and over the bands, make a frame, and the layers of the LSTM
STACKS = {25: (2, 2), 50: (1, 2), 100: (1, 1)}
LAYERS = {25: 2, 50: 3, 100: 4}


class SemantiCodec(Codec):
    """A codec of segments: what it needs of memory does not grow with the signal."""

    needs_whole = True
    encoder: SemantiCodecEncoder
    quantizer: SemanticResidual
    decoder: SemantiCodecDecoder

    def _analyse(self, wav: Iterable[tuple[Tensor, bool]], num_codebooks: int) -> Iterator[Coded]:
        for z in self.encoder.segments(wav):
            yield Coded(self.quantizer.encode(z, num_codebooks))

    def _synthesise(self, parts: Iterator[Coded]) -> Iterator[Tensor]:
        frames, given, held = 0, 0, list[Tensor]()

        def counted() -> Iterator[tuple[Tensor, bool]]:
            nonlocal frames
            for part in parts:
                frames += part.codes.shape[-1]
                yield part.codes, part.final

        # windows are a little too long, and the last has no more frames than there are: what may be past the
        # signal's end waits until it is known that it isn't
        for wav in self.decoder.joined(map(self.quantizer.decode, self.decoder.windows(counted()))):
            held.append(wav)
            wav = torch.cat(held, -1)
            known, rest = wav.tensor_split([max(0, frames * self.hop_length - given)], -1)
            given, held = given + known.shape[-1], [rest]
            yield known


def semanticodec(
    token_rate: int = 100,
    semantic_size: int = 16384,
    dim: int = 768,
    heads: int = 12,
    unet_channels: int = 64,
    vae_channels: int = 128,
    vocoder_channels: int = 1024,
    steps: int = 50,
    guidance: float = 2.0,
    seed: int = 0,
) -> SemantiCodec:
    """16 kHz, any sound; the decoder draws a sample from a diffusion model, so that it is slow.

    token_rate: 25, 50 or 100 a second, two of them a frame. semantic_size: V of the semantic codebook.
    dim, heads: of AudioMAE. steps, guidance, seed: attributes of the decoder, where they are explained.
    """
    if token_rate not in STACKS:
        raise ValueError(f"token_rate is {token_rate!r}; accepted: {', '.join(map(str, STACKS))}")
    encoder = SemantiCodecEncoder(dim, heads, STACKS[token_rate])
    dim *= STACKS[token_rate][0] * STACKS[token_rate][1]
    quantizer = SemanticResidual(dim, semantic_size, layers=LAYERS[token_rate], segment=encoder.per_segment)
    unet = UNet(unet_channels, context_dim=2 * dim + POSITION)
    vae, vocoder = VAEDecoder(vae_channels), HiFiGAN(channels=vocoder_channels)
    decoder = SemantiCodecDecoder(unet, vae, vocoder, encoder.per_segment, steps, guidance, seed)
    return SemantiCodec(encoder, quantizer, decoder, 16_000)


def state(
    encoder: Mapping[str, Tensor], decoder: Mapping[str, Tensor], centroids: Tensor
) -> dict[str, Tensor]:
    """encoder.ckpt, decoder.ckpt and the array of the semantic codebook, under our names.

    AudioMAE's decoder, the VAE's encoder, the noise schedule and the moving average of the UNet, which the
    official decoder has no use for, are left out.
    """
    tensors = rename(encoder, ENCODER, drop=(r"audiomae\.model\.(decoder_|mask_token).*",))
    for key in [key for key in tensors if key.startswith("quantizer.acoustic.")]:
        tensors[key] = tensors[key].float().reshape(tensors[key].shape[1:] or (1,))  # of one head
    return tensors | rename(decoder, DECODER, UNUSED) | {"quantizer.centroids": centroids}


ENCODER = {
    r"audiomae\.model\.cls_token": r"encoder.audiomae.first",
    r"audiomae\.model\.pos_embed": r"encoder.audiomae.position",
    r"audiomae\.model\.patch_embed\.proj\.(.+)": r"encoder.audiomae.patch.\1",
    r"audiomae\.model\.norm\.(.+)": r"encoder.audiomae.norm.\1",
    r"audiomae\.model\.blocks\.(\d+)\.(?:attn\.|mlp\.)?(.+)": r"encoder.audiomae.blocks.\1.\2",
    r"encoder\.(.+)": r"quantizer.lstm.\1",
    r"encoder_output_linear\.(.+)": r"quantizer.project.\1",
    r"quantizer\._codebook\.initted": r"quantizer.acoustic.inited",
    r"quantizer\._codebook\.(.+)": r"quantizer.acoustic.\1",
}
_STAGES = {
    r"input_blocks\.(\d+)\.(\d+)\.": r"down.\1.layers.\2.",
    r"output_blocks\.(\d+)\.(\d+)\.": r"up.\1.layers.\2.",
    r"middle_block\.(\d+)\.": r"middle.layers.\1.",
}
_LAYERS = {
    r"in_layers\.0\.": "norm1.",
    r"in_layers\.2\.": "conv1.",
    r"emb_layers\.1\.": "time.",
    r"out_layers\.0\.": "norm2.",
    r"out_layers\.3\.": "conv2.",
    r"skip_connection\.": "skip.",
    r"transformer_blocks\.0\.attn1\.to_out\.0\.": "attn1.out.",
    r"transformer_blocks\.0\.attn2\.to_out\.0\.": "attn2.out.",
    r"transformer_blocks\.0\.attn1\.to_": "attn1.",
    r"transformer_blocks\.0\.attn2\.to_": "attn2.",
    r"transformer_blocks\.0\.ff\.net\.0\.proj\.": "widen.",
    r"transformer_blocks\.0\.ff\.net\.2\.": "narrow.",
    r"(?:transformer_blocks\.0\.|op\.)?": "",
}
_UNET, _VAE = r"model\.diffusion_model\.", r"first_stage_model\.decoder\."
DECODER = {
    **{
        rf"{_UNET}{stage}{layer}(?P<rest>.+)": rf"decoder.unet.{ours}{name}\g<rest>"
        for stage, ours in _STAGES.items()
        for layer, name in _LAYERS.items()
    },
    _UNET + r"time_embed\.(.+)": r"decoder.unet.time.\1",
    _UNET + r"out\.(.+)": r"decoder.unet.out.\1",
    r"first_stage_model\.post_quant_conv\.(.+)": r"decoder.vae.expand.\1",
    _VAE + r"(conv_in|norm_out|conv_out)\.(.+)": r"decoder.vae.\1.\2",
    _VAE + r"mid\.block_1\.(.+)": r"decoder.vae.middle.0.\1",
    _VAE + r"mid\.attn_1\.proj_out\.(.+)": r"decoder.vae.middle.1.out.\1",
    _VAE + r"mid\.attn_1\.(.+)": r"decoder.vae.middle.1.\1",
    _VAE + r"mid\.block_2\.(.+)": r"decoder.vae.middle.2.\1",
    _VAE + r"up\.(\d+)\.block\.(\d+)\.nin_shortcut\.(.+)": r"decoder.vae.up.\1.\2.skip.\3",
    _VAE + r"up\.(\d+)\.block\.(\d+)\.(.+)": r"decoder.vae.up.\1.\2.\3",
    _VAE + r"up\.(\d+)\.upsample\.(.+)": r"decoder.vae.up.\1.3.\2",
    r"first_stage_model\.vocoder\.conv_pre\.(.+)": r"decoder.vocoder.conv_in.\1",
    r"first_stage_model\.vocoder\.conv_post\.(.+)": r"decoder.vocoder.conv_out.\1",
    r"first_stage_model\.vocoder\.ups\.(.+)": r"decoder.vocoder.ups.\1",
    r"first_stage_model\.vocoder\.resblocks\.(\d+)\.convs1\.(.+)": r"decoder.vocoder.branches.\1.dilated.\2",
    r"first_stage_model\.vocoder\.resblocks\.(\d+)\.convs2\.(.+)": r"decoder.vocoder.branches.\1.plain.\2",
    r"scale_factor": r"decoder.scale",
}
UNUSED = (
    r"model_ema\..+",
    r"first_stage_model\.(encoder|quant_conv)\..+",
    r"betas|logvar|alphas_cumprod.*|sqrt_.+|log_one_minus_.+|posterior_.+",
)

_REPO, _REVISION = "haoheliu/SemantiCodec", "3b6e7408ee4febb738db732875e8ece31cf5bdd2"
_PARAMETERS = {25: 1_829_270_290, 50: 873_313_042, 100: 459_010_834}


def _published(token_rate: int, semantic_size: int) -> Published:
    default = "" if semantic_size == 16384 else f"-{semantic_size}"
    # centroids of two collections stand in one file, which has the name of its half
    codebook = f"combine_{512 * token_rate // 100}_audioset_dominate/codebook_{semantic_size // 2}_0.npy"
    folder = f"semanticodec_tokenrate_{token_rate}"
    files = (f"{folder}/encoder.ckpt", f"{folder}/decoder.ckpt", f"codebook_idx/{codebook}")
    return Published(
        name=f"semanticodec-{token_rate}{default}",
        build=semanticodec,
        options={"token_rate": token_rate, "semantic_size": semantic_size},
        sources=tuple(Source(file, _REPO, _REVISION) for file in files),
        state=state,
        licence="MIT",
        licence_source="https://huggingface.co/haoheliu/SemantiCodec",
        paper="https://arxiv.org/abs/2405.00233",
        sample_rate=16_000,
        hop_length=32_000 // token_rate,
        codebook_sizes=(semantic_size, 8192),
        parameters=_PARAMETERS[token_rate],
    )


PUBLISHED = tuple(
    _published(token_rate, size) for token_rate in STACKS for size in (4096, 8192, 16384, 32768)
)
