"""SemantiCodec against golden values of the official code, whose package can't be installed."""

import io
import json
import re
import runpy
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vocable import codecs
from vocable.codecs.build import build
from vocable.codecs.zoo.semanticodec import PUBLISHED, SemantiCodec, semanticodec, state

ASSETS = Path(__file__).parent / "assets"
INPUTS = runpy.run_path(str(ASSETS / "semanticodec_inputs.py"))
fill, signal, RATES, LENGTHS = (INPUTS[name] for name in ("fill", "signal", "RATES", "LENGTHS"))
CENTROIDS, STEPS = INPUTS["CENTROIDS"], INPUTS["STEPS"]

Weights = dict[str, Tensor]


def options(sizes: str) -> dict[str, int]:
    """Arguments of the build function that make it "TINY" or "FULL"."""
    names = {"unet": "unet_channels", "vae": "vae_channels", "vocoder": "vocoder_channels"}
    return {names.get(str(key), str(key)): value for key, value in INPUTS[sizes].items()}


@cache
def golden() -> Weights:
    """What the official code makes of the inputs: assets/make_semanticodec.py."""
    values = load_file(ASSETS / "semanticodec.safetensors")
    return {name: value.long() if ".codes" in name else value for name, value in values.items()}


@cache
def layout(rate: int, sizes: str) -> dict[str, dict[str, tuple[int, ...]]]:
    """Shapes of the official files' tensors, by file and name, at a token rate, "TINY" or "FULL"."""
    found: dict[str, dict[str, tuple[int, ...]]] = {"encoder": {}, "decoder": {}}
    for line in (ASSETS / "semanticodec_keys.txt").read_text().splitlines():
        file, name, *columns = line.split()
        shapes = columns[sizes == "FULL"].split(",")
        shape = shapes[RATES.index(rate) if len(shapes) > 1 else 0]
        if shape != "none":
            found[file][name] = () if shape == "scalar" else tuple(map(int, shape.split("x")))
    unet = r"model\.diffusion_model\.(.+)"
    for match in [match for name in found["decoder"] if (match := re.fullmatch(unet, name))]:
        found["decoder"]["model_ema.diffusion_model" + match[1].replace(".", "")] = ()
    return found


def checkpoint(rate: int, sizes: str = "TINY", decodes: bool = True) -> tuple[Weights, Weights, Tensor]:
    """The three official files with the weights of the golden values; zeros where they play no part."""
    names = layout(rate, sizes)
    unused = r"model_ema.+|first_stage_model\.encoder.+|audiomae\.model\.decoder.+"
    encoder, decoder = (
        {
            name: torch.zeros(shape) if skipped or re.match(unused, name) else fill(name, shape)
            for name, shape in names[file].items()
        }
        for file, skipped in (("encoder", False), ("decoder", not decodes))
    )
    if sizes == "FULL":
        return encoder, decoder, INPUTS["normal"]("centroids", CENTROIDS, INPUTS["FULL"]["dim"])
    return encoder, decoder, golden()[f"{rate}.centroids"]


