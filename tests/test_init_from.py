from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from torch import nn

from vocable.codecs import Codec, save
from vocable.codecs.backbones.conv import fold_weight_norm
from vocable.codecs.build import build as build_codec
from vocable.codecs.zoo import table
from vocable.codecs.zoo.dac import dac
from vocable.codecs.zoo.encodec import encodec_24khz
from vocable.quantizers.rvq import factorized_rvq
from vocable.recipes.init import freeze, warm_start
from vocable.recipes.train import build, train

SMALL: dict[str, Any] = {
    "dim": 4,
    "ratios": (5, 4, 2),
    "latent_dim": 8,
    "num_codebooks": 4,
    "codebook_size": 16,
}
DAC: dict[str, Any] = {"sample_rate": 16000, "encoder_dim": 4, "latent_dim": 8, "decoder_dim": 32}
DAC |= {"strides": (2, 4, 5), "num_codebooks": 3, "codebook_size": 16, "codebook_dim": 4}


def node(name: str, **options: Any) -> dict[str, Any]:
    return {"_target_": f"vocable.codecs.zoo.{name}", **options}


def learned(codec: Codec) -> Codec:
    """As trained: no two values are an initialisation's, and the codebooks are set."""
    generator = torch.Generator().manual_seed(1)
    for key, tensor in codec.state_dict().items():
        noise = torch.rand(tensor.shape, generator=generator)
        tensor.copy_(torch.ones(()) if key.endswith("inited") else tensor.float() + 0.02 * noise)
    return codec


def small(**options: Any) -> Codec:
    return encodec_24khz(**SMALL | options)


def snaky(**options: Any) -> Codec:
    return dac(**DAC | options)


def saved(codec: Codec, folder: Path, config: dict[str, Any]) -> Path:
    save(codec, config, folder)
    return folder


def encodec(folder: Path, fold: bool = False, **options: Any) -> tuple[Codec, Path]:
    codec = learned(small(**options))
    if fold:
        fold_weight_norm(codec)
    return codec, saved(codec, folder / "source", node("encodec.encodec_24khz", **SMALL | options))


def snake(folder: Path, **options: Any) -> tuple[Codec, Path]:
    codec = learned(snaky(**options))
    return codec, saved(codec, folder / "source", node("dac.dac", **DAC | options))


def codes_of(codec: Codec) -> torch.Tensor:
    wav = torch.randn(1, 1, 1280, generator=torch.Generator().manual_seed(0))
    return codec.eval().encode(wav).codes


def same_layer(codec: Codec, path: str, source: Codec, theirs: str | None = None) -> bool:
    own, other = (
        part.state_dict() for part in (codec.get_submodule(path), source.get_submodule(theirs or path))
    )
    return own.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in own.items())


def test_the_same_architecture_takes_all(tmp_path: Path):
    source, folder = encodec(tmp_path)
    codec = small()
    found = warm_start(codec, folder)
    for key, value in codec.state_dict().items():
        assert torch.equal(value, source.state_dict()[key]), key
    assert found.lines()[0].startswith("encoder: 15 of 15 layers")
    assert len(found.lines()) == 3


def test_a_folded_source_sets_norms_and_directions_exactly(tmp_path: Path):
    source, folder = encodec(tmp_path, fold=True)
    codec = small()
    warm_start(codec, folder)
    conv = codec.get_submodule("encoder.layers.layers.0.conv")
    original = conv.get_parameter("parametrizations.weight.original0")
    weight = source.state_dict()["encoder.layers.layers.0.conv.weight"]
    assert torch.equal(original, weight.norm(dim=(1, 2), keepdim=True))
    fold_weight_norm(codec)
    for key, value in codec.state_dict().items():
        torch.testing.assert_close(value, source.state_dict()[key], rtol=3e-7, atol=0)
    assert torch.equal(codes_of(codec), codes_of(source))


def test_a_normed_source_sets_plain_weights(tmp_path: Path):
    source, folder = encodec(tmp_path)
    codec = small()
    fold_weight_norm(codec)
    warm_start(codec, folder)
    fold_weight_norm(source)
    for key, value in codec.state_dict().items():
        torch.testing.assert_close(value, source.state_dict()[key], rtol=3e-7, atol=0)


def test_a_row_of_zeros_stays_one(tmp_path: Path):
    source = learned(small())
    fold_weight_norm(source)
    source.state_dict()["encoder.layers.layers.0.conv.weight"][1] = 0
    codec = small()
    warm_start(codec, saved(source, tmp_path, node("encodec.encodec_24khz", **SMALL)))
    fold_weight_norm(codec)
    assert torch.equal(codec.state_dict()["encoder.layers.layers.0.conv.weight"][1], torch.zeros(1, 7))


