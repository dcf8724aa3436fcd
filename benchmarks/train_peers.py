"""Training steps of DAC and EnCodec out of their authors' packages, as their authors take them."""

from typing import Any

from torch import Tensor, nn

from vocable.benchmarks.train_steps import (
    DAC_BOOKS,
    DAC_RATE,
    DAC_STRIDES,
    ENCODEC_BOOKS,
    ENCODEC_RATE,
    ENCODEC_RATIOS,
    WINDOWS,
    Pair,
    Side,
    coders,
)
from vocable.losses import PowerMelLoss, hinge_discriminator_loss, hinge_generator_loss, mean_feature_loss

MELS = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}  # bands by window, DAC's


def their_dac(dim: int) -> Side:
    """descript-audio-codec's model, discriminators and losses; its rate and strides are the defaults."""
    from audiotools import AudioSignal
    from dac import DAC
    from dac.model import Discriminator
    from dac.model.discriminator import MPD
    from dac.nn.loss import GANLoss, MelSpectrogramLoss

    codec: Any = DAC(dim, list(DAC_STRIDES), 16 * dim, 24 * dim, list(reversed(DAC_STRIDES)), DAC_BOOKS)
    discriminator: Any = Discriminator(sample_rate=DAC_RATE)
    limits: dict[str, Any] = {"mel_fmin": [0.0] * len(MELS), "mel_fmax": [None] * len(MELS)}
    mel: Any = MelSpectrogramLoss(list(MELS.values()), list(MELS), pow=1.0, mag_weight=0.0, **limits)
    gan: Any = GANLoss(discriminator)

    def signals(wav: Tensor, wav_hat: Tensor) -> tuple[Any, Any]:
        return AudioSignal(wav_hat, DAC_RATE), AudioSignal(wav, DAC_RATE)

    def reconstruct(wav: Tensor) -> Pair:
        out = codec(wav, DAC_RATE)
        return out["audio"], (0.25 * out["vq/commitment_loss"] + out["vq/codebook_loss"]) / DAC_BOOKS

    parts = coders(codec) | {"MPD": [], "MRD": [], "mel": [mel]}
    for judge in discriminator.discriminators:
        parts["MPD" if isinstance(judge, MPD) else "MRD"].append(judge)
    return Side(
        codec.train(),
        discriminator,
        reconstruct,
        judge=lambda wav, wav_hat: gan.discriminator_loss(*signals(wav, wav_hat)),
        play=lambda wav, wav_hat: gan.generator_loss(*signals(wav, wav_hat)),
        mel=lambda wav_hat, wav: mel(*signals(wav, wav_hat)),
        parts=parts,
    )


def their_encodec(dim: int) -> Side:
    """encodec's model and discriminator; it has no losses, so ours stand in.

    As in audiocraft, real and fake are judged one by one, the discriminator frozen for the codec.
    """
    from encodec.model import EncodecModel
    from encodec.modules.seanet import SEANetDecoder, SEANetEncoder
    from encodec.msstftd import MultiScaleSTFTDiscriminator
    from encodec.quantization.vq import ResidualVectorQuantizer

    ratios, windows = list[Any](ENCODEC_RATIOS), list[Any](WINDOWS)
    net: dict[str, Any] = {"causal": True, "norm": "weight_norm", "n_filters": dim, "ratios": ratios}
    encoder, decoder = SEANetEncoder(**net), SEANetDecoder(**net)
    quantizer, bandwidth = ResidualVectorQuantizer(128, n_q=32, bins=1024), ENCODEC_BOOKS * 0.75  # kbit/s
    for name, buffer in quantizer.named_buffers():
        if name.endswith("inited"):
            buffer.fill_(1)
        elif name.endswith("embed"):
            nn.init.kaiming_uniform_(buffer)
    codec: Any = EncodecModel(encoder, decoder, quantizer, [bandwidth], ENCODEC_RATE, 1)
    hops = [window // 4 for window in WINDOWS]
    slope: dict[str, Any] = {"activation_params": {"negative_slope": 0.3}}
    discriminator = MultiScaleSTFTDiscriminator(32, 1, 1, windows, hops, windows, **slope)

    def reconstruct(wav: Tensor) -> Pair:
        quantized = quantizer(encoder(wav), codec.frame_rate, bandwidth)
        return decoder(quantized.quantized)[..., : wav.shape[-1]], quantized.penalty

    def judge(wav: Tensor, wav_hat: Tensor) -> Tensor:
        return hinge_discriminator_loss(discriminator(wav)[0], discriminator(wav_hat.detach())[0])

    def play(wav: Tensor, wav_hat: Tensor) -> Pair:
        discriminator.requires_grad_(False)
        logits, fake = discriminator(wav_hat)
        _, real = discriminator(wav)
        discriminator.requires_grad_(True)
        return hinge_generator_loss(logits), mean_feature_loss(real, fake)

    mel = PowerMelLoss(ENCODEC_RATE)
    parts = coders(codec) | {"MSSTFTD": [discriminator], "mel": [mel]}
    return Side(codec.train(), discriminator, reconstruct, judge, play, mel, parts)
