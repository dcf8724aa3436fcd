"""DAC against its own package: the same codes and the same audio from the same checkpoint."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vocable.codecs import Codec, load, save
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.build import build
from vocable.codecs.zoo import dac

NAMES = [published.name for published in dac.PUBLISHED]
TINY = {"encoder_dim": 4, "decoder_dim": 32, "codebook_size": 64}


def tiny(name: str) -> dict[str, Any]:
    """The published options, narrow; latents keep their order of widths."""
    options = dac.PUBLISHED[NAMES.index(name)].options
    return {**options, **TINY, "latent_dim": 16 if "latent_dim" in options else 64}


def make_peer(options: dict[str, Any], randomize: Callable[..., nn.Module]) -> Any:
    """The package's own model; its initial weights of 0.02 would leave nothing of a signal."""
    package = pytest.importorskip("dac.model.dac")
    torch.manual_seed(0)
    model = package.DAC(
        encoder_dim=options.get("encoder_dim", 64),
        encoder_rates=options["strides"],
        latent_dim=options.get("latent_dim", 1024),
        decoder_dim=options.get("decoder_dim", 1536),
        decoder_rates=options["strides"][::-1],
        n_codebooks=options["num_codebooks"],
        codebook_size=options.get("codebook_size", 1024),
        sample_rate=options["sample_rate"],
    )
    for name, part in model.named_modules():
        if hasattr(part, "weight_v"):
            nn.init.kaiming_uniform_(part.weight_v, a=5**0.5)
            gain = 1.5 if name.startswith("encoder") else 1.1
            part.weight_g.data = gain * part.weight_v.data.norm(dim=(1, 2), keepdim=True)
    randomize(model).eval()
    spread(model)
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


