"""X-codec against transformers' model: the same codes and the same audio from the same checkpoint."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vocable.codecs import Codec, load, save
from vocable.codecs.build import build
from vocable.codecs.convert import read_official
from vocable.codecs.zoo import xcodec

TEACHER = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
TINY: dict[str, Any] = {"encoder_dim": 4, "latent_dim": 8, "decoder_dim": 32, "codebook_size": 64}
RATES = {1: 0.3, 3: 0.9, None: 2.4}  # kbit/s of so many codebooks of 64 at 50 Hz


def teacher(kind: str) -> dict[str, Any]:
    return {**xcodec.base(kind), **TEACHER}


def options(kind: str) -> dict[str, Any]:
    return {"teacher": teacher(kind), **TINY}


def make_peer(speaker: dict[str, Any], randomize: Callable[..., nn.Module], **sizes: int) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    acoustic = {
        "model_type": "dac",
        "encoder_hidden_size": sizes.get("encoder_dim", 64),
        "decoder_hidden_size": sizes.get("decoder_dim", 1024),
        "hidden_size": sizes.get("latent_dim", 256),
        "downsampling_ratios": [8, 5, 4, 2],
        "upsampling_ratios": [8, 5, 4, 2],
    }
    tiny = "codebook_size" in sizes
    config = transformers.XcodecConfig(
        target_bandwidths=list(RATES.values()) if tiny else [4.0],
        acoustic_model_config=acoustic,
        semantic_model_config={**speaker, "mask_time_prob": 0.05},  # as published: a vector for masked frames
        codebook_size=sizes.get("codebook_size", 1024),
    )
    peer = transformers.XcodecModel(config)
    for part in (*peer.acoustic_encoder.modules(), *peer.acoustic_decoder.modules(), peer.fc, peer.fc2):
        if isinstance(part, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
            part.reset_parameters()  # those of 0.02 would leave nothing of a signal
    peer.apply_weight_norm()
    return fill_codebooks(randomize(peer).eval())


@torch.no_grad()
def fill_codebooks(peer: Any) -> Any:
    """Entries as far apart as latents are."""
    found: list[Tensor] = []
    hook = peer.fc.register_forward_hook(lambda module, inputs, out: found.append(out.flatten(0, 1)))
    peer.encode(0.3 * torch.randn(1, 1, 16000))
    hook.remove()
    deviation, mean = torch.std_mean(found[0], 0)
    for i, layer in enumerate(peer.quantizer.quantizers):
        embed = layer.codebook.embed
        embed.copy_(torch.randn_like(embed) * deviation * 0.8**i + (mean if i == 0 else 0))
    return peer


def name_of(key: str, blocks: int = 4) -> str:
    """A name of transformers as the official file has it."""
    part, _, rest = key.partition(".")
    if part in ("acoustic_encoder", "acoustic_decoder"):
        coder, stack, order = (
            ("encoder", "block", 0) if part == "acoustic_encoder" else ("decoder_2", "model", 1)
        )
        ends = {"conv1": 0, "snake1": blocks + 1, "conv2": blocks + 2}
        inner = {"snake1": 0 if order else 3, "conv1": 4, "conv_t1": 1}
        unit = {"snake1": 0, "conv1": 1, "snake2": 2, "conv2": 3}
        if found := re.fullmatch(r"block\.(\d)\.res_unit(\d)\.(\w+)\.(.+)", rest):
            block, number, layer, leaf = found.groups()
            path = f"{int(block) + 1}.block.{int(number) - 1 + 2 * order}.block.{unit[layer]}.{leaf}"
        elif found := re.fullmatch(r"block\.(\d)\.(\w+)\.(.+)", rest):
            path = f"{int(found[1]) + 1}.block.{inner[found[2]]}.{found[3]}"
        else:
            layer, _, leaf = rest.partition(".")
            path = f"{ends[layer]}.{leaf}"
        key = f"{coder}.{stack}.{path}"
    elif part in ("encoder_semantic", "decoder_semantic"):
        key = re.sub(r"(res_units\.\d\.conv1|(?<!units)\.conv[12]?)\.(weight|bias)$", r"\1.conv.\2", key)
        key = re.sub(r"(res_units\.\d\.conv2)\.conv\.", r"\1.", key)
    renamed = {"fc": "fc_prior", "fc1": "fc_post1", "fc2": "fc_post2"}
    if part in renamed:
        key = f"{renamed[part]}.{rest}"
    key = re.sub(r"quantizer\.quantizers\.(\d+)\.codebook\.", r"quantizer.vq.layers.\1._codebook.", key)
    for i, old in enumerate(("weight_g", "weight_v")):
        key = key.replace(f"parametrizations.weight.original{i}", old)
    return key


def checkpoint(peer: Any) -> dict[str, Tensor]:
    """What the official file holds, through the disk's form."""
    file = io.BytesIO()
    torch.save({name_of(key): value for key, value in peer.state_dict().items()}, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def convert(peer: Any, **sizes: Any) -> Codec:
    codec = xcodec.xcodec(**sizes).eval()
    codec.load_state_dict(xcodec.state(checkpoint(peer)))
    return codec


@pytest.fixture(scope="module")
def pairs(randomize: Callable[..., nn.Module]) -> Callable[[str], tuple[Any, Codec]]:
    made: dict[str, tuple[Any, Codec]] = {}

    def of(kind: str) -> tuple[Any, Codec]:
        if kind not in made:
            peer = make_peer(teacher(kind), randomize, **TINY)
            made[kind] = peer, convert(peer, **options(kind))
        return made[kind]

    return of


@torch.no_grad()
def reference(peer: Any, wav: Tensor, books: int | None = None) -> tuple[Tensor, Tensor]:
    padded = nn.functional.pad(wav, (0, -wav.shape[-1] % 320))
    rate = None if peer.config.codebook_size != 64 else RATES[books]
    codes = peer.encode(padded, rate, return_dict=False)
    return codes, peer.decode(codes, return_dict=False)


def check(peer: Any, codec: Codec, wav: Tensor, books: int | None = None) -> None:
    codes, audio = reference(peer, wav, books)
    tokens = codec.encode(wav, num_codebooks=books)
    assert torch.equal(tokens.codes, codes)
    out = codec.decode(tokens)
    assert out.shape == wav.shape
    audio = audio[..., : wav.shape[-1]]
    assert (out - audio).abs().max() <= 1e-5 * audio.abs().max()


@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
def test_codes_and_audio_are_the_peers(
    kind: str, pairs: Callable[[str], tuple[Any, Codec]], speech: Callable[[int, float], Tensor]
) -> None:
    peer, codec = pairs(kind)
    for length in (1, 319, 960, 5001):
        check(peer, codec, 0.3 * torch.randn(1, 1, length))
    check(peer, codec, 0.3 * torch.randn(3, 1, 2222), books=3)
    wav = speech(16000, 1.0)
    check(peer, codec, wav)
    check(peer, codec, wav, books=1)
    codes, audio = reference(peer, wav)
    assert audio.std() > 0.03
    assert all(len(book.unique()) > 8 for book in codes[0])


def test_padding_is_that_of_the_published_feature_extractor(
    pairs: Callable[[str], tuple[Any, Codec]],
) -> None:
    transformers = pytest.importorskip("transformers")
    wav = 0.3 * torch.randn(1, 1, 1000)
    extract = transformers.DacFeatureExtractor(sampling_rate=16000, hop_length=320)
    values = extract(raw_audio=wav[0, 0].numpy(), sampling_rate=16000, return_tensors="pt")["input_values"]
    assert torch.equal(values, pairs("hubert")[1].pad(wav))


def test_items_of_a_batch_are_the_peers_alone(pairs: Callable[[str], tuple[Any, Codec]]) -> None:
    peer, codec = pairs("hubert")
    batch, lengths = torch.randn(3, 1, 2000) * 0.3, [2000, 1, 777]
    tokens = codec.encode(batch, lengths=lengths)
    for i, length in enumerate(lengths):
        codes, _ = reference(peer, batch[i : i + 1, :, :length])
        assert torch.equal(tokens.codes[i : i + 1, :, : codes.shape[-1]], codes)


def test_names_are_those_of_the_published_code(pairs: Callable[[str], tuple[Any, Codec]]) -> None:
    """The state of SoundStream in github.com/zhenye234/xcodec, but the speech model's."""
    names = (Path(__file__).parent / "assets" / "xcodec_names.txt").read_text().split()
    found = checkpoint(pairs("hubert")[0])
    assert {name for name in found if not name.startswith("semantic_model.")} == set(names)


def test_a_saved_folder_gives_the_same_with_weights_folded(
    pairs: Callable[[str], tuple[Any, Codec]], tmp_path: Path
) -> None:
    peer, codec = pairs("wavlm")
    save(codec, {"_target_": "vocable.codecs.zoo.xcodec.xcodec", **options("wavlm")}, tmp_path / "codec")
    loaded = load(tmp_path / "codec")
    assert not any("parametrizations" in key for key in loaded.state_dict())
    check(peer, loaded, 0.3 * torch.randn(1, 1, 3000))


def test_a_file_with_a_buffer_of_bytes_is_read(
    pairs: Callable[[str], tuple[Any, Codec]], tmp_path: Path
) -> None:
    peer, codec = pairs("hubert")
    torch.save({**checkpoint(peer), "config": io.BytesIO(b"yaml")}, tmp_path / "official.pth")
    codec.load_state_dict(xcodec.state(read_official(tmp_path / "official.pth")))


def test_a_checkpoint_with_one_tensor_more_or_less_is_refused(
    pairs: Callable[[str], tuple[Any, Codec]],
) -> None:
    peer, codec = pairs("hubert")
    found = checkpoint(peer)
    found["encoder.block.0.surplus"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"encoder\.block\.0\.surplus"):
        xcodec.state(found)
    del found["encoder.block.0.surplus"], found["encoder.block.0.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*acoustic\.layers\.layers\.0\.conv\.bias"):
        codec.load_state_dict(xcodec.state(found))


@pytest.mark.parametrize("published", xcodec.PUBLISHED[:2], ids=["hubert", "wavlm"])
def test_published_numbers_are_the_codecs(published: Any) -> None:
    pytest.importorskip("transformers")
    with torch.device("meta"):
        codec = build(published.config)
    assert (codec.sample_rate, codec.hop_length) == (published.sample_rate, published.hop_length)
    assert codec.codebook_sizes == published.codebook_sizes
    assert sum(parameter.numel() for parameter in codec.parameters()) == published.parameters


def test_hydra_builds_the_same() -> None:
    pytest.importorskip("transformers")
    instantiate = pytest.importorskip("hydra.utils").instantiate
    node = {"_target_": "vocable.codecs.zoo.xcodec.xcodec", **options("wavlm")}
    ours, theirs = build(node), instantiate(node, _convert_="all")
    assert str(ours) == str(theirs)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
def test_full_size(
    kind: str, randomize: Callable[..., nn.Module], speech: Callable[[int, float], Tensor]
) -> None:
    peer = make_peer(xcodec.base(kind), randomize)
    check(peer, convert(peer, teacher=xcodec.base(kind)), speech(16000, 1.013))
