"""BigCodec against its own package: the same codes and the same audio from the same checkpoint."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vocable.codecs import Codec, load, save
from vocable.codecs.build import build
from vocable.codecs.zoo import bigcodec

TINY: dict[str, Any] = {"encoder_dim": 4, "latent_dim": 16, "decoder_dim": 64, "codebook_size": 64}
NODE = {"_target_": "vocable.codecs.zoo.bigcodec.bigcodec", **TINY}


def make_peer(options: dict[str, Any], randomize: Callable[..., nn.Module]) -> Any:
    """The encoder and the decoder, which holds the quantizer, of the package."""
    package = pytest.importorskip("bigcodec.modules")
    torch.manual_seed(0)
    latent_dim = options.get("latent_dim", 1024)
    encoder = package.CodecEncoder(ngf=options.get("encoder_dim", 48), out_channels=latent_dim)
    decoder = package.CodecDecoder(
        in_channels=latent_dim,
        vq_dim=latent_dim,
        upsample_initial_channel=options.get("decoder_dim", 1536),
        codebook_size=options.get("codebook_size", 8192),
    )
    pair = nn.ModuleDict({"CodecEnc": encoder, "generator": decoder})
    for key, tensor in pair.state_dict().items():
        if key.endswith(("alpha", "beta")):
            nn.init.uniform_(tensor, -0.5, 1.0)
    return centre(randomize(pair).eval())


@torch.no_grad()
def centre(pair: Any) -> Any:
    """Latents around zero: of those far from it, all directions are one and so are the codes."""
    into = pair["generator"].quantizer.layers[0].in_proj
    into.bias -= into(pair["CodecEnc"](0.3 * torch.randn(1, 1, 4000)).transpose(1, 2)).mean((0, 1))
    return pair


def checkpoint(peer: Any) -> dict[str, dict[str, Tensor]]:
    """What the official file holds, through the disk's form: weight norm is the older one there."""
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    found: dict[str, dict[str, Tensor]] = {}
    for part, module in peer.items():
        found[part] = {}
        for key, value in module.state_dict().items():
            for new, name in old.items():
                key = key.replace(new, name)
            found[part][key] = value
    file = io.BytesIO()
    torch.save(found, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def convert(peer: Any, options: dict[str, Any]) -> Codec:
    codec = bigcodec.bigcodec(**options).eval()
    codec.load_state_dict(bigcodec.state(checkpoint(peer)))
    return codec


@pytest.fixture(scope="module")
def pair(randomize: Callable[..., nn.Module]) -> tuple[Any, Codec]:
    peer = make_peer(TINY, randomize)
    return peer, convert(peer, TINY)


@torch.no_grad()
def reference(peer: Any, wav: Tensor) -> tuple[Tensor, Tensor]:
    """The steps of the published script."""
    padded = nn.functional.pad(wav, (0, 200 - wav.shape[-1] % 200))
    z, codes, _ = peer["generator"](peer["CodecEnc"](padded), vq=True)
    return codes.transpose(0, 1), peer["generator"](z, vq=False)


def check(peer: Any, codec: Codec, wav: Tensor) -> None:
    codes, audio = reference(peer, wav)
    tokens = codec.encode(wav)
    assert torch.equal(tokens.codes, codes)
    out = codec.decode(tokens)
    assert out.shape == wav.shape
    audio = audio[..., : wav.shape[-1]]
    assert (out - audio).abs().max() <= 1e-5 * audio.abs().max()


def test_codes_and_audio_are_the_peers(
    pair: tuple[Any, Codec], speech: Callable[[int, float], Tensor]
) -> None:
    for length in (1, 199, 200, 1000, 3001):
        check(*pair, 0.3 * torch.randn(1, 1, length))
    check(*pair, 0.3 * torch.randn(3, 1, 2222))
    check(*pair, speech(16000, 1.0))
    assert len(reference(pair[0], speech(16000, 1.0))[0].unique()) > 10


def test_whole_frames_are_followed_by_one_more(pair: tuple[Any, Codec]) -> None:
    assert pair[1].encode(torch.randn(1, 1, 1000)).codes.shape[-1] == 6


def test_items_of_a_batch_are_the_peers_alone(pair: tuple[Any, Codec]) -> None:
    batch, lengths = torch.randn(3, 1, 2000) * 0.3, [2000, 1, 777]
    tokens = pair[1].encode(batch, lengths=lengths)
    audio = pair[1].decode(tokens)
    for i, length in enumerate(lengths):
        codes, expected = reference(pair[0], batch[i : i + 1, :, :length])
        assert torch.equal(tokens.codes[i : i + 1, :, : codes.shape[-1]], codes)
        torch.testing.assert_close(audio[i, :, :length], expected[0, :, :length], rtol=0, atol=1e-5)


def test_a_saved_folder_gives_the_same_with_weights_folded(pair: tuple[Any, Codec], tmp_path: Path) -> None:
    save(pair[1], NODE, tmp_path / "codec")
    loaded = load(tmp_path / "codec")
    assert not any("parametrizations" in key for key in loaded.state_dict())
    check(pair[0], loaded, 0.3 * torch.randn(1, 1, 3000))


def test_a_checkpoint_that_is_another_is_refused(pair: tuple[Any, Codec]) -> None:
    found = checkpoint(pair[0])
    found["generator"]["model.0.surplus"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"model\.0\.surplus"):
        bigcodec.state(found)
    del found["generator"]["model.0.surplus"], found["generator"]["model.0.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*decoder\.layers\.layers\.0\.conv\.bias"):
        pair[1].load_state_dict(bigcodec.state(found))
    with pytest.raises(ValueError, match="accepted: CodecEnc, generator"):
        bigcodec.state(found["generator"])
    found["CodecEnc"]["block.7.upsample.filter"] += 1e-3
    with pytest.raises(ValueError, match=r"block\.7\.upsample\.filter is .*; accepted"):
        bigcodec.state(found)


def test_published_numbers_are_the_codecs() -> None:
    (published,) = bigcodec.PUBLISHED
    with torch.device("meta"):
        codec = build(published.config)
    assert (codec.sample_rate, codec.hop_length) == (published.sample_rate, published.hop_length)
    assert codec.codebook_sizes == published.codebook_sizes
    assert sum(parameter.numel() for parameter in codec.parameters()) == published.parameters


def test_hydra_builds_the_same() -> None:
    instantiate = pytest.importorskip("hydra.utils").instantiate
    ours, theirs = build(NODE), instantiate(NODE, _convert_="all")
    assert str(ours) == str(theirs)


@pytest.mark.full
def test_full_size(randomize: Callable[..., nn.Module], speech: Callable[[int, float], Tensor]) -> None:
    peer = make_peer({}, randomize)
    check(peer, convert(peer, {}), speech(16000, 1.013))
