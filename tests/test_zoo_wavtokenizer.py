"""WavTokenizer against golden values of the official code, and part by part against vocos and encodec."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vocable import codecs
from vocable.codecs import Codec
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.backbones.convnext import ConvNeXtBlock
from vocable.codecs.backbones.istft import ISTFTHead
from vocable.codecs.build import build
from vocable.codecs.zoo.wavtokenizer import PUBLISHED, state

ASSETS = Path(__file__).parent / "assets"
TINY = {"dim": 2, "ratios": [3, 2], "latent_dim": 8, "codebook_size": 64, "decoder_dim": 32, "blocks": 2}
CONFIG = {"_target_": "vocable.codecs.zoo.wavtokenizer.wavtokenizer", **TINY}


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    """Weights, signals, codes and reconstructions of the official code: assets/make_wavtokenizer.py."""
    return load_file(ASSETS / "wavtokenizer.safetensors")


@pytest.fixture(scope="module")
def checkpoint(golden: dict[str, Tensor]) -> dict[str, Any]:
    """The official layout: Lightning's, with what only training needs."""
    prefix = "state_dict."
    tensors = {k.removeprefix(prefix): v.float() for k, v in golden.items() if k.startswith(prefix)}
    tensors |= {
        "feature_extractor.encodec.decoder.model.0.conv.conv.bias": torch.zeros(3),
        "multiperioddisc.discriminators.0.convs.0.bias": torch.zeros(3),
        "melspec_loss.mel_spec.spectrogram.window": torch.ones(3),
    }
    return {"epoch": 24, "state_dict": tensors, "hyper_parameters": {"sample_rate": 24000}}


@pytest.fixture
def codec(checkpoint: dict[str, Any]) -> Codec:
    made = build(CONFIG).eval()
    made.load_state_dict(state(checkpoint), strict=True)
    return made


@torch.no_grad()
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("signal", ["long", "short"])
def test_codes_and_audio_are_the_official_ones(
    codec: Codec, golden: dict[str, Tensor], signal: str, folded: bool
) -> None:
    if folded:
        fold_weight_norm(codec)
    wav, codes, audio = (golden[f"{signal}.{part}"] for part in ("wav", "codes", "audio"))
    tokens = codec.encode(wav[:, None])
    assert torch.equal(tokens.codes, codes.transpose(0, 1))
    assert signal == "short" or len(codes.unique()) > 50
    whole = codec.decode(tokens.codes)[:, 0]
    assert (whole - audio).abs().max() <= 1e-5 * audio.abs().max()
    assert torch.equal(codec.decode(tokens)[:, 0], whole[:, : wav.shape[-1]])
    alone = [codec.encode(item[None, None]).codes for item in wav]
    assert torch.equal(torch.cat(alone), tokens.codes)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.name)
def test_full_size_fits_the_official_names_and_shapes(published: Any) -> None:
    keys = json.loads((ASSETS / "wavtokenizer_keys.json").read_text())
    shapes = {**keys["320"], **keys[str(published.hop_length)]}
    with torch.device("meta"):
        codec = published.build(**published.options)
        mapped = state({"state_dict": {key: torch.empty(shape) for key, shape in shapes.items()}})
    codec.load_state_dict(mapped, strict=True, assign=True)
    assert (codec.sample_rate, codec.hop_length) == (published.sample_rate, published.hop_length)
    assert codec.codebook_sizes == published.codebook_sizes
    assert sum(parameter.numel() for parameter in codec.parameters()) == published.parameters


def test_another_checkpoint_is_refused(checkpoint: dict[str, Any]) -> None:
    tensors = checkpoint["state_dict"]
    with pytest.raises(ValueError, match=r"1 tensors that are not this codec's: backbone\.extra"):
        state({"state_dict": {**tensors, "backbone.extra": torch.ones(1)}})
    with pytest.raises(ValueError, match="accepted: state_dict"):
        state(tensors)
    rest = {key: value for key, value in tensors.items() if key != "head.out.bias"}
    with pytest.raises(RuntimeError, match=r"decoder\.head\.out\.bias"):
        build(CONFIG).load_state_dict(state({"state_dict": rest}), strict=True)


def test_it_is_saved_loaded_and_built_by_hydra(
    codec: Codec, golden: dict[str, Tensor], tmp_path: Path
) -> None:
    hydra = pytest.importorskip("hydra.utils")
    assert hydra.instantiate(CONFIG).state_dict().keys() == codec.state_dict().keys()
    codecs.save(codec, CONFIG, tmp_path)
    loaded = codecs.load(tmp_path)
    wav = golden["long.wav"][:, None]
    assert torch.equal(loaded.encode(wav).codes, codec.encode(wav).codes)


@torch.no_grad()
def test_encoder_and_codebook_are_encodec(
    codec: Codec, checkpoint: dict[str, Any], speech: Callable[[int, float], Tensor]
) -> None:
    peer = pytest.importorskip("encodec.modules")
    prefix = "feature_extractor.encodec.encoder."
    reference = peer.SEANetEncoder(dimension=8, n_filters=2, ratios=[3, 2], causal=False).eval()
    tensors = checkpoint["state_dict"]
    reference.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    for wav in (speech(24000, 0.5), speech(24000, 0.3)[..., :4001]):
        z = codec.encoder(10 * wav)[0]
        torch.testing.assert_close(z, reference(10 * wav), rtol=0, atol=1e-5)
        book = tensors["feature_extractor.encodec.quantizer.vq.layers.0._codebook.embed"]
        codes = torch.cdist(z[0].T.double(), book.double()).argmin(1)
        assert torch.equal(codec.encode(10 * wav).codes[0, 0], codes)


@torch.no_grad()
def test_block_and_head_are_vocos(randomize: Callable[..., nn.Module]) -> None:
    modules, heads = pytest.importorskip("vocos.modules"), pytest.importorskip("vocos.heads")
    torch.manual_seed(0)
    peer = randomize(modules.ConvNeXtBlock(16, 48, 0.5, adanorm_num_embeddings=4))
    block, x = ConvNeXtBlock(16, eps=1e-6), 0.01 * torch.randn(2, 16, 30)
    names = {"dwconv": "depthwise", "pwconv1": "widen", "pwconv2": "narrow", "gamma": "scale"}
    found = {
        f"{names.get(k.split('.')[0], k)}{k[len(k.split('.')[0]) :]}": v for k, v in peer.state_dict().items()
    }
    found["norm.weight"], found["norm.bias"] = (
        peer.get_parameter(f"norm.{n}.weight")[0] for n in ("scale", "shift")
    )
    block.load_state_dict({key: found[key] for key in block.state_dict()})
    expected = peer(x, cond_embedding_id=torch.tensor([0])).transpose(1, 2)
    torch.testing.assert_close(block(x.transpose(1, 2)), expected, rtol=0, atol=1e-6)
    peer, head = heads.ISTFTHead(16, 80, 20, padding="same"), ISTFTHead(16, 80, 20)
    head.load_state_dict({k: v for k, v in peer.state_dict().items() if k != "istft.window"})
    x = 5 * torch.randn(2, 30, 16)
    torch.testing.assert_close(head(x)[:, 0], peer(x), rtol=0, atol=1e-5)
