"""SpeechTokenizer against the package that it was published with."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from vocable import codecs
from vocable.codecs import Codec
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.build import build
from vocable.codecs.zoo.speechtokenizer import PUBLISHED, state

BOOKS, SIZE, HOP = 3, 32, 6
TINY = {"dim": 4, "ratios": [3, 2], "latent_dim": 12, "num_codebooks": BOOKS, "codebook_size": SIZE}
TARGET = "vocable.codecs.zoo.speechtokenizer.speechtokenizer_"
# of the official config.json, what its model reads
SETTINGS = {
    "bidirectional": True,
    "dilation_base": 2,
    "residual_kernel_size": 3,
    "n_residual_layers": 1,
    "lstm_layers": 2,
    "sample_rate": 16000,
}
FULL = {"n_filters": 64, "strides": [8, 5, 4, 2], "dimension": 1024, "codebook_size": 1024, "n_q": 8}
SMALL = {"n_filters": 4, "strides": [3, 2], "dimension": 12, "codebook_size": SIZE, "n_q": BOOKS}
KINDS = {"hubert": "ELU", "snake": "Snake"}


class Case(NamedTuple):
    """A codec with the peer's weights, its config, the peer, and the peer's checkpoint."""

    codec: Codec
    config: dict[str, Any]
    peer: Any
    checkpoint: dict[str, Tensor]


def official(kind: str, sizes: dict[str, Any], semantic: int) -> Any:
    peer = pytest.importorskip("speechtokenizer")
    settings = {**SETTINGS, **sizes, "semantic_dimension": semantic, "activation": KINDS[kind]}
    return peer.SpeechTokenizer(settings).eval()


def spread(model: Any, wav: Tensor) -> None:
    """Entries that lie where the latents, and what is left of them, do."""
    residual = model.encoder(wav)[0].T
    for layer in model.quantizer.vq.layers:
        book = layer._codebook
        embed = residual[torch.randperm(len(residual))[: len(book.embed)]]
        residual = residual - embed[torch.cdist(residual, embed).argmin(1)]
        book.embed.copy_(embed)
        book.embed_avg.copy_(embed)
        book.inited.fill_(1)


@pytest.fixture(params=KINDS)
@torch.no_grad()
def case(request: pytest.FixtureRequest, randomize: Callable[..., nn.Module]) -> Case:
    torch.manual_seed(0)
    peer = randomize(official(request.param, SMALL, 10))
    spread(peer, torch.linspace(0, 2, 6000) * torch.randn(1, 1, 6000))
    file = io.BytesIO()
    torch.save(peer.state_dict(), file)
    checkpoint = torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    config = {"_target_": TARGET + request.param, **TINY}
    codec = build(config).eval()
    codec.load_state_dict(state(checkpoint), strict=True)
    return Case(codec, config, peer, checkpoint)


@torch.no_grad()
def compare(codec: Codec, peer: Any, wav: Tensor, num_codebooks: int | None = None) -> Tensor:
    """The codes, after both made the same of wav (B, 1, T)."""
    codes = peer.encode(wav, n_q=num_codebooks)
    tokens = codec.encode(wav, num_codebooks=num_codebooks)
    assert torch.equal(tokens.codes, codes.transpose(0, 1))
    assert tokens.codes.shape[-1] == math.ceil(wav.shape[-1] / codec.hop_length)
    audio = peer.decode(codes)
    whole = codec.decode(tokens.codes)
    assert (whole - audio).abs().max() <= 1e-5 * audio.abs().max()
    assert torch.equal(codec.decode(tokens), whole[..., : wav.shape[-1]])
    return codes


@pytest.mark.parametrize("folded", [False, True])
def test_codes_and_audio_are_the_peers(
    case: Case, speech: Callable[[int, float], Tensor], folded: bool
) -> None:
    if folded:
        fold_weight_norm(case.codec)
    torch.manual_seed(1)
    for length in (1, 5, HOP, HOP + 1, 601, 3000):
        codes = compare(case.codec, case.peer, torch.randn(1, 1, length))
    assert all(len(book.unique()) > 20 for book in codes)
    compare(case.codec, case.peer, torch.randn(3, 1, 500))
    compare(case.codec, case.peer, speech(16000, 0.25))
    for books in range(1, BOOKS + 1):
        compare(case.codec, case.peer, speech(16000, 0.1)[..., :-5], books)


def test_another_checkpoint_is_refused(case: Case) -> None:
    with pytest.raises(ValueError, match=r"1 tensors that are not this codec's: transform\.scale"):
        state({**case.checkpoint, "transform.scale": torch.ones(1)})
    rest = {key: value for key, value in case.checkpoint.items() if key != "encoder.model.0.conv.conv.bias"}
    with pytest.raises(RuntimeError, match=r"encoder\.layers\.layers\.0\.conv\.bias"):
        case.codec.load_state_dict(state(rest), strict=True)


def test_it_is_saved_loaded_and_built_by_hydra(case: Case, tmp_path: Path) -> None:
    hydra = pytest.importorskip("hydra.utils")
    assert hydra.instantiate(case.config).state_dict().keys() == case.codec.state_dict().keys()
    codecs.save(case.codec, case.config, tmp_path)
    wav = torch.randn(2, 1, 500)
    assert torch.equal(codecs.load(tmp_path).encode(wav).codes, case.codec.encode(wav).codes)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.name)
def test_full_size_fits_the_peers_checkpoint(published: Any) -> None:
    with torch.device("meta"):
        codec = published.build(**published.options)
        checkpoint = official(published.name.split("-")[1], FULL, 768).state_dict()
    codec.load_state_dict(state(checkpoint), strict=True, assign=True)
    numbers = (codec.sample_rate, codec.hop_length, codec.codebook_sizes)
    assert numbers == (published.sample_rate, published.hop_length, published.codebook_sizes)
    assert sum(parameter.numel() for parameter in codec.parameters()) == published.parameters


@pytest.mark.full
@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.name)
@torch.no_grad()
def test_full_size_is_the_peer(published: Any, speech: Callable[[int, float], Tensor]) -> None:
    torch.manual_seed(0)
    peer = official(published.name.split("-")[1], FULL, 768)
    spread(peer, torch.randn(1, 1, 1024 * 320) * torch.linspace(0, 1, 1024 * 320))
    codec = published.build(**published.options).eval()
    codec.load_state_dict(state(peer.state_dict()), strict=True)
    for wav in (speech(16000, 1.0), torch.randn(1, 1, 8001)):
        assert len(compare(codec, peer, wav)[0].unique()) > 5