@pytest.mark.parametrize("count", [2, 6])
def test_another_number_of_codebooks(tmp_path: Path, count: int):
    source, folder = encodec(tmp_path)
    codec = small(num_codebooks=count)
    found = warm_start(codec, folder)
    inited = [bool(codec.state_dict()[f"quantizer.layers.{k}.inited"]) for k in range(count)]
    assert inited == [k < 4 for k in range(count)]
    assert all(same_layer(codec, f"quantizer.layers.{k}", source) for k in range(min(count, 4)))
    beyond = "only in the source: quantizer.layers.2, quantizer.layers.3"
    fresh = "  not in the source: quantizer.layers.4, quantizer.layers.5"
    assert found.lines()[-1] == beyond if count == 2 else fresh in found.lines()


def test_another_hop_leaves_out_what_has_another_shape(tmp_path: Path):
    source, folder = encodec(tmp_path)
    codec = small(ratios=(8, 4, 2))
    before = {key: value.clone() for key, value in codec.state_dict().items()}
    found = warm_start(codec, folder)
    fresh = found.own.keys() - found.pairs.keys()
    assert fresh == {"encoder.layers.layers.9.conv", "decoder.layers.layers.3.conv"}
    assert (
        "  encoder.layers.layers.9.conv is {'bias': (32,), 'weight': (32, 16, 16)}, in the source"
        in "".join(found.lines())
    )
    for key, value in codec.state_dict().items():
        kept = before if key.startswith(tuple(fresh)) else source.state_dict()
        assert torch.equal(value, kept[key]), key


def test_layers_that_moved_match_in_their_order(tmp_path: Path):
    source, folder = snake(tmp_path)
    # one block less: the encoder's end, and the decoder's blocks, have other numbers
    codec = snaky(strides=(2, 4), decoder_dim=16)
    found = warm_start(codec, folder)
    assert same_layer(codec, "encoder.layers.layers.2", source)
    moved = "decoder.layers.layers.2.layers.3.layer.layers.1.conv"
    assert found.pairs[moved] == moved.replace("layers.2.layers.3", "layers.3.layers.3", 1)
    assert same_layer(codec, moved, source, found.pairs[moved])
    assert found.pairs["decoder.layers.layers.4.conv"] == "decoder.layers.layers.5.conv"


def test_a_codebook_of_another_size_is_set_by_the_first_batch_again(tmp_path: Path):
    _, folder = snake(tmp_path)
    codec = snaky()
    for size, inited in ((16, True), (32, False)):
        codec.quantizer = factorized_rvq(8, 3, size, 4, kmeans_init=True)
        found = warm_start(codec, folder)
        assert [bool(codec.state_dict()[f"quantizer.layers.{k}.inited"]) for k in range(3)] == [inited] * 3
        assert found.pairs.keys() >= {"quantizer.layers.0.in_proj", "quantizer.layers.0.out_proj"}


def test_another_sample_rate_takes_all(tmp_path: Path):
    source, folder = snake(tmp_path)
    codec = snaky(sample_rate=24000)
    warm_start(codec, folder)
    assert torch.equal(codes_of(codec), codes_of(source))


def test_nothing_that_fits_is_an_error(tmp_path: Path):
    _, folder = snake(tmp_path)
    with pytest.raises(ValueError, match="none fits the codec's"):
        warm_start(small(dim=6, latent_dim=12), folder)


def test_other_sources_are_refused(tmp_path: Path):
    codec = small()
    with pytest.raises(ValueError, match=r"no codec 'encodec-23khz'; accepted: .*encodec-24khz"):
        warm_start(codec, "encodec-23khz")
    (tmp_path / "notes.txt").write_text("no checkpoint")
    with pytest.raises(ValueError, match="accepted: a checkpoint of a training"):
        warm_start(codec, tmp_path / "notes.txt")


def test_frozen_parts_keep_still():
    codec = small().train()
    freeze(codec, ["encoder", "quantizer.layers.0"])
    assert not any(parameter.requires_grad for parameter in codec.encoder.parameters())
    assert all(parameter.requires_grad for parameter in codec.decoder.parameters())
    assert [codec.get_submodule(f"quantizer.layers.{k}").training for k in range(4)] == [
        False,
        True,
        True,
        True,
    ]
    assert all(part.training for part in codec.encoder.modules() if isinstance(part, nn.RNNBase))


