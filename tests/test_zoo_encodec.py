"""EnCodec against the package that it was published with, and against transformers."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from vocable import codecs
from vocable.codecs import Codec
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.build import build
from vocable.codecs.zoo import encodec
from vocable.codecs.zoo.encodec import PUBLISHED, encodec_24khz, encodec_32khz, encodec_48khz, state

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")  # the peers' own
HOP, BOOKS, SIZE = 40, 3, 16
TINY = {"dim": 4, "ratios": [5, 4, 2], "latent_dim": 6, "num_codebooks": BOOKS, "codebook_size": SIZE}
SEGMENTS = {"segment": 2400, "stride": 2376}  # of 48 kHz: a twentieth of a second, 1 % of it shared
RATES = {"24khz": 24_000, "48khz": 48_000, "32khz": 32_000}
BUILDS = {"24khz": encodec_24khz, "48khz": encodec_48khz, "32khz": encodec_32khz}
# the last are, for segments, one of a single sample, and a second one that is all overlap
LENGTHS = (1, 40, 97, 1203, 2377, 2400, 5001)

Peer = Callable[[Tensor, int], tuple[Tensor, Tensor | None, Tensor]]


class Case(NamedTuple):
    """A codec with a peer's weights, its config, and what the peer makes of wav and a number of codebooks."""

    codec: Codec
    config: dict[str, Any]
    peer: Peer
    checkpoint: dict[str, Tensor]


def options(kind: str) -> dict[str, Any]:
    return {**TINY, **(SEGMENTS if kind == "48khz" else {})}


def spread(model: nn.Module, encoder: Callable[[Tensor], Tensor], books: list[Any], wav: Tensor) -> None:
    """Random weights that matter, and entries from among what they make of wav, so that all are in use."""
    for name, parameter in model.named_parameters():
        if name.endswith(("weight_g", "original0")):
            parameter.data *= torch.empty_like(parameter).uniform_(0.9, 1.6)
        elif "norm." in name:
            parameter.data += 0.2 * torch.randn_like(parameter)
    residual = encoder(wav)[0].T
    for book in books:
        embed = residual[torch.randperm(len(residual))[:SIZE]]
        residual = residual - embed[torch.cdist(residual, embed).argmin(1)]
        for name, value in {"embed": embed, "embed_avg": embed, "inited": torch.ones(1)}.items():
            getattr(book, name).copy_(value)


def published_peer(kind: str, wav: Tensor) -> tuple[nn.Module, Peer]:
    """The package's own model, tiny: as it builds its own, but for the sizes."""
    peer = pytest.importorskip("encodec")
    seanet = {"channels": 2 if kind == "48khz" else 1, "dimension": 6, "n_filters": 4, "ratios": [5, 4, 2]}
    seanet |= {"norm": "time_group_norm" if kind == "48khz" else "weight_norm", "causal": kind == "24khz"}
    model = peer.EncodecModel(
        peer.modules.SEANetEncoder(**seanet),
        peer.modules.SEANetDecoder(**seanet),
        peer.quantization.ResidualVectorQuantizer(dimension=6, n_q=BOOKS, bins=SIZE),
        [1.0],
        RATES[kind],
        seanet["channels"],
        normalize=kind == "48khz",
        segment=0.05 if kind == "48khz" else None,
    ).eval()
    books = [layer._codebook for layer in model.quantizer.vq.layers]
    spread(model, model.encoder, books, wav)

    def run(wav: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor | None, Tensor]:
        model.bandwidth = (num_codebooks + 0.5) * 4 * model.frame_rate / 1000
        frames = model.encode(wav)
        scales = None if frames[0][1] is None else torch.cat([scale for _, scale in frames], 1)
        return torch.cat([codes for codes, _ in frames], -1), scales, model.decode(frames)

    return model, run


