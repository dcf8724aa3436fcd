"""Every quantizer of the recipes' configuration trains a small codec."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vocable.codecs.build import build
from vocable.quantizers.dropout import PerBatch
from vocable.quantizers.rvq import RVQ
from vocable.recipes import conf

GROUPS = sorted(path.stem for path in (Path(str(conf.__file__)).parent / "quantizer").glob("*.yaml"))
CONVNEXT = ("encoder", "decoder")
CODEC = [f"{part}.{size}" for part in CONVNEXT for size in ("dim=16", "blocks=1", "fine_blocks=1")]
SNAC = ["encoder=snac", "encoder.dim=4", "encoder.strides=[2,4]"]
SNAC += ["decoder=snac", "decoder.dim=16", "decoder.strides=[4,2]", "latent_dim=16"]
FEW = ["quantizer.num_codebooks=3", "quantizer.codebook_size=16"]
STACK = [f"quantizer.{part}.{size}" for part in ("first", "rest") for size in ("dim=8", "codebook_size=16")]
# what differs from a codec with few codebooks and a small backbone
SMALL = {
    "vq": [*CODEC, "quantizer.codebook_size=16"],
    "vq_ema": [*CODEC, "quantizer.codebook_size=16"],
    "fsq": CODEC,
    "fsq_twice_bounded": CODEC,
    "fsq_dithered": [*CODEC, "latent_dim=6"],
    "fsq_residual": [*CODEC, "latent_dim=6"],
    "simvq": [*CODEC, "quantizer.num_quantizers=2", "quantizer.codebook_size=16"],
    "split": [*CODEC, *STACK],
    "multiscale": [*SNAC, "quantizer.codebook_size=16"],
}


@pytest.mark.parametrize("group", GROUPS)
def test_a_step_of_training(group: str) -> None:
    if group == "simvq":
        pytest.importorskip("vector_quantize_pytorch")
    overrides = ["data.train=data", "latent_dim=16", f"quantizer={group}", *SMALL.get(group, [*CODEC, *FEW])]
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        cfg = compose("train", overrides=overrides)
    torch.manual_seed(0)
    codec = instantiate(cfg.codec, _convert_="all").train()
    wav = 0.1 * torch.randn(4, 1, 3200)
    before = [parameter.detach().clone() for parameter in codec.parameters()]
    optimizer = torch.optim.Adam(codec.parameters(), 1e-3)
    out = codec(wav)
    ((out.wav - wav).pow(2).mean() + out.loss).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in codec.encoder.parameters())
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, codec.parameters(), strict=True))
    assert {"codebook_use", "perplexity", "entropy", "codebooks/entropy/0"} <= out.metrics.keys()
    assert all(value.isfinite() for value in out.metrics.values())
    codec.eval()
    with torch.no_grad():
        codes = codec(wav).codes
        assert codec.quantizer.decode(codes).isfinite().all()
    again = build(OmegaConf.to_container(cfg.codec, resolve=True)).eval()
    again.load_state_dict(codec.state_dict())
    assert torch.equal(again(wav).codes, codes)


def test_dropout_of_a_group_can_change() -> None:
    """From a number to an object, as an experiment's file may say."""
    overrides = ["data.train=data", "quantizer=rvq_ema_per_batch", "quantizer.dropout.counts=[2,4]"]
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        quantizer = instantiate(compose("train", overrides=overrides).quantizer, _convert_="all")
    assert isinstance(quantizer, RVQ)
    assert isinstance(quantizer.dropout, PerBatch)
    assert quantizer.dropout.counts == (2, 4)
