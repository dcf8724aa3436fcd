"""Untrimmed output is as long as each published package's own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vocable.benchmarks import small
from vocable.codecs import Codec
from vocable.codecs.zoo import table

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")  # the peers' own
LENGTHS = (1, 500, 2400, 2401, 5001)
Peer = Callable[[Tensor], Tensor]  # wav (B, C, T) to all that the package's decoder makes of its codes


def encodec(codec: Codec) -> Peer:
    peer = pytest.importorskip("encodec")
    high = codec.channels == 2
    seanet = {"channels": codec.channels, "dimension": 8, "n_filters": 4, "ratios": [5, 4, 2]}
    seanet |= {"norm": "time_group_norm" if high else "weight_norm", "causal": not high}
    model = peer.EncodecModel(
        peer.modules.SEANetEncoder(**seanet),
        peer.modules.SEANetDecoder(**seanet),
        peer.quantization.ResidualVectorQuantizer(dimension=8, n_q=3, bins=32),
        [100.0],
        codec.sample_rate,
        codec.channels,
        normalize=high,
        segment=0.05 if high else None,
    ).eval()
    model.set_target_bandwidth(100.0)
    return lambda wav: model.decode(model.encode(wav))


def dac(codec: Codec) -> Peer:
    package = pytest.importorskip("dac.model.dac")
    strides = table.published()[codec.name].options["strides"]
    model = package.DAC(
        encoder_dim=4,
        encoder_rates=strides,
        latent_dim=16,
        decoder_dim=32,
        decoder_rates=strides[::-1],
        n_codebooks=3,
        codebook_size=64,
        sample_rate=codec.sample_rate,
    ).eval()
    return lambda wav: model.decode(model.encode(model.preprocess(wav, codec.sample_rate))[0])


def snac(codec: Codec) -> Peer:
    package = pytest.importorskip("snac")
    model = package.SNAC(
        sampling_rate=codec.sample_rate,
        encoder_dim=4,
        encoder_rates=[2, 3, 4, 4],
        decoder_dim=64,
        decoder_rates=[4, 4, 3, 2],
        attn_window_size=None,
        codebook_size=64,
        vq_strides=[4, 2, 1],
    ).eval()
    return lambda wav: model.decode(model.encode(wav))


def speechtokenizer(codec: Codec) -> Peer:
    peer = pytest.importorskip("speechtokenizer")
    settings = {"n_filters": 4, "strides": [5, 4, 2], "dimension": 8, "codebook_size": 32, "n_q": 3}
    settings |= {"bidirectional": True, "dilation_base": 2, "residual_kernel_size": 3, "sample_rate": 16000}
    settings |= {"n_residual_layers": 1, "lstm_layers": 2, "semantic_dimension": 8, "activation": "ELU"}
    model = peer.SpeechTokenizer(settings).eval()
    return lambda wav: model.decode(model.encode(wav))


def bigcodec(codec: Codec) -> Peer:
    package = pytest.importorskip("bigcodec.modules")
    encoder = package.CodecEncoder(ngf=4, out_channels=16).eval()
    decoder = package.CodecDecoder(
        in_channels=16, vq_dim=16, upsample_initial_channel=64, codebook_size=64
    ).eval()

    def run(wav: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(wav, (0, 200 - wav.shape[-1] % 200))  # as its script has it
        return decoder(decoder(encoder(padded), vq=True)[0], vq=False)

    return run


SLOW = ("dac-44khz", "bigcodec")  # others have the same layers
PEERS: dict[str, Callable[[Codec], Peer]] = {
    **{"encodec-24khz": encodec, "encodec-48khz": encodec, "dac-44khz": dac, "dac-16khz": dac},
    **{"snac-24khz": snac, "speechtokenizer-hubert": speechtokenizer, "bigcodec": bigcodec},
}


@torch.no_grad()
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.full] * (name in SLOW)) for name in PEERS]
)
def test_untrimmed_is_as_long_as_the_packages(small_codec: Callable[[str], Codec], name: str) -> None:
    codec = small_codec(name)
    peer: Any = PEERS[name](codec)
    # DAC loses samples at each odd stride of its decoder, which its last layers multiply
    lost = 8 if name == "dac-16khz" else 0
    for samples in LENGTHS:
        wav = 0.3 * torch.randn(1, codec.channels, samples)
        tokens = codec.encode(wav)
        whole = codec.decode(tokens, untrimmed=True)
        assert whole.shape[-1] == peer(wav).shape[-1] + lost
        assert torch.equal(whole[..., :samples], codec.decode(tokens))


def test_untrimmed_at_another_rate_is_all_of_it_resampled() -> None:
    codec = small.small_codec(small.BUILT_IN)
    tokens = codec.encode(torch.randn(1, 1001), 8000)
    assert codec.decode(tokens, 8000).shape[-1] == 1001
    assert codec.decode(tokens, 8000, untrimmed=True).shape[-1] == tokens.codes.shape[-1] * 80 // 2


def test_untrimmed_items_of_a_batch_are_their_own_frames() -> None:
    codec = small.small_codec("mimi")
    tokens = codec.encode(torch.randn(2, 1, 500), lengths=[500, 81])
    whole = codec.decode(tokens, untrimmed=True)
    assert whole.shape[-1] == 7 * 80
    assert bool(whole[1, :, 159:160].any())
    assert not whole[1, :, 160:].any()
