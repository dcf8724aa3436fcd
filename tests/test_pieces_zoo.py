"""Pieces of a signal through every architecture: they give what the whole gives, whatever their size."""

from copy import deepcopy
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vocable.benchmarks.small import NAMES, NEEDS_TRANSFORMERS, small_codec
from vocable.codecs import Codec
from vocable.codecs.backbones.lookahead import goes_on
from vocable.codecs.backbones.pieces import Tiles, through

# these go from segment to segment; X-codec's speech models, and two decoders, have a window (see windows)
OWN_WAY = ("encodec-48khz", "semanticodec-100")
SECOND = ("speechtokenizer-snake", "stablecodec-4x729", "xcodec-wavlm-mls")  # of their architecture
ENCODERS = [name for name in NAMES if name not in (*OWN_WAY, *SECOND, *NEEDS_TRANSFORMERS)]
DECODERS = [name for name in NAMES if name not in (*OWN_WAY, *SECOND, "xcodec2", "wavtokenizer-small-600")]
drawn = settings(max_examples=4, deadline=None)
made = cache(small_codec)


def needed(name: str) -> Codec:
    if name in NEEDS_TRANSFORMERS:
        pytest.importorskip("transformers")
    return made(name)


@torch.no_grad()
def in_pieces(layer: nn.Module, x: Tensor, size: int) -> tuple[Tensor, int]:
    """What the layer gives, and the longest piece of it."""
    found = list(through(layer, iter(Tiles(x, size))))
    assert [final for _, final in found] == [*[False] * (len(found) - 1), True]
    return torch.cat([y for y, _ in found], -1), max(y.shape[-1] for y, _ in found)


@pytest.mark.parametrize("name", ENCODERS)
@drawn
@given(samples=st.integers(1, 12_000), frames=st.integers(1, 30), seed=st.integers(0, 9))
def test_encoders_give_the_latents_and_codes_of_the_whole(
    name: str, samples: int, frames: int, seed: int
) -> None:
    codec = needed(name)
    noise = torch.randn(1, codec.channels, samples, generator=torch.Generator().manual_seed(seed))
    wav = codec.pad(0.3 * noise)
    with torch.no_grad():
        whole = codec.encoder(wav)[0]
        pieces, _ = in_pieces(codec.encoder, wav, max(frames, 8) * codec.hop_length)
        torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-4 * float(whole.abs().max()))
        assert torch.equal(codec.quantizer.encode(pieces), codec.quantizer.encode(whole))


@pytest.mark.parametrize("name", DECODERS)
@drawn
@given(count=st.integers(1, 120), frames=st.integers(1, 30), seed=st.integers(0, 9))
def test_decoders_give_the_audio_of_the_whole(name: str, count: int, frames: int, seed: int) -> None:
    codec = needed(name)
    generator = torch.Generator().manual_seed(seed)
    codes = [torch.randint(size, (1, count), generator=generator) for size in codec.codebook_sizes]
    z = codec.quantizer.decode(torch.stack(codes, 1)).double()
    step, decoder = z.shape[-1] // count, deepcopy(codec.decoder).double()
    with torch.no_grad():
        whole = decoder(z)[0]
    pieces, _ = in_pieces(decoder, z, max(frames, 8) * step)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-5 * max(1, float(whole.abs().max())))


@pytest.mark.parametrize("name", [n for n in DECODERS if not n.startswith(("xcodec", "wavtokenizer"))])
def test_a_piece_comes_out_about_as_it_went_in(name: str) -> None:
    """What is held back is what later outputs need: no encoder or decoder waits for the signal's end."""
    codec = made(name)
    for part in (codec.encoder, codec.decoder):
        known = goes_on(part) or goes_on(part.get_submodule("layers"))
        assert known == (part is codec.decoder or not name.startswith("speechtokenizer"))
    z = codec.encoder(codec.pad(torch.randn(1, codec.channels, 200 * codec.hop_length)))[0]
    step = z.shape[-1] // 200
    _, longest = in_pieces(codec.decoder, z.detach(), 20 * step)
    assert longest < 90 * codec.hop_length
