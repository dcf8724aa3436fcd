"""Mimi against moshi's own model and that of transformers: codes, audio, streams, files."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vocable import codecs
from vocable.codecs.build import build
from vocable.codecs.zoo.mimi import PUBLISHED, mimi, state

Speech = Callable[[int, float], Tensor]
Randomize = Callable[..., nn.Module]

HOP = 48
SMALL: dict[str, Any] = {
    "num_codebooks": 6,
    "codebook_size": 32,
    "codebook_dim": 6,
    "dim": 4,
    "ratios": [4, 3, 2],
    "latent_dim": 16,
    "layers": 2,
    "heads": 2,
    "context": 5,
}


def moshi_mimi() -> Any:
    loaders = pytest.importorskip("moshi.models.loaders")
    seanet = {**loaders._seanet_kwargs, "dimension": 16, "n_filters": 4, "ratios": SMALL["ratios"]}
    transformer = {
        **loaders._transformer_kwargs,
        **{"d_model": 16, "input_dimension": 16, "output_dimensions": [16], "dim_feedforward": 64},
        **{"num_heads": 2, "num_layers": 2, "context": 5},
    }
    quantizer = {"dimension": 6, "n_q": 6, "bins": 32, "input_dimension": 16, "output_dimension": 16}
    config = {
        **{"sample_rate": 24_000, "channels": 1, "frame_rate": 24_000 / HOP},
        **{"seanet": seanet, "transformer": transformer, "quantizer": quantizer},
    }
    torch.manual_seed(0)
    return loaders.get_mimi(None, config, num_codebooks=6)


def lively(peer: Any, randomize: Randomize, wav: Tensor) -> Any:
    """Weights for which every part matters, and entries from among what they make of wav."""
    randomize(peer)
    for name, parameter in peer.named_parameters():
        if "layer_scale" in name:
            nn.init.uniform_(parameter, 0.3, 0.7)
        elif "conv" in name:  # fresh ones let little of the signal through beside their biases
            parameter *= 0.1 if name.endswith("bias") else 2.0
    peer.encoder.model[0].conv.conv.weight *= 4
    for stack in (peer.quantizer.rvq_first, peer.quantizer.rvq_rest):
        latents = stack.input_proj(peer._encode_to_unquantized_latent(wav))
        residual = latents.transpose(1, 2).flatten(0, 1)
        for layer in stack.vq.layers:
            book = layer._codebook
            entries = residual[torch.randint(len(residual), (len(book.cluster_usage),))]
            entries = entries + 0.8 * residual.std(0) * torch.randn_like(entries)  # no residual of zero
            residual = residual - entries[torch.cdist(residual, entries).argmin(1)]
            nn.init.uniform_(book.cluster_usage, 0.5, 3.0)
            book.cluster_usage[0] = 0.0  # never used: the floor of the division shows
            book.embedding_sum.copy_(entries * book.cluster_usage.clamp(min=1e-5)[:, None])
            book._initialized.fill_(1)
    return peer


def through_a_file(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    file = io.BytesIO()
    torch.save(tensors, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.fixture(scope="module")
def pair(speech: Speech, randomize: Randomize) -> tuple[Any, codecs.Codec]:
    """moshi's Mimi, tiny, and ours with its weights."""
    with torch.no_grad():
        wav = speech(24_000, 0.5)
        peer = lively(moshi_mimi(), randomize, torch.cat([wav, torch.rand_like(wav) - 0.5]))
    ours = mimi(**SMALL).eval()
    ours.load_state_dict(state(through_a_file(peer.state_dict())))
    return peer, ours


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("samples", [1, 47, 48, 1000, 4800, 7201])
@pytest.mark.parametrize("noise", [False, True])
def test_is_moshi(pair: tuple, speech: Speech, samples: int, noise: bool) -> None:
    peer, ours = pair
    wav = torch.rand(2, 1, samples) - 0.5
    if not noise:
        wav = torch.cat([speech(24_000, 1)[..., start : start + samples] for start in (0, 9000)])
    tokens = ours.encode(wav)
    codes = peer.encode(wav)
    assert torch.equal(tokens.codes, codes)
    if samples > 1000:
        assert all(len(codes[:, k].unique()) > 10 for k in range(6))
    close(ours.decode(tokens.codes), peer.decode(codes))
    close(ours.decode(tokens), peer.decode(codes)[..., :samples])


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2, 5])
def test_fewer_codebooks_are_moshis(pair: tuple, speech: Speech, count: int) -> None:
    peer, ours = pair
    wav = speech(24_000, 0.2)
    peer.set_num_codebooks(count)
    codes = peer.encode(wav)
    peer.set_num_codebooks(6)
    assert torch.equal(ours.encode(wav, num_codebooks=count).codes, codes)
    close(ours.decode(codes), peer.decode(codes))
    few = mimi(**{**SMALL, "num_codebooks": count}).eval() if count > 1 else ours
    if count > 1:
        few.load_state_dict(state(peer.state_dict(), num_codebooks=count))
    assert torch.equal(few.encode(wav, num_codebooks=count).codes, codes)