def transformers_peer(kind: str, wav: Tensor) -> tuple[nn.Module, Peer]:
    peer = pytest.importorskip("transformers")
    rate = RATES[kind]
    steps = [(k + 0.5) * 4 * rate / HOP / 1000 for k in range(1, BOOKS + 1)]  # 4 bits a codebook
    config = peer.EncodecConfig(
        target_bandwidths=steps,
        sampling_rate=rate,
        audio_channels=2 if kind == "48khz" else 1,
        normalize=kind == "48khz",
        chunk_length_s=0.05 if kind == "48khz" else None,
        overlap=0.01 if kind == "48khz" else None,
        hidden_size=6,
        num_filters=4,
        upsampling_ratios=[5, 4, 2],
        norm_type="time_group_norm" if kind == "48khz" else "weight_norm",
        use_causal_conv=kind == "24khz",
        codebook_size=SIZE,
        use_conv_shortcut=kind != "32khz",
    )
    model = peer.EncodecModel(config).eval()
    books = [layer.codebook for layer in model.quantizer.layers]
    spread(model, model.encoder, books, wav)

    def run(wav: Tensor, num_codebooks: int) -> tuple[Tensor, Tensor | None, Tensor]:
        codes, scales, extra = model.encode(wav, bandwidth=steps[num_codebooks - 1], return_dict=False)
        audio = model.decode(codes, scales, last_frame_pad_length=extra, return_dict=False)[0]
        flat = torch.cat(list(codes), -1)
        known = None if scales[0] is None else torch.cat(scales, 1)
        return flat[..., : flat.shape[-1] - extra], known, audio

    return model, run


