"""Lyra V2. Its three files are not in the repository: VOCABLE_LYRA names a folder with them."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("ai_edge_litert")
pytest.importorskip("pesq")
pytest.importorskip("pystoi")
if "VOCABLE_LYRA" not in os.environ:
    pytest.skip(
        "VOCABLE_LYRA is not set to a folder with google/lyra's three tflite files", allow_module_level=True
    )

from vocable.benchmarks.baselines import Lyra, baseline
from vocable.benchmarks.baselines.lyra import FILES
from vocable.benchmarks.subjects import Made
from vocable.codecs.audio import read
from vocable.codecs.cli import clip
from vocable.codecs.delay import delay
from vocable.codecs.measure import pesq_wb, stoi

FOLDER, RATE = Path(os.environ["VOCABLE_LYRA"]), 16_000
BIT_RATES = {3200: 16, 6000: 30, 9200: 46}


@pytest.fixture(scope="module")
def speech() -> Tensor:
    return read(clip())[0][0, :64_000]


@pytest.fixture(scope="module")
def made(speech: Tensor) -> dict[int, Made]:
    """By bit rate."""
    return {rate: baseline(f"lyra:{rate / 1000}:{FOLDER}").reconstruct(speech, RATE) for rate in BIT_RATES}


def test_quality_rises_with_the_rate(speech: Tensor, made: dict[int, Made]) -> None:
    scores = [pesq_wb(speech, made[rate].wav, RATE) for rate in BIT_RATES]
    assert scores == sorted(scores)
    assert scores == pytest.approx([2.17, 2.72, 2.94], abs=0.25)  # kernels differ between versions
    scores = [stoi(speech, made[rate].wav, RATE) for rate in BIT_RATES]
    assert scores == sorted(scores)
    assert scores == pytest.approx([0.89, 0.92, 0.93], abs=0.02)


@pytest.mark.parametrize(("bit_rate", "count"), BIT_RATES.items())
def test_tokens(speech: Tensor, made: dict[int, Made], bit_rate: int, count: int) -> None:
    lyra = Lyra(bit_rate, FOLDER)
    assert (lyra.frame_rate, lyra.codebook_sizes, lyra.token_rate) == (50.0, (16,) * count, 50.0 * count)
    codes = made[bit_rate].codes
    assert codes is not None
    assert (codes.shape, codes.dtype) == ((count, 200), torch.int64)
    assert (int(codes.min()), int(codes.max())) == (0, 15)
    assert made[bit_rate].bit_rate == bit_rate == 50 * 4 * count
    full = made[9200].codes
    assert full is not None
    assert torch.equal(codes, full[:count])  # the quantizer is residual: more codebooks only add


def test_no_delay(speech: Tensor, made: dict[int, Made]) -> None:
    for each in made.values():
        assert abs(delay(speech, each.wav, RATE)) < 0.1


def test_a_recording_is_coded_without_memory_of_the_last(speech: Tensor) -> None:
    lyra = Lyra(6000, FOLDER)
    first = lyra.reconstruct(speech[:8000], RATE).wav
    lyra.reconstruct(speech[8000:16_000], RATE)
    assert torch.equal(lyra.reconstruct(speech[:8000], RATE).wav, first)


def test_any_length_and_rate_is_kept(speech: Tensor) -> None:
    lyra = Lyra(3200, FOLDER)
    for samples, frames in ((1, 1), (320, 1), (321, 2)):
        each = lyra.reconstruct(speech[:samples], RATE)
        assert each.wav.shape == (samples,)
        assert each.codes is not None
        assert each.codes.shape == (16, frames)
    assert lyra.reconstruct(speech[:1000], 44_100).wav.shape == (1000,)


def test_the_identity_is_of_the_files(tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(FOLDER / name, tmp_path / name)
    assert Lyra(3200, tmp_path).identity == Lyra(3200, FOLDER).identity != Lyra(6000, FOLDER).identity
    (tmp_path / FILES[2]).chmod(0o644)
    with (tmp_path / FILES[2]).open("ab") as file:
        file.write(b"\0")
    assert Lyra(3200, tmp_path).identity != Lyra(3200, FOLDER).identity
    (tmp_path / FILES[1]).unlink()
    with pytest.raises(ValueError, match=r"lacks quantizer\.tflite; accepted: a folder with"):
        Lyra(3200, tmp_path)
