"""What the tests of codecs share: a small causal codec, and its config."""

from typing import Any

import pytest
import torch

from vocable.codecs import Codec
from vocable.codecs.build import build

RATE, HOP, SIZES = 16000, 10, (16, 16, 12)


@pytest.fixture
def node() -> dict[str, Any]:
    """A causal codec's config: 16 kHz, hop 10, codebooks of 16, 16 and 12, weight norm."""
    part = "vocable.codecs.backbones.dac"
    book = "vocable.quantizers.vq.FactorizedVQ"
    layers = [{"_target_": book, "dim": 8, "codebook_size": size, "codebook_dim": 4} for size in SIZES]
    shape = {"latent_dim": 8, "causal": True}
    return {
        "_target_": "vocable.codecs.codec.Codec",
        "encoder": {"_target_": f"{part}.DACEncoder", "dim": 4, "strides": [2, 5], **shape},
        "quantizer": {"_target_": "vocable.quantizers.rvq.RVQ", "layers": layers},
        "decoder": {"_target_": f"{part}.DACDecoder", "dim": 16, "strides": [5, 2], **shape},
        "sample_rate": RATE,
    }


@pytest.fixture
def codec(node: dict[str, Any]) -> Codec:
    torch.manual_seed(0)
    return build(node).eval()
