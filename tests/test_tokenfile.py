"""Token files: written and read as streams, by seeking and whole."""

import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from vocable.codecs import Tokens
from vocable.codecs.voc import Header, TokenReader, TokenWriter

pytest.importorskip("constriction")
RARELY = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def codes_of(sizes: tuple[int, ...], frames: int, seed: int = 0) -> Tensor:
    """(K, N) of a few entries each, so that a model has something to learn."""
    generator = torch.Generator().manual_seed(seed)
    few = torch.randint(0, 4, (len(sizes), frames), generator=generator)
    top = torch.tensor(sizes)[:, None] - 1
    return torch.where(few < 3, few * 37 % (top + 1), top)


def write(header: Header, codes: list[Tensor], steps: list[int]) -> bytes:
    """The items' codes, in turns of as many frames as `steps` say."""
    file = io.BytesIO()
    at = [0] * len(codes)
    with TokenWriter(file, header) as writer:
        for i in range(len(codes)):
            writer.write(codes[i][:, :0], i)
        turn = 0
        while any(start < item.shape[1] for start, item in zip(at, codes, strict=True)):
            i, step = turn % len(codes), steps[turn % len(steps)]
            writer.write(codes[i][:, at[i] : at[i] + step], i)
            at[i], turn = at[i] + step, turn + 1
    return file.getvalue()


def read(content: bytes, items: int) -> list[Tensor]:
    """The items' codes, chunk by chunk."""
    parts: list[list[Tensor]] = [[] for _ in range(items)]
    for chunk in TokenReader(io.BytesIO(content)):
        assert chunk.start == sum(part.shape[1] for part in parts[chunk.item])
        parts[chunk.item].append(chunk.codes)
    return [torch.cat(part, 1) for part in parts]


SIZES = st.lists(
    st.integers(1, 2**16) | st.sampled_from([1, 2, 3, 729, 1024, 4097, 46656, 2**48]), min_size=1, max_size=4
)


@RARELY
@given(
    sizes=SIZES,
    frames=st.lists(st.integers(1, 150), min_size=1, max_size=3),
    packing=st.sampled_from(["bits", "entropy"]),
    chunk=st.integers(0, 150),
    steps=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_streams_come_back_and_seeking_is_slicing(
    sizes: list[int], frames: list[int], packing: Any, chunk: int, steps: list[int], ends: tuple[float, float]
) -> None:
    hop, rate = 7, 8000
    codes = [codes_of(tuple(sizes), count, i) for i, count in enumerate(frames)]
    content = write(Header(rate, hop, tuple(sizes), "x", packing=packing, chunk_frames=chunk), codes, steps)
    for found, wanted in zip(read(content, len(codes)), codes, strict=True):
        assert torch.equal(found, wanted)
    reader = TokenReader(io.BytesIO(content))
    for i, wanted in enumerate(codes):
        whole = reader.read(item=i)
        assert torch.equal(whole.codes[0], wanted)
        samples = sorted(round(end * wanted.shape[1] * hop) for end in ends)
        if samples[0] < samples[1]:
            part = reader.read(samples[0] / rate, samples[1] / rate, i)
            first, last = samples[0] // hop, -(-samples[1] // hop)
            assert torch.equal(part.codes[0], wanted[:, first:last])
            assert part.lengths.tolist() == [(last - first) * hop]
        else:
            with pytest.raises(ValueError, match=r"seconds are .*; accepted: from 0 to"):
                reader.read(samples[0] / rate, samples[1] / rate, i)


@RARELY
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    sizes=SIZES,
    packing=st.sampled_from(["bits", "entropy"]),
    more=st.integers(0, 3),
    segments=st.integers(0, 4),
    source=st.booleans(),
)
def test_all_fields_come_back(
    tmp_path: Path,
    lengths: list[int],
    sizes: list[int],
    packing: Any,
    more: int,
    segments: int,
    source: bool,
) -> None:
    counts = torch.tensor([-(-length // 10) + more for length in lengths])
    codes = torch.zeros(len(lengths), len(sizes), int(counts.max()), dtype=torch.int64)
    for i, count in enumerate(counts.tolist()):
        codes[i, :, :count] = codes_of(tuple(sizes), count, i)
    tokens = Tokens(
        codes,
        torch.tensor(lengths),
        16000,
        10,
        tuple(sizes),
        "é" * segments,
        source_rate=32000 if source else None,
        source_lengths=2 * torch.tensor(lengths) if source else None,
        frame_counts=counts if more else None,
        scales=torch.rand(len(lengths), segments) if segments else None,
        weights="0f" * 32 if more else "",
    )
    tokens.save(tmp_path / "a.voc", packing)
    loaded = Tokens.load(tmp_path / "a.voc")
    for name, value in vars(tokens).items():
        found = getattr(loaded, name)
        assert torch.equal(found, value) if isinstance(value, Tensor) else found == value, name
    with TokenReader(tmp_path / "a.voc") as reader:
        last = reader.read(item=len(lengths) - 1)
    assert torch.equal(last.codes, tokens[len(lengths) - 1].codes)
    assert last.lengths.tolist() == lengths[-1:]


def test_a_pipe_gives_each_chunk_as_soon_as_it_is_written() -> None:
    ends = os.pipe()
    codes = codes_of((16, 9), 60)
    header = Header(16000, 320, (16, 9), packing="entropy", chunk_frames=20)
    with open(ends[0], "rb", buffering=0) as source, open(ends[1], "wb") as sink:
        writer = TokenWriter(sink, header)
        reader = TokenReader(source)
        chunks = iter(reader)
        for start in range(0, 60, 20):
            writer.write(codes[:, start : start + 20])
            chunk = next(chunks)  # would wait for ever if it needed what is not yet written
            assert (chunk.item, chunk.start, chunk.length) == (0, start, None)
            assert torch.equal(chunk.codes, codes[:, start : start + 20])
        writer.write(codes[:, :3])
        writer.flush()
        assert next(chunks).codes.shape == (2, 3)
        closing = threading.Thread(target=writer.close)
        closing.start()
        assert next(chunks).length == 63 * 320
        assert list(chunks) == []
        closing.join()
        with pytest.raises(ValueError, match="can't seek"):
            reader.read()
        with pytest.raises(ValueError, match="accepted: one iteration"):
            next(iter(reader))


def test_an_unfinished_file_is_read_up_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.voc"
    writer = TokenWriter(path, Header(16000, 320, (16,), chunk_frames=4))
    with pytest.raises(ValueError, match="codes lie in"), writer:  # noqa: PT012
        writer.write(codes_of((16,), 10))
        writer.write(codes_of((17,), 10))
    found = []
    with pytest.raises(ValueError, match=r"a\.voc: it ends 5 bytes too early"):
        found.extend(TokenReader(path))  # the list keeps what came before the error
    assert [chunk.codes.shape[1] for chunk in found] == [4, 4]
    with pytest.raises(ValueError, match="accepted"):
        TokenReader(path).read()


def test_only_the_chunks_that_are_asked_for_are_read() -> None:
    class Counting(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.count += size or 0
            return super().read(size)

    codes = codes_of((1024,) * 8, 100_000)
    file = Counting(write(Header(16000, 320, (1024,) * 8), [codes], [1000]))
    part = TokenReader(file).read(1000.0, 1000.5)
    assert torch.equal(part.codes[0], codes[:, 50_000:50_025])
    assert file.count < 20_000 < 1_000_000 < len(file.getvalue())
