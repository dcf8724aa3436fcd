"""The token file: headers that lie are refused before they cost memory."""

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from vocable.codecs import Tokens
from vocable.codecs.tokenfile import MAGIC

FIELDS = {
    "lengths": [20],
    "sample_rate": 16000,
    "hop_length": 10,
    "codebook_sizes": [5],
    "codec": "",
    "source_rate": None,
    "source_lengths": None,
    "frame_counts": None,
    "scales": None,
}


def forge(path: Path, header: Any, payload: bytes = b"\x00") -> None:
    """A file with a right checksum, whatever its header says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = MAGIC + b"\x01" + len(text).to_bytes(4, "little") + text + payload
    path.write_bytes(body + zlib.crc32(body).to_bytes(4, "little"))


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        FIELDS | {"more": 1},
        FIELDS | {"lengths": []},
        FIELDS | {"lengths": 20},
        FIELDS | {"lengths": [True]},
        FIELDS | {"lengths": [20.0]},
        FIELDS | {"lengths": [0]},
        FIELDS | {"lengths": [-20]},
        FIELDS | {"lengths": None},
        FIELDS | {"lengths": [10**30]},
        FIELDS | {"lengths": [2**47]},
        FIELDS | {"lengths": [10**12], "codebook_sizes": [1]},
        FIELDS | {"hop_length": 0},
        FIELDS | {"hop_length": 1},
        FIELDS | {"hop_length": "10"},
        FIELDS | {"hop_length": 1e400},
        FIELDS | {"codebook_sizes": []},
        FIELDS | {"codebook_sizes": [2**70]},
        FIELDS | {"codebook_sizes": [5] * 300},
        FIELDS | {"sample_rate": 1},
        FIELDS | {"sample_rate": None},
        FIELDS | {"codec": 5},
        FIELDS | {"source_rate": 16000},
        FIELDS | {"source_rate": 32000, "source_lengths": [9]},
        FIELDS | {"frame_counts": [1]},
        FIELDS | {"frame_counts": [3]},
        FIELDS | {"frame_counts": [2, 2]},
        FIELDS | {"scales": 2**40},
        FIELDS | {"scales": 1},
        FIELDS | {"source_rate": 32000, "source_lengths": [40, 40]},
        b"\xff\xfe",
        b"[" * 60000,
        b"9" * 60000,
        b" " * 70000,
    ],
)
def test_header_that_lies_is_refused(tmp_path: Path, header: Any) -> None:
    forge(tmp_path / "a.voc", FIELDS)
    assert Tokens.load(tmp_path / "a.voc").codes.tolist() == [[[0, 0]]]
    forge(tmp_path / "a.voc", header)
    with pytest.raises(ValueError, match=r"a\.voc"):
        Tokens.load(tmp_path / "a.voc")


def test_codes_out_of_range_are_refused(tmp_path: Path) -> None:
    forge(tmp_path / "a.voc", FIELDS, b"\xff")
    with pytest.raises(ValueError, match=r"codes lie in 7\.\.7; accepted: 0\.\.V-1"):
        Tokens.load(tmp_path / "a.voc")
    tokens = Tokens(torch.tensor([[[5, 0]]]), torch.tensor([20]), 16000, 10, (5,))
    with pytest.raises(ValueError, match="codes lie"):
        tokens.save(tmp_path / "b.voc")
    assert not (tmp_path / "b.voc").exists()


def test_a_batch_of_mostly_padding_is_refused(tmp_path: Path) -> None:
    lengths = [2**20] + [1] * 9999
    forge(
        tmp_path / "a.voc",
        FIELDS | {"lengths": lengths, "hop_length": 1, "codebook_sizes": [2]},
        bytes(132322),
    )
    with pytest.raises(ValueError, match=r"padded to its longest item the batch is 10485760000 codes"):
        Tokens.load(tmp_path / "a.voc")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Tokens.load(tmp_path / "a.voc")
    ones = torch.ones(40000, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"40000 items need a header"):
        Tokens(ones[:, None, None], ones, 16000, 1, (2,)).save(tmp_path / "a.voc")