def through_file(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.fixture
def voice(speech: Callable[[int, float], Tensor]) -> Callable[[str], Tensor]:
    """Speech at a codec's rate, with its channels, which differ."""

    def of(kind: str) -> Tensor:
        wav = speech(RATES[kind], 0.7)
        return torch.cat([wav, 0.5 * wav.roll(7, -1)], 1) if kind == "48khz" else wav

    return of


@pytest.fixture(params=["encodec-24khz", "encodec-48khz", *(f"transformers-{rate}" for rate in RATES)])
def case(request: pytest.FixtureRequest, voice: Callable[[str], Tensor]) -> Case:
    torch.manual_seed(0)
    package, kind = request.param.split("-")
    with torch.no_grad():
        model, peer = (published_peer if package == "encodec" else transformers_peer)(kind, voice(kind))
    checkpoint = through_file(model.state_dict())
    config = {"_target_": f"{encodec.__name__}.encodec_{kind}", **options(kind)}
    codec = build(config).eval()
    codec.load_state_dict(state(checkpoint), strict=True)
    return Case(codec, config, peer, checkpoint)


def assert_same(case: Case, wav: Tensor, found: Tensor, codes: Tensor) -> None:
    """Equal codes (B, K, N), but where float32 cannot tell which of two entries is nearer."""
    different = (found != codes).any(1).nonzero().tolist()
    if not different or case.codec.channels == 2:
        assert torch.equal(found, codes)
    for item, frame in different:
        mine, other = found[item, :, frame], codes[item, :, frame]
        k = int((mine != other).nonzero()[0])
        residual = case.codec.encoder(wav[item : item + 1])[0][0, :, frame].double()
        layers: Any = case.codec.quantizer.layers
        tables = [layer.table.double() for layer in layers]
        residual = residual - sum(tables[i][mine[i]] for i in range(k))
        distances = [float((residual - tables[k][code[k]]).norm()) for code in (mine, other)]
        assert distances[0] == pytest.approx(distances[1], abs=2e-6)


def agree(case: Case, wav: Tensor, num_codebooks: int = BOOKS) -> None:
    codes, scales, audio = case.peer(wav, num_codebooks)
    tokens = case.codec.encode(wav, num_codebooks=num_codebooks)
    assert_same(case, wav, tokens.codes, codes)
    tokens = replace(tokens, codes=codes)
    assert (tokens.scales is None) == (scales is None)
    if scales is not None:
        torch.testing.assert_close(tokens.scales, scales, rtol=1e-6, atol=0)
    mine, length = case.codec.decode(tokens), wav.shape[-1]
    assert mine.shape == wav.shape
    audio = audio[..., :length]
    assert (mine - audio).abs().max() <= 1e-5 * audio.abs().max()


@torch.no_grad()
def test_codes_and_audio_are_the_peers(case: Case) -> None:
    for length in LENGTHS:
        agree(case, 0.3 * torch.randn(1, case.codec.channels, length))
    agree(case, 0.1 * torch.randn(3, case.codec.channels, 977))
    for books in range(1, BOOKS + 1):
        agree(case, torch.rand(1, case.codec.channels, 2500), books)
    fold_weight_norm(case.codec)
    agree(case, 0.3 * torch.randn(1, case.codec.channels, 1203))


@torch.no_grad()
def test_speech_is_as_the_peers(case: Case, voice: Callable[[str], Tensor]) -> None:
    wav = voice(case.config["_target_"].rpartition("_")[2])
    agree(case, wav)
    assert min(len(book.unique()) for book in case.codec.encode(wav).codes[0]) >= SIZE // 2


def test_a_checkpoint_that_does_not_fit_is_refused(case: Case) -> None:
    with pytest.raises(ValueError, match="odd"):
        state({**case.checkpoint, "encoder.model.2.odd": torch.zeros(1)})
    short = state(dict(list(case.checkpoint.items())[1:]))
    with pytest.raises(RuntimeError, match="Missing key"):
        case.codec.load_state_dict(short, strict=True)


@torch.no_grad()
def test_saved_and_loaded_gives_the_same(case: Case, tmp_path: Any) -> None:
    wav = 0.3 * torch.randn(2, case.codec.channels, 2500)
    codecs.save(case.codec, case.config, tmp_path)
    once = codecs.load(tmp_path)
    codecs.save(once, case.config, tmp_path / "again")
    tokens = case.codec.encode(wav)
    # what was loaded has its weight norm folded, and is then saved with other tensors than it was read from
    for other, refolded in ((once, False), (codecs.load(tmp_path / "again"), True)):
        assert torch.equal(other.encode(wav).codes, tokens.codes)
        back = other.decode(tokens, any_weights=refolded)
        torch.testing.assert_close(back, case.codec.decode(tokens), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", BUILDS)
def test_hydra_builds_the_same(kind: str) -> None:
    hydra = pytest.importorskip("hydra.utils")
    config = json.loads(json.dumps({"_target_": f"{encodec.__name__}.encodec_{kind}", **options(kind)}))
    built, made = build(config), hydra.instantiate(config, _convert_="all")
    assert type(built) is type(made)
    shapes = [{key: value.shape for key, value in codec.state_dict().items()} for codec in (built, made)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_the_table_is_what_is_built(entry: Any) -> None:
    with torch.device("meta"):
        codec = entry.build(**entry.options)
    assert entry.parameters == sum(parameter.numel() for parameter in codec.parameters())
    numbers = (entry.sample_rate, entry.hop_length, entry.codebook_sizes)
    assert numbers == (codec.sample_rate, codec.hop_length, codec.codebook_sizes)


@pytest.mark.full
@torch.no_grad()
@pytest.mark.parametrize("kind", ["24khz", "48khz"])
def test_full_size_is_the_peers(kind: str, voice: Callable[[str], Tensor]) -> None:
    peer = pytest.importorskip("encodec")
    torch.manual_seed(0)
    model = getattr(peer.EncodecModel, f"encodec_model_{kind}")(pretrained=False).eval()
    wav = voice(kind)
    wav = torch.cat([wav, wav.flip(-1)], -1)
    z = model.encoder(wav[..., : RATES[kind]])
    for i, layer in enumerate(model.quantizer.vq.layers):
        book = layer._codebook
        book.embed.copy_(z.mean((0, 2)) * (i == 0) + z.std((0, 2)) * 0.9**i * torch.randn_like(book.embed))
        book.inited.fill_(1)
    codec = BUILDS[kind]().eval()
    codec.load_state_dict(state(through_file(model.state_dict())), strict=True)
    frames = model.encode(wav)
    tokens = codec.encode(wav)
    assert torch.equal(tokens.codes, torch.cat([codes for codes, _ in frames], -1))
    mine, audio = codec.decode(tokens), model.decode(frames)[..., : wav.shape[-1]]
    assert (mine - audio).abs().max() <= 1e-5 * audio.abs().max()


@pytest.mark.full
@torch.no_grad()
def test_full_size_of_32khz_is_transformers(voice: Callable[[str], Tensor]) -> None:
    peer = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"num_filters": 64, "upsampling_ratios": [8, 5, 4, 4], "codebook_size": 2048}
    kinds = {"use_causal_conv": False, "use_conv_shortcut": False, "target_bandwidths": [2.2]}
    model = peer.EncodecModel(peer.EncodecConfig(**sizes, **kinds, sampling_rate=32_000)).eval()
    wav = voice("32khz")
    z = model.encoder(wav)
    for i, layer in enumerate(model.quantizer.layers):
        embed = layer.codebook.embed
        embed.copy_(z.mean((0, 2)) * (i == 0) + z.std((0, 2)) * 0.9**i * torch.randn_like(embed))
    codec = encodec_32khz().eval()
    codec.load_state_dict(state(through_file(model.state_dict())), strict=True)
    codes, scales, _ = model.encode(wav, return_dict=False)
    tokens = codec.encode(wav)
    assert torch.equal(tokens.codes, codes[0])
    mine = codec.decode(tokens)
    audio = model.decode(codes, scales, return_dict=False)[0][..., : wav.shape[-1]]
    assert (mine - audio).abs().max() <= 1e-5 * audio.abs().max()
