"""Token files that lie, are damaged or are not ones: refused before they cost memory."""

import io
import runpy
import struct
import sys
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vocable.codecs import Tokens
from vocable.codecs.voc import Header, TokenReader, TokenWriter, entropy

pytest.importorskip("constriction")
FUZZ = runpy.run_path(str(Path(__file__).parent / "fuzz_tokenfile.py"))
check, repaired = FUZZ["check"], FUZZ["repaired"]
ASSETS = Path(__file__).parent / "assets" / "voc"


def test_writer_refuses() -> None:
    header = Header(16000, 320, (16, 9), source_rate=32000)
    writer = TokenWriter(io.BytesIO(), header)
    good = torch.randint(1, 9, (2, 5))
    for codes, item, message in (
        (good[:1], 0, r"codes are int64 \(1, 5\); accepted: int64 \(2, n\)"),
        (good.int(), 0, "codes are int32"),
        (good + 8, 0, r"codes lie in \d+\.\.\d+; accepted: 0\.\.V-1"),
        (good, 2, "item is 2; accepted: 0 to"),
        (good, -1, "item is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            writer.write(codes, item)
    writer.write(good)
    for length, source, message in (
        (1601, 3202, "length 1601; accepted: 1 to 1600"),
        (0, 1, "length 0"),
        (1600, None, "source_length is None; accepted"),
    ):
        with pytest.raises(ValueError, match=message):
            writer.end(0, length, source)
    writer.end(0, 1600, 3200)
    with pytest.raises(ValueError, match="item 0 has ended"):
        writer.write(good)
    header = replace(header, chunk_frames=64)
    for field, message in (
        ({"packing": "zip"}, "packing is 'zip'; accepted: bits, entropy"),
        ({"chunk_frames": 2**23}, "chunk_frames is 8388608; accepted: 1 to"),
        ({"weights": "ab"}, "weights are 'ab'"),
        ({"codec": "x" * 2**16}, "bytes of the codec's name is 65536"),
        ({"codebook_sizes": (2**12,) * 257, "packing": "entropy"}, "257 codebooks of 4096 symbols; accepted"),
    ):
        with pytest.raises(ValueError, match=message):
            TokenWriter(io.BytesIO(), replace(header, **field))


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    for start, message in (
        (b"VOC\x00\x01\x80\x00\x00\x00{}", "the layout before the release of version 1; accepted: encode"),
        (b"Creative Voice File\x1a\x1a\x00", "magic and version is b'Creative '; accepted: b'.x89VOC"),
        (b"\x89VOC\r\n\x1a\n\x02", r"magic and version is b'\\x89VOC\\r\\n\\x1a\\n\\x02'; accepted"),
        (b"", "magic and version is b''"),
    ):
        (tmp_path / "a.voc").write_bytes(start)
        with pytest.raises(ValueError, match=rf"a\.voc: .*{message}"):
            Tokens.load(tmp_path / "a.voc")


ONE = repaired((ASSETS / "one.voc").read_bytes())  # K = 2, 5 frames, 48 samples, named x


@pytest.mark.parametrize(
    ("offset", "new", "message"),
    [
        (14, b"\x02", "packing is 2; accepted: 0 to 1"),
        (15, b"\x03", "size of the header"),
        (15, b"\x00", "size of the header"),
        (17, b"\x00", "size of the header"),
        (19, bytes(4), "chunk_frames is 0"),
        (19, b"\xff" * 4, "chunk_frames is 4294967295"),
        (23, bytes(4), "sample_rate is 0"),
        (27, bytes(4), "hop_length is 0; accepted: 1 to 16777216"),
        (31, b"\x01", "source_rate is 1"),
        (67, b"\xff", "not UTF-8"),
        (68, bytes(8), "codebook size is 0"),
        (68, b"\xff" * 8, "codebook size is 18446744073709551615"),
        (93, b"\x01", "a chunk is of item 1; accepted: one not over, or 0"),
        (97, b"\x06", "size of the packed codes"),
        (97, b"\xff" * 4, "a chunk has 4294967295 frames"),
        (101, b"\x01", "flag of scales is False; accepted: True"),
        (103, b"\x05", "flags 5"),
        (104, b"\x33", "has length 51; accepted: 1 to 50"),
        (104, bytes(8), "has length 0"),
        (110, b"\x01", "accepted: 281474976710656 or fewer"),
        (112, b"\x60", "source_length is 96; accepted: None"),
        (120, b"\xff" * 6, r"codes lie in 15\.\.31|after the last code"),
    ],
)
def test_a_field_that_lies_is_refused(tmp_path: Path, offset: int, new: bytes, message: str) -> None:
    path = tmp_path / "a.voc"
    path.write_bytes(ONE)
    assert Tokens.load(path).codes.shape == (1, 2, 5)
    path.write_bytes(repaired(ONE[:offset] + new + ONE[offset + len(new) :]))
    with pytest.raises(ValueError, match=rf"a\.voc: .*({message})"):
        Tokens.load(path)


def test_chunks_that_are_moved_left_out_or_doubled_are_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with TokenWriter(file, Header(16000, 10, (16,), chunk_frames=4)) as writer:
        writer.write(torch.arange(16)[None])
    content = file.getvalue()
    start, chunk = 14 + 53 + 8 + 4, 9 + 11 + 2  # each of 4 codes of 4 bits
    path = tmp_path / "a.voc"
    blocks = [content[start + i * chunk : start + (i + 1) * chunk] for i in range(4)]
    rest = content[start + 4 * chunk :]
    for order in ([1, 0, 2, 3], [0, 2, 3], [0, 0, 1, 2, 3], [0, 1, 2, 3]):
        path.write_bytes(content[:start] + b"".join(blocks[i] for i in order) + rest)
        if order == [0, 1, 2, 3]:
            assert Tokens.load(path).codes.shape == (1, 1, 16)
        else:
            with pytest.raises(ValueError, match="checksum"):
                Tokens.load(path)


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    header = Header(16000, 1, (2,)).to_bytes()
    forged = b"\x89VOC\r\n\x1a\n\x01" + struct.pack("<cI", b"H", len(header)) + header + bytes(4)
    for item in range(1000):  # 40 kB that would be 1000 x 32768 codes
        frames = 1 if item else 32768
        payload = struct.pack("<IIHBQQ", item, frames, 0, 4, frames, 0) + bytes((frames + 7) // 8)
        forged += struct.pack("<cI", b"C", len(payload)) + payload + bytes(4)
    (tmp_path / "a.voc").write_bytes(repaired(forged))
    tracemalloc.start()
    with pytest.raises(ValueError, match="padded to its longest item the batch is 32768000 values"):
        Tokens.load(tmp_path / "a.voc")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_without_the_extra_files_are_packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tokens = Tokens.load(ASSETS / "entropy.voc")
    monkeypatch.setitem(sys.modules, "constriction", None)
    entropy._constriction.cache_clear()
    tokens.save(tmp_path / "a.voc")
    assert torch.equal(Tokens.load(tmp_path / "a.voc").codes, tokens.codes)
    for work in (
        lambda: tokens.save(tmp_path / "b.voc", "entropy"),
        lambda: Tokens.load(ASSETS / "entropy.voc"),
    ):
        with pytest.raises(ValueError, match=r"needs constriction; accepted: pip install 'vocable\[pack\]'"):
            work()
    assert [path.name for path in tmp_path.iterdir()] == ["a.voc"]


def test_corpus_of_the_fuzzer() -> None:
    for path in ASSETS.glob("*.voc"):
        check(path.read_bytes())
        with TokenReader(path) as reader:
            assert list(reader)
    with zipfile.ZipFile(ASSETS / "corpus.zip") as corpus:
        inputs = [corpus.read(name) for name in corpus.namelist()]
    assert len(inputs) > 100
    for content in inputs:
        check(content)