def written(weights: Weights) -> Weights:
    """Through a file, as the official ones are read."""
    file = io.BytesIO()
    torch.save(weights, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@cache
def codec(rate: int = 100, sizes: str = "TINY", decodes: bool = True) -> SemantiCodec:
    made = semanticodec(rate, CENTROIDS, **options(sizes), steps=STEPS)
    encoder, decoder, centroids = checkpoint(rate, sizes, decodes)
    made.load_state_dict(state(written(encoder), decoder, centroids), strict=True)
    return made.eval()


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Within `tolerance` of the peak."""
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


@pytest.mark.parametrize("rate", RATES)
def test_codes_are_the_official_ones(rate: int, speech: Callable[[int, float], Tensor]) -> None:
    made = codec(rate, decodes=rate == 100)
    wavs = {str(length): signal(length)[None, None] for length in LENGTHS}
    wavs["speech"] = speech(16_000, 49_999 / 16_000)
    for name, wav in wavs.items():
        tokens = made.encode(wav)
        expected = golden()[f"{rate}.codes.{name}"]
        assert torch.equal(tokens.codes, expected), name
        assert tokens.frames.tolist() == [expected.shape[-1]]
    assert len(golden()[f"{rate}.codes.170001"][0, 0].unique()) > 32
    assert len(golden()[f"{rate}.codes.170001"][0, 1].unique()) > 64


@torch.no_grad()
@pytest.mark.parametrize("part", ["audiomae", "unet", "vae", "vocoder"])
def test_parts_are_the_official_ones(part: str) -> None:
    made, given = codec(), INPUTS["part_inputs"]()
    found = {
        "audiomae": lambda x: made.encoder.audiomae(x)[:, ::8],
        "unet": lambda x: made.decoder.unet(
            x, torch.tensor([1, 981]), made.decoder.unet.read(given["context"])
        ),
        "vae": made.decoder.vae,
        "vocoder": made.decoder.vocoder,
    }[part](given[part])
    assert_close(found, golden()[part])


def test_audio_is_the_official_one() -> None:
    # the steps of the diffusion amplify rounding, which differs with the number of threads
    assert_close(codec().decode(golden()["100.codes.7679"])[..., ::3], golden()["100.wav.7679"], 2e-5)


@pytest.mark.full
def test_audio_without_guidance_is_the_official_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec().decoder, "guidance", 1.0)
    assert_close(codec().decode(golden()["100.codes.2560"])[..., ::3], golden()["100.wav.alone"])


@pytest.mark.full
@pytest.mark.parametrize("rate", RATES)
def test_audio_of_two_windows_is_the_official_one(rate: int) -> None:
    codes = golden()[f"{rate}.codes.170001"][..., : 530 * rate // 100]
    # these weights amplify rounding: the official audio is itself 1.2e-5 away from that of float64
    assert_close(codec(rate).decode(codes)[..., ::160], golden()[f"{rate}.wav.long"], 3e-5)


@pytest.mark.full
def test_full_size_is_the_official_one() -> None:
    made = codec(100, "FULL")
    assert torch.equal(made.encode(signal(60_000)[None, None]).codes, golden()["full.codes"])
    assert_close(made.decode(golden()["full.codes"])[..., ::40], golden()["full.wav"])


def test_an_item_of_a_batch_has_the_codes_that_it_has_alone() -> None:
    wav = torch.stack([signal(9000), signal(9001)[1:]])[:, None]
    tokens = codec().encode(wav, lengths=[9000, 3000])
    assert torch.equal(tokens.codes[:1], codec().encode(wav[:1]).codes)
    assert torch.equal(tokens[1].codes, codec().encode(wav[1:, :, :3000]).codes)


def test_segments_are_encoded_one_by_one() -> None:
    sizes: list[int] = []
    hook = codec().encoder.audiomae.register_forward_hook(lambda _, x, __: sizes.append(len(x[0])))
    codec().encode(signal(2 * 163_840 + 1)[None, None])
    hook.remove()
    assert sizes == [1, 1, 1]


@pytest.mark.parametrize("rate", RATES)
def test_frames_hold_every_sample(rate: int) -> None:
    encoder = codec(rate, decodes=rate == 100).encoder
    for length in [1, 2559, *(2560 * i + j for i in range(1, 300) for j in (-1, 0, 1))]:
        frames = encoder.frames(length)
        assert length <= frames * encoder.hop_length <= length + 2560 + encoder.hop_length


@pytest.mark.parametrize("rate", RATES)
def test_the_full_layout_fills_the_codec_to_the_last_tensor(rate: int) -> None:
    with torch.device("meta"):
        files = {
            file: {name: torch.empty(shape) for name, shape in names.items()}
            for file, names in layout(rate, "FULL").items()
        }
        made = semanticodec(rate)
        named = state(files["encoder"], files["decoder"], torch.empty(16384, made.quantizer.dim - 1))
    own = {name: tensor.shape for name, tensor in made.state_dict().items()}
    assert own == {name: tensor.shape for name, tensor in named.items()}
    entries = [entry for entry in PUBLISHED if entry.options["token_rate"] == rate]
    assert [entry.codebook_sizes for entry in entries] == [(2**i, 8192) for i in (12, 13, 14, 15)]
    for entry in entries:
        assert entry.parameters == sum(parameter.numel() for parameter in made.parameters())
        assert (entry.sample_rate, entry.hop_length) == (made.sample_rate, made.hop_length)
        assert entry.options["semantic_size"] == entry.codebook_sizes[0]
        # bit rates as the paper has them, 0.31 to 1.40 kbit/s
        bits = sum(size.bit_length() - 1 for size in entry.codebook_sizes) * rate / 2
        assert 312 <= bits <= 1400


def test_names_are_the_official_settings() -> None:
    names = [entry.name for entry in PUBLISHED]
    assert len(set(names)) == 12
    assert {"semanticodec-25", "semanticodec-50-4096", "semanticodec-100-32768"} <= set(names)
    addresses = [source.address for entry in PUBLISHED for source in entry.sources]
    assert all(address.startswith("https://huggingface.co/haoheliu/SemantiCodec/") for address in addresses)
    assert PUBLISHED[1].sources[2].file == "codebook_idx/combine_128_audioset_dominate/codebook_4096_0.npy"


def test_a_wrong_checkpoint_is_refused() -> None:
    encoder, decoder, centroids = checkpoint(100, decodes=False)
    with pytest.raises(ValueError, match=r"1 tensors that are not this codec's: discriminator\.bias"):
        state(encoder, decoder | {"discriminator.bias": torch.zeros(1)}, centroids)
    with pytest.raises(ValueError, match=r"not this codec's: quantizer\.zero"):
        state(encoder | {"quantizer.zero": torch.zeros(1)}, decoder, centroids)
    del decoder["first_stage_model.vocoder.conv_pre.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*decoder\.vocoder\.conv_in\.bias"):
        # one of its own: what fits is loaded before the rest is refused
        codec.__wrapped__(decodes=False).load_state_dict(state(encoder, decoder, centroids))


def test_saved_it_loads_again_with_the_same_codes(tmp_path: Path) -> None:
    target = f"{semanticodec.__module__}.semanticodec"
    config = {"_target_": target, "semantic_size": CENTROIDS, **options("TINY"), "steps": STEPS, "seed": 3}
    codecs.save(codec(), config, tmp_path)
    again = codecs.load(tmp_path)
    wav = signal(7679)[None, None]
    assert torch.equal(again.encode(wav).codes, codec().encode(wav).codes)
    assert (again.decoder.steps, again.decoder.seed) == (STEPS, 3)
    assert (again.frame_rate, again.token_rate(), again.num_codebooks) == (50.0, 100.0, 2)
    assert json.loads((tmp_path / "config.json").read_text()) == config


def test_build_and_hydra_build_the_same() -> None:
    utils = pytest.importorskip("hydra.utils")
    config = {**PUBLISHED[2].config, "semantic_size": CENTROIDS, **options("TINY")}
    with torch.device("meta"):
        ours, theirs = build(config), utils.instantiate(config)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    with pytest.raises(ValueError, match="token_rate is 75; accepted: 25, 50, 100"):
        semanticodec(75)


def test_one_code_alone_and_streams_are_refused() -> None:
    with pytest.raises(ValueError, match="num_codebooks is 1; accepted: 2, decoding needs both"):
        codec().encode(signal(2560)[None, None], num_codebooks=1)
    with pytest.raises(ValueError, match="num_codebooks is 1; accepted: 2"):
        codec().decode(torch.zeros(1, 1, 8, dtype=torch.int64))
    with pytest.raises(AttributeError, match="its encoder is not causal"):
        codec().stream()
