"""Tokens, and their way through a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vocable.codecs import Tokens

shared = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def make(lengths: list[int], sizes: tuple[int, ...], hop: int, seed: int = 0, **options: Any) -> Tokens:
    random = np.random.default_rng(seed)
    counts = options.get("frame_counts")
    frames = [-(-n // hop) for n in lengths] if counts is None else counts.tolist()
    codes = np.zeros((len(lengths), len(sizes), max(frames)), np.int64)
    for i, own in enumerate(frames):
        codes[i, :, :own] = random.integers(0, np.array(sizes)[:, None], (len(sizes), own))
    return Tokens(torch.from_numpy(codes), torch.tensor(lengths), 16000, hop, sizes, **options)


def equal(a: Tokens, b: Tokens) -> bool:
    same = {name: getattr(a, name) == getattr(b, name) for name in ("sample_rate", "hop_length", "codec")}
    same["books"] = a.codebook_sizes == b.codebook_sizes and a.source_rate == b.source_rate
    same["codes"] = torch.equal(a.codes, b.codes) and torch.equal(a.lengths, b.lengths)
    for name in ("source_lengths", "frame_counts", "scales"):
        mine, yours = getattr(a, name), getattr(b, name)
        same[name] = mine is yours is None or torch.equal(mine, yours)
    return all(same.values())


def test_rates() -> None:
    tokens = make([641, 320], (1024, 1024), 320)
    assert tokens.frames.tolist() == [3, 1]
    assert (tokens.frame_rate, tokens.token_rate, tokens.bit_rate) == (50.0, 100.0, 1000.0)
    assert tokens.first(1).bit_rate == 500.0
    assert make([9], (12,), 10).bit_rate == pytest.approx(1600 * np.log2(12))


def test_items() -> None:
    tokens = make([95, 11, 30], (7, 5), 10, source_rate=32000, source_lengths=torch.tensor([190, 22, 60]))
    one = tokens[1]
    assert one.codes.shape == (1, 2, 2)
    assert torch.equal(one.codes[0], tokens.codes[1, :, :2])
    assert one.source_lengths is not None
    assert (one.lengths.tolist(), one.source_lengths.tolist()) == ([11], [22])
    assert tokens[1:].codes.shape == (2, 2, 3)
    assert tokens[-1].lengths.tolist() == [30]
    assert [len(item) for item in tokens] == [1, 1, 1]
    assert equal(tokens.to("cpu"), tokens)
    with pytest.raises(IndexError):
        tokens[3]
    with pytest.raises(ValueError, match="picks none of 3 items"):
        tokens[3:]
    with pytest.raises(ValueError, match="num_codebooks is 3; accepted: 1 to 2"):
        tokens.first(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": torch.zeros(1, 2, 3)}, "torch.float32"),
        ({"codes": torch.zeros(2, 3, dtype=torch.int64)}, r"\(B, K, N\)"),
        ({"codes": torch.zeros(1, 2, 0, dtype=torch.int64)}, r"\(1, 2, 0\)"),
        ({"lengths": torch.tensor([31])}, "1 to 30"),
        ({"lengths": torch.tensor([20])}, "needing every frame"),
        ({"lengths": torch.tensor([30, 30])}, r"torch.int64 \(1,\)"),
        ({"lengths": torch.tensor([30.0])}, "torch.float32"),
        ({"codebook_sizes": (4,)}, "2 codebooks"),
        ({"codebook_sizes": (4, 0)}, "codebook size is 0"),
        ({"hop_length": 0}, "hop_length is 0"),
        ({"sample_rate": 10.5}, "sample_rate is 10.5"),
        ({"source_rate": 8000}, "both or neither"),
        ({"source_rate": 8000, "source_lengths": torch.tensor([16])}, r"those that resample to \[30\]"),
    ],
)
def test_refused(change: dict[str, Any], message: str) -> None:
    fields = vars(make([30], (4, 4), 10)) | change
    with pytest.raises(ValueError, match=message):
        Tokens(**fields)


@shared
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=6),
    sizes=st.lists(st.integers(1, 5000) | st.sampled_from([1, 2, 256, 1024, 2**31]), min_size=1, max_size=9),
    hop=st.integers(1, 50),
    codec=st.text(max_size=20),
)
def test_file_round_trip(tmp_path: Path, lengths: list[int], sizes: list[int], hop: int, codec: str) -> None:
    tokens = make(lengths, tuple(sizes), hop, codec=codec)
    tokens.save(tmp_path / "a.voc")
    assert equal(Tokens.load(tmp_path / "a.voc"), tokens)
    assert [path.name for path in tmp_path.iterdir()] == ["a.voc"]


def test_file_round_trip_of_the_source(tmp_path: Path) -> None:
    tokens = make([95, 11], (7, 5), 10, source_rate=32000, source_lengths=torch.tensor([190, 22]))
    tokens.save(tmp_path / "a.voc")
    assert equal(Tokens.load(tmp_path / "a.voc"), tokens)


@shared
@given(st.lists(st.tuples(st.integers(1, 99), st.integers(0, 3)), min_size=1, max_size=4), st.integers(1, 5))
def test_more_frames_than_needed_and_scales_keep(
    tmp_path: Path, items: list[tuple[int, int]], segments: int
) -> None:
    lengths = [length for length, _ in items]
    counts = torch.tensor([-(-length // 10) + more for length, more in items])
    scales = torch.rand(len(items), segments) * 10.0 ** torch.arange(-2, segments - 2)
    tokens = make(lengths, (7, 5), 10, frame_counts=counts, scales=scales)
    tokens.save(tmp_path / "a.voc")
    loaded = Tokens.load(tmp_path / "a.voc")
    if not any(more for _, more in items):
        tokens = replace(tokens, frame_counts=None)  # as few as hold them
    assert equal(loaded, tokens)
    assert loaded[0].codes.shape[2] == counts[0]
    last = loaded[len(items) - 1].scales
    assert last is not None
    assert torch.equal(last, scales[-1:])


def test_frame_counts_and_scales_are_checked() -> None:
    tokens = make([95, 11], (7, 5), 10)
    for wrong, message in (
        ({"frame_counts": torch.tensor([10, 1])}, r"frame_counts are \[10, 1\]; accepted: \[10, 2\] or more"),
        ({"frame_counts": torch.tensor([12, 2])}, "accepted: 1 to 100"),
        ({"frame_counts": torch.tensor([10])}, r"accepted: torch.int64 \(2,\)"),
        ({"scales": torch.ones(2, 1).double()}, r"accepted: torch.float32 \(B, S\)"),
        ({"scales": torch.ones(1, 1)}, "none negative"),
        ({"scales": -torch.ones(2, 1)}, "none negative"),
        ({"scales": torch.full((2, 1), torch.nan)}, "none negative"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(tokens, **wrong)


def test_file_is_the_size_of_its_bits(tmp_path: Path) -> None:
    tokens = make([160_000, 320], (1024,) * 12, 320)  # 500 and 1 frames of 120 bits
    tokens.save(tmp_path / "a.voc")
    whole = (tmp_path / "a.voc").read_bytes()
    header, chunks = 9 + 9 + 53 + 12 * 8, 3  # of 273, 227 and 1 frames
    assert len(whole) == header + 501 * 15 + chunks * (9 + 11) + 2 * 16 + (9 + chunks * 13) + 12
    frame = "".join(f"{code:010b}" for code in tokens.codes[0, :, 0].tolist())
    assert whole[header + 5 + 11 :][:15] == int(frame, 2).to_bytes(15, "big")


def test_every_flip_and_every_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.voc"
    make([25, 7], (5, 16), 10, codec="x").save(path)
    whole = path.read_bytes()
    damaged = [whole[:end] for end in range(len(whole))] + [whole + b"\x00", whole + whole]
    for i in range(len(whole)):
        damaged += [whole[:i] + bytes([whole[i] ^ mask]) + whole[i + 1 :] for mask in (1, 0x80, 0xFF)]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.voc.*accepted|a\.voc.*not JSON"):
            Tokens.load(path)