def checkpoint(peer: Any) -> dict[str, Any]:
    """What the official file holds, through the disk's form."""
    file = io.BytesIO()
    torch.save({"state_dict": peer.state_dict(), "metadata": {"kwargs": {"n_codebooks": 9}}}, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def convert(peer: Any, options: dict[str, Any]) -> Codec:
    codec = dac.dac(**options).eval()
    codec.load_state_dict(dac.state(checkpoint(peer)))
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


@torch.no_grad()
def reference(peer: Any, wav: Tensor, books: int | None = None, whole: bool = True) -> tuple[Tensor, Tensor]:
    """The peer's codes and audio; `whole` adds the samples that odd strides lack (its pull request 44)."""
    for part in peer.decoder.modules():
        if isinstance(part, nn.ConvTranspose1d):
            part.output_padding = (part.stride[0] % 2 if whole else 0,)
    z, codes, *_ = peer.encode(peer.preprocess(wav, None), books)
    return codes, peer.decode(z)


def check(peer: Any, codec: Codec, wav: Tensor, books: int | None = None) -> None:
    codes, audio = reference(peer, wav, books)
    tokens = codec.encode(wav, num_codebooks=books)
    assert torch.equal(tokens.codes, codes)
    out = codec.decode(tokens)
    assert out.shape == wav.shape
    audio = audio[..., : wav.shape[-1]]
    assert (out - audio).abs().max() <= 1e-5 * audio.abs().max()


@pytest.mark.parametrize("name", NAMES)
def test_codes_and_audio_are_the_peers(
    name: str, pairs: Callable[[str], tuple[Any, Codec]], speech: Callable[[int, float], Tensor]
) -> None:
    peer, codec = pairs(name)
    for length in (1, 319, 320 * 4, 5001):
        check(peer, codec, 0.3 * torch.randn(1, 1, length))
    check(peer, codec, 0.3 * torch.randn(3, 1, 2222), books=3)
    wav = speech(codec.sample_rate, 1.0)
    check(peer, codec, wav)
    codes, audio = reference(peer, wav)
    assert 0.03 < audio.std() < 0.7
    assert all(len(book.unique()) > 8 for book in codes[0])


@pytest.mark.parametrize("name", NAMES[-2:])
def test_the_published_decoder_cuts_eight_samples(
    name: str, pairs: Callable[[str], tuple[Any, Codec]], speech: Callable[[int, float], Tensor]
) -> None:
    """Its layer of stride 5 gives one sample less, 8 of the signal; what follows sees the end sooner."""
    peer, codec = pairs(name)
    wav = speech(codec.sample_rate, 0.5)[..., : 25 * 320]
    _, cut = reference(peer, wav, whole=False)
    out = codec.decode(codec.encode(wav))
    assert cut.shape[-1] == wav.shape[-1] - 8
    different = ((out[..., :-8] - cut).abs() > 1e-5).flatten().nonzero()
    first = wav.shape[-1] - int(different.min())
    # three residual units reach 39 samples at each of the rates 1/8, 1/2 and 1, and a little for the rest
    assert 8 < first <= 39 * (8 + 2 + 1) + 24


def test_items_of_a_batch_are_the_peers_alone(pairs: Callable[[str], tuple[Any, Codec]]) -> None:
    peer, codec = pairs("dac-16khz")
    batch, lengths = torch.randn(3, 1, 2000) * 0.3, [2000, 1, 777]
    tokens = codec.encode(batch, lengths=lengths)
    audio = codec.decode(tokens)
    for i, length in enumerate(lengths):
        codes, expected = reference(peer, batch[i : i + 1, :, :length])
        assert torch.equal(tokens.codes[i : i + 1, :, : codes.shape[-1]], codes)
        torch.testing.assert_close(audio[i, :, :length], expected[0, :, :length], rtol=0, atol=1e-5)


def test_folded_weights_and_a_saved_folder_give_the_same(
    pairs: Callable[[str], tuple[Any, Codec]], tmp_path: Path
) -> None:
    name = "dac-44khz"
    peer, codec = pairs(name)
    save(codec, {"_target_": "vocable.codecs.zoo.dac.dac", **tiny(name)}, tmp_path / "codec")
    loaded = load(tmp_path / "codec")
    folded = convert(peer, tiny(name))
    fold_weight_norm(folded)
    for other in (loaded, folded):
        check(peer, other, 0.3 * torch.randn(1, 1, 3000))


def test_a_checkpoint_with_one_tensor_more_or_less_is_refused(
    pairs: Callable[[str], tuple[Any, Codec]],
) -> None:
    found = checkpoint(pairs("dac-44khz")[0])
    found["state_dict"]["decoder.model.0.surplus"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"decoder\.model\.0\.surplus"):
        dac.state(found)
    del found["state_dict"]["decoder.model.0.surplus"], found["state_dict"]["decoder.model.6.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*decoder\.layers\.layers\.6\.conv\.bias"):
        dac.dac(**tiny("dac-44khz")).load_state_dict(dac.state(found))
    with pytest.raises(ValueError, match="accepted: state_dict and metadata"):
        dac.state(found["state_dict"])


@pytest.mark.parametrize("published", dac.PUBLISHED, ids=NAMES)
def test_published_numbers_are_the_codecs(published: Any) -> None:
    with torch.device("meta"):
        codec = build(published.config)
    assert (codec.sample_rate, codec.hop_length) == (published.sample_rate, published.hop_length)
    assert codec.codebook_sizes == published.codebook_sizes
    assert sum(parameter.numel() for parameter in codec.parameters()) == published.parameters
    assert codec.quantizer.dropout.share == 0.5


def test_hydra_builds_the_same() -> None:
    instantiate = pytest.importorskip("hydra.utils").instantiate
    node = {"_target_": "vocable.codecs.zoo.dac.dac", **tiny("dac-16khz")}
    ours, theirs = build(node), instantiate(node, _convert_="all")
    assert str(ours) == str(theirs)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, v.shape) for k, v in theirs.state_dict().items()
    ]


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_full_size(
    name: str, randomize: Callable[..., nn.Module], speech: Callable[[int, float], Tensor]
) -> None:
    options = dac.PUBLISHED[NAMES.index(name)].options
    peer = make_peer(options, randomize)
    check(peer, convert(peer, options), speech(options["sample_rate"], 1.013))