@pytest.mark.parametrize("name", ["encodr", "", "encoder.layers.99"])
def test_freezing_what_is_not_there_is_refused(name: str):
    with pytest.raises(ValueError, match="accepted: encoder, quantizer, decoder, or a module in these"):
        freeze(small(), [name])


def test_freezing_all_is_refused():
    with pytest.raises(ValueError, match="all of the codec"):
        freeze(small(), ["encoder", "quantizer", "decoder"])


def composed(folder: Path, *overrides: str) -> DictConfig:
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        quick = (
            "experiment=smoke",
            f"run_dir={folder}",
            "steps=2",
            "validate_every=1",
            "data.valid_seconds=0.2",
        )
        return compose("train", overrides=[*quick, *overrides])


ZOO = ["codec=zoo", "codec.name=encodec-24khz", "sample_rate=24000", "+codec.dim=4", "+codec.latent_dim=8"]
ZOO += ["+codec.num_codebooks=4", "+codec.codebook_size=16", "+codec.ratios=[5,4,2]"]


def test_a_run_starts_from_a_folder_with_parts_frozen(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    source, folder = encodec(tmp_path)
    with caplog.at_level("INFO"):
        trainer = train(composed(tmp_path / "a", *ZOO, f"init_from={folder}", "freeze=[encoder,quantizer]"))
    assert "encoder: 15 of 15 layers" in caplog.text
    module: Any = trainer.lightning_module
    for part in ("encoder", "quantizer"):
        assert same_layer(module.codec, part, source)
        assert same_layer(module.averaged, part, source)
    assert not same_layer(module.codec, "decoder", source)
    assert len(trainer.optimizers[0].param_groups[0]["params"]) == len(
        list(module.codec.decoder.parameters())
    )
    # the next run has its architecture, and its averaged weights
    cfg = composed(
        tmp_path / "b", "codec=same", f"init_from={tmp_path}/a/checkpoints/last.ckpt", "sample_rate=24000"
    )
    second, _ = build(cfg)
    assert second.codec_config == {
        "_target_": "vocable.codecs.zoo.table.codec",
        "name": "encodec-24khz",
    } | SMALL | {"ratios": [5, 4, 2]}
    warm_start(second.codec, cfg.init_from)
    assert same_layer(second.codec, "decoder", module.averaged)


def test_the_data_has_to_have_the_codecs_rate(tmp_path: Path):
    with pytest.raises(ValueError, match="accepted: the codec's, sample_rate=24000 channels=1"):
        build(composed(tmp_path, *[option for option in ZOO if not option.startswith("sample_rate")]))


def test_a_published_codec_is_built_by_its_name():
    codec = table.codec("dac-16khz", num_codebooks=2, encoder_dim=2, decoder_dim=16)
    assert (codec.sample_rate, codec.hop_length, codec.num_codebooks) == (16000, 320, 2)
    with pytest.raises(ValueError, match=r"no published codec 'dac'; accepted: .*dac-16khz"):
        table.codec("dac")


def test_a_codec_without_lookahead_looks_back_as_its_source_did(tmp_path: Path):
    options: dict[str, Any] = {"latent_dim": 8, "dim": 16, "blocks": 2, "bands": 4}

    def config(**more: Any) -> dict[str, Any]:
        return {
            "_target_": "vocable.codecs.codec.Codec",
            "encoder": {"_target_": "vocable.codecs.backbones.gainshape.GainShapeEncoder", **options, **more},
            "quantizer": {"_target_": "vocable.quantizers.fsq.FSQ", "dim": 8, "levels": [4, 4]},
            "decoder": {"_target_": "vocable.codecs.backbones.gainshape.GainShapeDecoder", **options, **more},
            "sample_rate": 16000,
        }

    source = learned(build_codec(config()))
    folder = saved(source, tmp_path, config())
    causal = build_codec(config(lookahead=False))
    warm_start(causal, folder)
    for path in ("encoder.blocks.1", "decoder.blocks.0"):
        own, theirs = (codec.get_submodule(path) for codec in (causal, source))
        theirs.get_submodule("depthwise").weight.data[..., 4:] = 0  # type: ignore[operator]  # later frames
        x = torch.randn(2, 9, 16)
        torch.testing.assert_close(own(x), theirs(x))
    again = build_codec(config(lookahead=False))
    warm_start(again, saved(causal, tmp_path / "causal", config(lookahead=False)))
    assert same_layer(again, "decoder.blocks.0", causal)