@torch.no_grad()
def test_streams_as_moshi_does(speech: Speech, randomize: Randomize) -> None:
    transformer = pytest.importorskip("moshi.modules.transformer")
    wav = speech(24_000, 0.1)[..., : 50 * HOP]
    peer = lively(moshi_mimi(), randomize, wav)
    # moshi writes a chunk over the oldest keys before its queries read them: past the context, its streams
    # are no longer its model. The comparison is for a context that holds the whole signal.
    transformer.set_attention_context(peer, 100)
    ours = mimi(**{**SMALL, "context": 100}).eval()
    ours.load_state_dict(state(peer.state_dict()))
    with peer.streaming(1):
        codes = torch.cat([peer.encode(chunk) for chunk in wav.split(HOP, -1)], -1)
        audio = torch.cat([peer.decode(chunk) for chunk in codes.split(1, -1)], -1)
    stream = ours.stream()
    assert torch.equal(torch.cat([stream.encode(chunk) for chunk in wav.split(HOP, -1)], -1), codes)
    close(torch.cat([stream.decode(chunk) for chunk in codes.split(1, -1)], -1), audio)


@torch.no_grad()
def test_streams_of_any_chunks_are_the_whole_signal(pair: tuple, speech: Speech) -> None:
    ours = pair[1]
    wav = speech(24_000, 0.1)[..., : 50 * HOP - 7]
    whole = ours.encode(wav).codes
    audio = ours.decode(whole)
    for chunk in (1, 31, HOP, 3 * HOP + 5, 1000):
        stream = ours.stream()
        parts = [stream.encode(piece) for piece in wav.split(chunk, -1)]
        parts.append(stream.flush())
        assert torch.equal(torch.cat(parts, -1), whole)
        close(torch.cat([stream.decode(part) for part in parts if part.shape[-1]], -1), audio)


@torch.no_grad()
def test_reads_the_layout_of_transformers(speech: Speech, randomize: Randomize) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.MimiConfig(
        **{"hidden_size": 16, "num_filters": 4, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64, "sliding_window": 5},
        **{"codebook_size": 32, "codebook_dim": 6, "vector_quantization_hidden_dimension": 6},
        **{"num_quantizers": 6, "upsampling_ratios": SMALL["ratios"], "upsample_groups": 16},
        frame_rate=24_000 / HOP,
    )
    torch.manual_seed(0)
    peer = transformers.MimiModel(config).eval()
    randomize(peer)
    tensors = {key: value.clone() for key, value in peer.state_dict().items()}
    for key, value in tensors.items():
        if key.endswith("embed_sum"):
            value.normal_(std=0.3)
        elif key.endswith("cluster_usage"):
            value.uniform_(0.5, 3)
        elif key.endswith(("layer_scale.scale", "q_proj.weight", "k_proj.weight")):
            value.uniform_(-0.7, 0.7)
    peer.load_state_dict(tensors)
    # the published file has the names of the first releases
    renames = {
        "encoder.encoder_seanet.": "encoder.",
        "decoder.decoder_seanet.": "decoder.",
        "encoder.encoder_transformer.": "encoder_transformer.",
        "decoder.decoder_transformer.": "decoder_transformer.",
        "encoder.downsample.": "downsample.",
        "decoder.upsample.": "upsample.",
    }
    flat = {}
    for key, value in tensors.items():
        new = next((key.replace(old, name, 1) for old, name in renames.items() if key.startswith(old)), key)
        flat[new] = value
    ours = mimi(**SMALL).eval()
    ours.load_state_dict(state(flat, heads=2))
    wav = speech(24_000, 0.2)
    codes = peer.encode(wav, num_quantizers=6).audio_codes
    assert torch.equal(ours.encode(wav).codes, codes)
    assert len(codes.unique()) > 10
    close(ours.decode(codes), peer.decode(codes).audio_values)


