"""SNAC against its own package: the same codes and the same audio from the same checkpoint."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vocable.codecs import Codec, load, save
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.backbones.snac import SNACDecoder, WindowAttention
from vocable.codecs.build import build
from vocable.codecs.zoo import snac
from vocable.quantizers.multiscale import MultiScaleRVQ

NAMES = [published.name for published in snac.PUBLISHED]
TINY = {
    "snac-24khz": {"encoder_dim": 8, "decoder_dim": 64, "codebook_size": 64},
    "snac-44khz": {"encoder_dim": 4, "decoder_dim": 128, "codebook_size": 64},
}


def tiny(name: str) -> dict[str, Any]:
    return {**snac.PUBLISHED[NAMES.index(name)].options, **TINY[name]}


def make_peer(options: dict[str, Any], randomize: Callable[..., nn.Module]) -> Any:
    package = pytest.importorskip("snac")
    torch.manual_seed(0)
    model = package.SNAC(
        sampling_rate=options["sample_rate"],
        encoder_dim=options["encoder_dim"],
        encoder_rates=options["strides"],
        decoder_dim=options["decoder_dim"],
        decoder_rates=options["strides"][::-1],
        attn_window_size=options.get("window"),
        codebook_size=options.get("codebook_size", 4096),
        vq_strides=options["vq_strides"],
    )
    constants = {name: buffer.clone() for name, buffer in model.named_buffers()}
    randomize(model)
    for name, buffer in model.named_buffers():
        buffer.copy_(constants[name])
    for name, parameter in model.encoder.named_parameters():
        if name.endswith("original0"):
            parameter.data *= 1.5
    spread(model.eval())
    return model


@torch.no_grad()
def spread(peer: Any) -> None:
    """Centre what each codebook is searched by, so that its codes take many values."""

    def centre(layer: Any, _: Any, vectors: Tensor) -> Tensor:
        mean = vectors.mean((0, 2))
        layer.bias -= mean
        return vectors - mean[:, None]

    handles = [vq.in_proj.register_forward_hook(centre) for vq in peer.quantizer.quantizers]
    peer.encode(0.3 * torch.randn(2, 1, 49152))
    for handle in handles:
        handle.remove()


def checkpoint(peer: Any) -> dict[str, Tensor]:
    """What the official file holds, through the disk's form."""
    file = io.BytesIO()
    torch.save(peer.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def convert(peer: Any, options: dict[str, Any]) -> Codec:
    codec = snac.snac(**options).eval()
    codec.load_state_dict(snac.state(checkpoint(peer)))
    return codec


@pytest.fixture(scope="module")
def pairs(randomize: Callable[..., nn.Module]) -> Callable[[str], tuple[Any, Codec]]:
    made: dict[str, tuple[Any, Codec]] = {}

    def of(name: str) -> tuple[Any, Codec]:
        if name not in made:
            peer = make_peer(tiny(name), randomize)
            made[name] = (peer, convert(peer, tiny(name)))
        return made[name]

    return of


def parts(codec: Codec) -> tuple[MultiScaleRVQ, SNACDecoder]:
    quantizer, decoder = codec.quantizer, codec.decoder
    assert isinstance(quantizer, MultiScaleRVQ)
    assert isinstance(decoder, SNACDecoder)
    return quantizer, decoder


@torch.no_grad()
def check(peer: Any, codec: Codec, wav: Tensor) -> list[Tensor]:
    quantizer, decoder = parts(codec)
    levels = peer.encode(wav)
    tokens = codec.encode(wav)
    ours = quantizer.levels_of(tokens.codes)
    assert all(torch.equal(*pair) for pair in zip(ours, levels, strict=True))
    decoder.seed = None
    torch.manual_seed(5)  # ours decodes item by item, and so is the peer to draw its noise
    items = [peer.decode([level[i : i + 1] for level in levels]) for i in range(len(wav))]
    audio = torch.cat(items)[..., : wav.shape[-1]]
    torch.manual_seed(5)
    out = codec.decode(tokens)
    decoder.seed = 0
    assert out.shape == wav.shape
    assert (out - audio).abs().max() <= 1e-5 * audio.abs().max()
    return levels


@pytest.mark.parametrize("name", TINY)
def test_codes_and_audio_are_the_peers(
    name: str, pairs: Callable[[str], tuple[Any, Codec]], speech: Callable[[int, float], Tensor]
) -> None:
    peer, codec = pairs(name)
    for length in (1, 2049, 12288, 13000):
        check(peer, codec, 0.3 * torch.randn(1, 1, length))
    check(peer, codec, 0.3 * torch.randn(3, 1, 5000))
    levels = check(peer, codec, speech(codec.sample_rate, 1.0))
    assert all(len(level.unique()) > 5 for level in levels)


def test_frames_are_those_of_the_published_code(pairs: Callable[[str], tuple[Any, Codec]]) -> None:
    """Whole windows of 32 latents, 4 frames: one second of the README's model has 12 frames, not 11."""
    _, codec = pairs("snac-44khz")
    assert codec.hop_length == 384 * 8
    tokens = codec.encode(torch.zeros(1, 1, 32000))
    assert tokens.codes.shape == (1, 15, 12)
    assert codec.decode(tokens).shape == (1, 1, 32000)
    assert pairs("snac-24khz")[1].encode(torch.zeros(1, 1, 24000)).codes.shape == (1, 7, 12)


def test_decoding_is_reproducible_and_a_batch_is_its_items(
    pairs: Callable[[str], tuple[Any, Codec]],
) -> None:
    _, codec = pairs("snac-24khz")
    _, decoder = parts(codec)
    batch, lengths = 0.3 * torch.randn(3, 1, 9000), [9000, 1, 5000]
    tokens = codec.encode(batch, lengths=lengths)
    audio = codec.decode(tokens)
    assert torch.equal(codec.decode(tokens), audio)
    for i, length in enumerate(lengths):
        alone = codec.encode(batch[i : i + 1, :, :length])
        assert torch.equal(tokens[i].codes, alone.codes)
        torch.testing.assert_close(codec.decode(alone)[0], audio[i, :, :length], rtol=0, atol=1e-6)
    heard = {}
    for seed in (0, 7, None):
        decoder.seed = seed
        assert decoder.seed == seed
        torch.manual_seed(0)
        heard[seed] = [codec.decode(tokens) for _ in range(2)]
        assert torch.equal(*heard[seed]) == (seed is not None)
    decoder.seed = 0
    assert not torch.equal(heard[0][0], heard[7][0])
    assert torch.equal(heard[0][0], audio)


def test_training_draws_noise_and_reaches_every_parameter(pairs: Callable[[str], tuple[Any, Codec]]) -> None:
    codec = snac.snac(**tiny("snac-44khz"))
    out = codec.train()(0.3 * torch.randn(2, 1, 9000))
    assert out.wav.shape == (2, 1, 9000)
    (out.wav.square().mean() + out.loss).backward()
    assert [name for name, value in codec.named_parameters() if value.grad is None] == []
    decoder = parts(codec)[1]
    z = torch.randn(1, 64, 8)
    assert not torch.equal(decoder(z)[0], decoder(z)[0])
    decoder.eval()
    assert torch.equal(decoder(z)[0], decoder(z)[0])


def test_windows_attend_within_themselves() -> None:
    torch.manual_seed(0)
    attention, x = WindowAttention(128, 32), torch.randn(2, 128, 70)
    y = attention(x)
    for window in (slice(0, 32), slice(32, 64), slice(64, 70)):
        torch.testing.assert_close(attention(x[..., window]), y[..., window], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="dim is 96; accepted: multiples of 64"):
        WindowAttention(96)


def test_frames_cut_within_a_window_decode(pairs: Callable[[str], tuple[Any, Codec]]) -> None:
    _, codec = pairs("snac-44khz")
    codes = codec.encode(0.3 * torch.randn(1, 1, 24000)).codes
    assert codec.decode(codes[..., :5]).shape == (1, 1, 5 * codec.hop_length)


def test_folded_weights_and_a_saved_folder_give_the_same(
    pairs: Callable[[str], tuple[Any, Codec]], tmp_path: Path
) -> None:
    name = "snac-44khz"
    peer, codec = pairs(name)
    save(codec, {"_target_": "vocable.codecs.zoo.snac.snac", **tiny(name)}, tmp_path / "codec")
    loaded = load(tmp_path / "codec")
    folded = convert(peer, tiny(name))
    fold_weight_norm(folded)
    for other in (loaded, folded):
        check(peer, other, 0.3 * torch.randn(1, 1, 13000))
    wav = torch.randn(1, 1, 5000)
    tokens = codec.encode(wav)
    torch.testing.assert_close(loaded.decode(tokens), codec.decode(tokens), rtol=0, atol=1e-5)


def test_a_checkpoint_with_one_tensor_more_or_less_is_refused(
    pairs: Callable[[str], tuple[Any, Codec]],
) -> None:
    found = checkpoint(pairs("snac-44khz")[0])
    found["decoder.model.3.block.2.linear.bias"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match=r"Unexpected key.*linear\.conv\.bias"):
        snac.snac(**tiny("snac-44khz")).load_state_dict(snac.state(found))
    del found["decoder.model.3.block.2.linear.bias"]
    found["encoder.block.5.rel_pos.scale"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"encoder\.block\.5\.rel_pos\.scale"):
        snac.state(found)
    del found["encoder.block.5.rel_pos.scale"], found["encoder.block.5.to_qkv.weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*encoder\.layers\.layers\.5\.to_qkv\.weight"):
        snac.snac(**tiny("snac-44khz")).load_state_dict(snac.state(found))


@pytest.mark.parametrize("published", snac.PUBLISHED, ids=NAMES)
def test_published_numbers_are_the_codecs(published: Any) -> None:
    with torch.device("meta"):
        codec = build(published.config)
    assert (codec.sample_rate, codec.hop_length) == (published.sample_rate, published.hop_length)
    assert codec.codebook_sizes == published.codebook_sizes
    assert sum(parameter.numel() for parameter in codec.parameters()) == published.parameters


def test_hydra_builds_the_same() -> None:
    instantiate = pytest.importorskip("hydra.utils").instantiate
    node = {"_target_": "vocable.codecs.zoo.snac.snac", **tiny("snac-44khz"), "seed": None}
    ours, theirs = build(node), instantiate(node, _convert_="all")
    assert str(ours) == str(theirs)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, v.shape) for k, v in theirs.state_dict().items()
    ]
    assert ours.decoder.seed is theirs.decoder.seed is None


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_full_size(
    name: str, randomize: Callable[..., nn.Module], speech: Callable[[int, float], Tensor]
) -> None:
    options = snac.PUBLISHED[NAMES.index(name)].options
    peer = make_peer(options, randomize)
    check(peer, convert(peer, options), speech(options["sample_rate"], 1.013))
