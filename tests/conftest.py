"""What the tests of codecs share: a small causal codec and its config, real speech, lively weights."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vocable.benchmarks import small
from vocable.codecs import Codec, Tokens
from vocable.codecs.audio import read, resample, write
from vocable.codecs.build import build
from vocable.codecs.cli import clip

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the workers share the cores,
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # with the processes that they start

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


@pytest.fixture(scope="session")
def small_codec() -> Callable[[str], Codec]:
    """`small_codec(name)`, name of `small.NAMES`: a codec of the zoo at reduced size, one for all tests."""
    made: dict[str, Codec] = {}

    def of(name: str) -> Codec:
        if name in small.NEEDS_TRANSFORMERS:
            pytest.importorskip("transformers")
        if name not in made:
            made[name] = small.small_codec(name)
        return made[name]

    return of


@pytest.fixture(scope="session")
def speech() -> Callable[[int, float], Tensor]:
    """The recording of the package, past its first half second: `speech(rate, seconds)` is (1, 1, T)."""
    wav, rate = read(clip())

    def at(sample_rate: int, seconds: float) -> Tensor:
        part = wav[:, rate // 2 :]
        part = part if sample_rate == rate else resample(part, rate, sample_rate)
        return part[None, :, : round(seconds * sample_rate)].clone()

    return at


@pytest.fixture(scope="session")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, float], Path]:
    """`stereo(rate, seconds)`: a file of the recording, the second channel softer and delayed."""

    def at(rate: int, seconds: float) -> Path:
        path = tmp_path_factory.mktemp("stereo") / "speech.flac"
        wav, _ = read(clip(), rate)
        wav = wav[:, rate // 2 :][:, : int(seconds * rate) + 13]
        write(path, torch.cat([wav, 0.5 * wav.roll(100, -1)]), rate)
        return path

    return at


@pytest.fixture(scope="session")
def check_same() -> Callable[[Tokens, Tokens], None]:
    """`check_same(found, wanted)`: tokens are equal in all that they hold."""

    def check(found: Tokens, wanted: Tokens) -> None:
        assert torch.equal(found.codes, wanted.codes)
        for name in ("lengths", "source_lengths", "frames", "frame_counts", "scales"):
            one, other = getattr(found, name), getattr(wanted, name)
            assert (one is None) == (other is None), name
            assert one is None or torch.equal(one, other), name
        assert (found.source_rate, found.weights) == (wanted.source_rate, wanted.weights)
        assert (found.codec, found.codebook_sizes) == (wanted.codec, wanted.codebook_sizes)

    return check


@pytest.fixture(scope="session")
def randomize() -> Callable[..., nn.Module]:
    """Adds noise to the constant parameters and buffers of a fresh module: biases, scales, norms."""

    def of(module: nn.Module, seed: int = 0) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point() and tensor.numel() and tensor.min() == tensor.max():
                tensor.data += 0.1 * torch.randn(tensor.shape, generator=generator)
        return module

    return of