def test_older_names_are_the_same_tensors(pair: tuple) -> None:
    peer, ours = pair
    older = {
        "in_projs.0.weight": "in_proj_weight",
        "out_projs.0.weight": "out_proj.weight",
        "_codebook._initialized": "_codebook.inited",
        "cluster_usage": "cluster_size",
        "embedding_sum": "embed_avg",
    }
    tensors = {}
    for key, value in peer.state_dict().items():
        for new, old in older.items():
            key = key.replace(new, old)
        tensors[key] = value
    found = state(tensors)
    assert found.keys() == ours.state_dict().keys()
    assert all(torch.equal(found[key], value) for key, value in ours.state_dict().items())


def test_accounts_for_every_tensor(pair: tuple) -> None:
    tensors = dict(pair[0].state_dict())
    with pytest.raises(ValueError, match=r"1 tensors that are not this codec's: quantizer\.teacher"):
        state({**tensors, "quantizer.teacher": torch.zeros(1)})
    for key in (
        "quantizer.rvq_rest.vq.layers.2._codebook.cluster_usage",
        "encoder_transformer.transformer.layers.1.norm2.bias",
        "downsample.conv.conv.conv.weight",
    ):
        fewer = {name: tensor for name, tensor in tensors.items() if name != key}
        with pytest.raises(RuntimeError, match="Missing key"):
            mimi(**SMALL).load_state_dict(state(fewer))


def test_config_builds_alike_and_a_saved_folder_gives_the_same_codes(
    pair: tuple, speech: Speech, tmp_path: Path
) -> None:
    _, ours = pair
    node = {"_target_": "vocable.codecs.zoo.mimi.mimi", **SMALL}
    codec = build(node)
    codec.load_state_dict(ours.state_dict())
    codecs.save(codec, node, tmp_path / "mimi")
    loaded = codecs.load(str(tmp_path / "mimi"))
    wav = speech(24_000, 0.2)
    tokens = ours.encode(wav)
    assert torch.equal(loaded.encode(wav).codes, tokens.codes)
    assert torch.equal(loaded.decode(tokens.codes), ours.decode(tokens.codes))
    hydra = pytest.importorskip("hydra.utils")
    assert str(hydra.instantiate(node)) == str(codec)


def test_trains_from_a_checkpoint_and_from_nothing(pair: tuple, speech: Speech) -> None:
    for codec in (mimi(**SMALL), mimi(**SMALL, weight_norm=True)):
        if not any("parametrizations" in name for name in codec.state_dict()):
            codec.load_state_dict(pair[1].state_dict())
        book = codec.get_buffer("quantizer.rest.layers.0.embed")
        before = book.clone()
        out = codec.train()(speech(24_000, 0.3))
        (out.wav.pow(2).mean() + out.loss).backward()
        assert not torch.equal(book, before)
        assert all(parameter.grad is not None for parameter in codec.parameters())


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_published_numbers_are_the_codecs(entry: Any) -> None:
    with torch.device("meta"):
        codec = entry.build(**entry.options)
    assert codec.sample_rate == entry.sample_rate
    assert codec.hop_length == entry.hop_length
    assert codec.codebook_sizes == entry.codebook_sizes
    assert sum(parameter.numel() for parameter in codec.parameters()) == entry.parameters
    loaders = pytest.importorskip("moshi.models.loaders")
    peer = loaders.get_mimi(None, device="meta")
    found = {key: tuple(value.shape) for key, value in entry.state(peer.state_dict()).items()}
    assert found == {key: tuple(value.shape) for key, value in codec.state_dict().items()}


@pytest.mark.full
@torch.no_grad()
def test_full_size_is_moshi(speech: Speech, randomize: Randomize) -> None:
    loaders = pytest.importorskip("moshi.models.loaders")
    torch.manual_seed(0)
    wav = speech(24_000, 12.0)  # 300 positions of a context of 250
    peer = lively(loaders.get_mimi(None, num_codebooks=32), randomize, torch.cat([wav, wav.flip(-1)]))
    for entry in PUBLISHED:
        ours = entry.build(**entry.options).eval()
        ours.load_state_dict(entry.state(through_a_file(peer.state_dict())))
        peer.set_num_codebooks(ours.num_codebooks)
        codes = peer.encode(wav)
        assert torch.equal(ours.encode(wav).codes, codes)
        assert all(len(codes[:, k].unique()) > 50 for k in range(ours.num_codebooks))
        close(ours.decode(codes), peer.decode(codes))
