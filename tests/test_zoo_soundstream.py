"""SoundStream: the paper's sizes, causality, streams, and the switch that denoises."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vocable import codecs
from vocable.codecs.backbones.soundstream import FiLM
from vocable.codecs.build import build
from vocable.codecs.zoo.soundstream import PUBLISHED, SoundStream, soundstream, state

HOP = 12
TINY = {
    "sample_rate": 16000,
    "num_codebooks": 4,
    "codebook_size": 32,
    "encoder_dim": 4,
    "decoder_dim": 8,
    "strides": [3, 4],
    "latent_dim": 8,
}
CONFIG = {"_target_": "vocable.codecs.zoo.soundstream.soundstream", **TINY}


def tiny(denoise_in: str = "encoder") -> SoundStream:
    """A codec with entries where its latents are, in double precision."""
    torch.manual_seed(0)
    codec = soundstream(**TINY, denoise_in=denoise_in).double()
    codec(torch.randn(2, 1, 40 * HOP, dtype=torch.float64), num_codebooks=4)
    return codec.eval()


def teach(codec: SoundStream) -> None:
    """A FiLM that is no longer the identity."""
    for part in codec.modules():
        if isinstance(part, FiLM):
            torch.nn.init.normal_(part.linear.weight, std=0.5)


def parameters(encoder_dim: int, decoder_dim: int, d: int = 256) -> int:
    """Weights and biases, layer by layer of the paper's figure 3, without FiLM."""

    def conv(inp: int, out: int, kernel: int) -> int:
        return inp * out * kernel + out

    def units(c: int) -> int:
        return 3 * (conv(c, c // 2, 7) + conv(c // 2, c, 1))

    total = conv(1, encoder_dim, 7) + conv(16 * encoder_dim, d, 3)
    total += conv(d, 16 * decoder_dim, 7) + conv(decoder_dim, 1, 7)
    for i, stride in enumerate((2, 4, 5, 8)):
        c = encoder_dim * 2**i
        total += units(c) + conv(c, 2 * c, 2 * stride)
        c = decoder_dim * 2**i
        total += units(c) + conv(2 * c, c, 2 * stride)
    return total


@pytest.mark.parametrize(
    ("encoder_dim", "decoder_dim", "millions"),
    [(32, 32, 8.4), (16, 16, 2.4), (16, 32, 5.5), (32, 16, 5.3), (8, 32, 4.8), (32, 8, 4.4)],
)
def test_sizes_are_the_papers(encoder_dim: int, decoder_dim: int, millions: float) -> None:
    with torch.device("meta"):
        codec = soundstream(encoder_dim=encoder_dim, decoder_dim=decoder_dim)
    count = sum(parameter.numel() for parameter in codec.parameters())
    film = 2 * 512 + 512
    assert count == parameters(encoder_dim, decoder_dim) + film
    assert count / 1e6 == pytest.approx(millions, abs=0.06)


def test_rates_are_the_published_ones() -> None:
    found = {}
    for published in PUBLISHED:
        with torch.device("meta"):
            codec = published.build(**published.options)
        numbers = (codec.sample_rate, codec.hop_length, codec.codebook_sizes)
        assert numbers == (published.sample_rate, published.hop_length, published.codebook_sizes)
        assert sum(parameter.numel() for parameter in codec.parameters()) == published.parameters
        found[published.name] = (codec.frame_rate, codec.bit_rate(), codec.bit_rate(4))
    assert found == {"soundstream-16khz": (50, 6000, 2000), "soundstream-24khz": (75, 18000, 3000)}
    with pytest.raises(ValueError, match="no official checkpoint"):
        state({})


@torch.no_grad()
def test_nothing_looks_ahead() -> None:
    codec = tiny()
    wav = torch.randn(1, 1, 20 * HOP, dtype=torch.float64)
    later = wav.clone()
    later[..., 10 * HOP :] += torch.randn(10 * HOP, dtype=torch.float64)
    z, changed = codec.encoder(wav)[0], codec.encoder(later)[0]
    assert torch.equal(z[..., :10], changed[..., :10])
    assert bool((z[..., 10:] != changed[..., 10:]).all())
    audio, altered = codec.decoder(z)[0], codec.decoder(changed)[0]
    assert torch.equal(audio[..., : 10 * HOP], altered[..., : 10 * HOP])
    assert bool((audio[..., 10 * HOP :] != altered[..., 10 * HOP :]).any())


@torch.no_grad()
@pytest.mark.parametrize("denoise_in", ["encoder", "decoder"])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_chunks_are_the_whole(frames: int, denoise_in: str) -> None:
    codec = tiny(denoise_in)
    teach(codec)
    codec.denoise = 0.7
    wav = torch.randn(2, 1, 20 * HOP, dtype=torch.float64)
    whole = codec.encoder(wav)[0]
    states: list[Any] = [None, None]
    latents: list[Tensor] = []
    audio: list[Tensor] = []
    for chunk in wav.split(frames * HOP, -1):
        z, states[0] = codec.encoder(chunk, states[0])
        y, states[1] = codec.decoder(z, states[1])
        latents.append(z)
        audio.append(y)
    torch.testing.assert_close(torch.cat(latents, -1), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat(audio, -1), codec.decoder(whole)[0], rtol=0, atol=1e-12)


def test_a_stream_gives_the_codes_of_the_whole() -> None:
    codec = tiny().float()
    wav = torch.randn(1, 1, 500)
    stream = codec.stream(num_codebooks=3)
    codes = torch.cat([*(stream.encode(chunk) for chunk in wav.split(77, -1)), stream.flush()], -1)
    expected = codec.encode(wav, num_codebooks=3)
    assert torch.equal(codes, expected.codes)
    assert len(codes.unique()) > 20
    player = codec.stream()
    audio = torch.cat([player.decode(part) for part in codes.split(4, -1)], -1)[..., :500]
    torch.testing.assert_close(audio, codec.decode(expected), rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("denoise_in", ["encoder", "decoder"])
def test_denoising_starts_as_the_identity_and_is_set_by_frame(denoise_in: str) -> None:
    codec = tiny(denoise_in)
    wav = torch.randn(2, 1, 10 * HOP, dtype=torch.float64)

    def run(denoise: float | Tensor) -> Tensor:
        codec.denoise = denoise
        z = codec.encoder(wav)[0]
        return z if denoise_in == "encoder" else codec.decoder(z)[0].unflatten(-1, (10, HOP)).mT

    assert torch.equal(run(True), run(False))
    teach(codec)
    kept, removed = run(False), run(True)
    assert bool((kept != removed).any())
    frames = torch.zeros(2, 10)
    frames[1, 4:] = 1
    mixed = run(frames)
    assert torch.equal(mixed[0], kept[0])
    assert torch.equal(mixed[1, ..., :4], kept[1, ..., :4])
    if denoise_in == "encoder":  # the last step, so that frames do not mix after it
        assert torch.equal(mixed[1, ..., 4:], removed[1, ..., 4:])
    else:
        assert bool((mixed[1, ..., 4:] != kept[1, ..., 4:]).any())
    codec.denoise = 0.5
    assert codec.denoise == 0.5


def test_bad_settings_are_refused() -> None:
    codec = tiny().float()
    with pytest.raises(ValueError, match="denoise is 2; accepted: 0 to 1"):
        codec.denoise = 2
    codec.denoise = torch.zeros(3)
    with pytest.raises(ValueError, match=r"denoise is \(3,\); accepted: a number, \(5,\) or \(1, 5\)"):
        codec.encode(torch.zeros(1, 1, 5 * HOP))
    with pytest.raises(ValueError, match="denoise_in is 'both'"):
        soundstream(**TINY, denoise_in="both")


def test_it_learns_with_codebooks_dropped_and_denoising_by_item() -> None:
    codec = tiny().float().train()
    codec.denoise = torch.tensor([[0.0], [1.0]])
    wav = torch.randn(2, 1, 20 * HOP)
    out = codec(wav)
    assert out.wav.shape == wav.shape
    (out.wav.square().mean() + out.loss).backward()
    gradients = {name: parameter.grad for name, parameter in codec.named_parameters()}
    assert all(g is not None and bool(g.any()) for g in gradients.values())
    codec.denoise = 0


def test_a_codebook_that_the_first_batch_leaves_out_waits_for_the_next() -> None:
    torch.manual_seed(1)
    codec = soundstream(**TINY).train()
    item, books = torch.randn(1, 1, 40 * HOP), codec.quantizer.get_submodule("layers")
    codec(item)
    assert [bool(book.get_buffer("inited")) for book in books.children()] != [True] * 4
    for _ in range(40):
        codec(item)
    for book in books.children():
        assert bool(book.get_buffer("inited"))
        assert bool(book.get_buffer("embed").isfinite().all())


def test_it_is_saved_loaded_and_built_by_hydra(tmp_path: Path) -> None:
    codec = tiny().float()
    codecs.save(codec, CONFIG, tmp_path)
    loaded = codecs.load(tmp_path)
    assert isinstance(loaded, SoundStream)
    wav = torch.randn(2, 1, 300)
    assert torch.equal(loaded.encode(wav).codes, codec.encode(wav).codes)
    hydra = pytest.importorskip("hydra.utils")
    assert hydra.instantiate(CONFIG).state_dict().keys() == build(CONFIG).state_dict().keys()
