"""The spectral backbone of levels and shapes: bands, the identity that it can be, loudness, pieces."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vocable.codecs.backbones.convnext import ISTFTDecoder, STFTEncoder
from vocable.codecs.backbones.gainshape import Bands, GainShapeDecoder, GainShapeEncoder
from vocable.codecs.backbones.lookahead import advance
from vocable.codecs.codec import Codec
from vocable.codecs.reach import lookahead
from vocable.quantizers.fsq import FSQ

BINS, BANDS = 33, 6
SMALL: dict[str, Any] = {"dim": 2 * BINS + BANDS, "n_fft": 64, "stft_hop": 32, "bands": BANDS, "blocks": 2}


@settings(max_examples=30, deadline=None)
@given(st.integers(64, 400), st.integers(1, 8), st.sampled_from([8000, 16000, 48000]))
def test_bands_take_each_bin_once_and_in_order(half: int, count: int, rate: int) -> None:
    bands = Bands(2 * half, rate, count)
    assert bands.band_of_bin.tolist() == sorted(bands.band_of_bin.tolist())
    assert set(bands.band_of_bin.tolist()) == set(range(count))
    levels = torch.rand(2, 3, count) + 0.5
    torch.testing.assert_close(bands.means(bands.spread(levels)), levels)


def test_bands_are_of_one_width_in_bark() -> None:
    """Zwicker's critical bands are 100 Hz wide at 150 Hz, 280 at 1.6 kHz, 1100 at 5.3 kHz; these 0.83."""
    band = Bands(640, 16000, 25).band_of_bin
    widths = {hertz: 25 * int((band == band[hertz // 25]).sum()) for hertz in (150, 1600, 5300)}
    assert widths[150] == pytest.approx(83, abs=25)
    assert widths[1600] == pytest.approx(0.83 * 280, abs=50)
    assert widths[5300] == pytest.approx(0.83 * 1100, abs=250)


def test_bands_without_a_bin_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bands is 40, of which \d+ have no bin of 33; accepted: fewer"):
        Bands(64, 16000, 40)


def pair(lookahead: bool = True, latent_dim: int = 8) -> tuple[GainShapeEncoder, GainShapeDecoder]:
    encoder = GainShapeEncoder(latent_dim, **SMALL, lookahead=lookahead)
    return encoder, GainShapeDecoder(latent_dim, **SMALL, lookahead=lookahead)


def transparent(lookahead: bool = True) -> tuple[GainShapeEncoder, GainShapeDecoder]:
    """As wide as a spectrum, the blocks passing all on: encoder and decoder are then each other's inverse."""
    encoder, decoder = pair(lookahead, SMALL["dim"])
    for linear in (encoder.inp, encoder.out, decoder.inp, decoder.out):
        nn.init.eye_(linear.weight)
    for blocks in (encoder.blocks, decoder.blocks):
        for name, weight in blocks.named_parameters():
            if name.endswith("scale"):
                nn.init.zeros_(weight)
    encoder.out_norm = nn.Identity()  # type: ignore[assignment]
    return encoder, decoder


@torch.no_grad()
@pytest.mark.parametrize("lookahead", [True, False])
@pytest.mark.parametrize("gain", [1e-3, 1.0, 30.0])
def test_what_passes_all_on_inverts(gain: float, lookahead: bool) -> None:
    encoder, decoder = transparent(lookahead)
    wav = gain * torch.randn(2, 1, 20 * 32, generator=torch.Generator().manual_seed(0))
    out = decoder(encoder(wav)[0])[0]
    inside = slice(16, -16) if lookahead else slice(0, -32)  # where windows overlap
    torch.testing.assert_close(out[..., inside], wav[..., inside], rtol=0, atol=1e-4 * gain)
    assert out.abs().max() < 1.01 * wav.abs().max()


@torch.no_grad()
def test_without_lookahead_a_stream_is_two_frames_late() -> None:
    encoder, decoder = pair(lookahead=False)
    codec = Codec(encoder, FSQ(8, (4, 4, 4)), decoder, sample_rate=16000)
    assert codec.stream(context=0.0).latency == 1000 * 64 / 16000
    assert lookahead(codec) == 62  # two frames, but a Hann window begins with 0
    wav = torch.randn(1, 1, 640)
    changed = wav.clone()
    changed[..., 320:] += 1
    before, after = (codec.encode(x).codes for x in (wav, changed))
    assert torch.equal(before[..., :10], after[..., :10])
    assert not torch.equal(before, after)


@torch.no_grad()
def test_loudness_moves_the_levels_alone() -> None:
    encoder, _ = transparent()
    wav = torch.randn(1, 1, 20 * 32, generator=torch.Generator().manual_seed(0))
    quiet, loud = (encoder(gain * wav)[0] for gain in (1.0, 10.0))
    torch.testing.assert_close(loud[:, : 2 * BINS], quiet[:, : 2 * BINS], rtol=0, atol=1e-4)
    torch.testing.assert_close(
        loud[:, 2 * BINS :] - quiet[:, 2 * BINS :], torch.tensor(math.log(10)).expand(1, BANDS, 20)
    )


def test_silence_gives_finite_latents_and_gradients() -> None:
    encoder, decoder = pair()
    wav = torch.zeros(1, 1, 320, requires_grad=True)
    decoder(encoder(wav)[0])[0].square().sum().backward()
    assert wav.grad is not None
    assert wav.grad.isfinite().all()
    missing = [n for part in (encoder, decoder) for n, p in part.named_parameters() if p.grad is None]
    assert missing == []


@torch.no_grad()
@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.sampled_from([True, False, None]))
def test_pieces_are_the_whole(frames: list[int], lookahead: bool | None) -> None:
    torch.manual_seed(0)
    if lookahead is not None:
        encoder, decoder = pair(lookahead)
    else:
        encoder, decoder = STFTEncoder(8, 16, 64, 16, 2, 1, 1), ISTFTDecoder(8, 16, 64, 16, 2, 1, 1)
    hop, total = encoder.hop_length, sum(frames) + 1
    wav = torch.randn(1, 1, total * hop)
    pieces = torch.split(wav, [*(count * hop for count in frames), hop], -1)
    z = in_pieces(encoder, pieces)
    torch.testing.assert_close(z, encoder(wav)[0], rtol=0, atol=1e-5)
    out = in_pieces(decoder, torch.split(z, [*frames, 1], -1))
    torch.testing.assert_close(out, decoder(z)[0], rtol=0, atol=1e-5)


def in_pieces(layer: nn.Module, pieces: tuple[Tensor, ...]) -> Tensor:
    state, outputs = None, []
    for i, piece in enumerate(pieces):
        out, state = advance(layer, piece, state, i + 1 == len(pieces))
        outputs.append(out)
    return torch.cat(outputs, -1)
