"""What the X-codec2 paper (https://arxiv.org/abs/2502.04128, Table 1) published: `read`."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from vocable.benchmarks.results import Row

SOURCE = "arXiv 2502.04128, Table 1"
COLUMNS = ("WER", "STOI", "PESQ-WB", "PESQ-NB", "SPK-SIM", "UTMOS")


@dataclass(frozen=True)
class PublishedRow:
    """A row of the paper's table, measured on LibriSpeech test-clean.

    model: as the paper writes it. values: by column name, as a column of this benchmark is named; those that
    are not known are missing. codecs: the names of the zoo that it may be, more than one where the paper does
    not say which checkpoint it took. codebooks: how many were used, 0 for Ground Truth.
    """

    model: str
    token_rate: float | None
    codebook_sizes: tuple[int, ...]
    frame_rate: float | None
    values: dict[str, float]
    codecs: tuple[str, ...]
    codebooks: int


def read() -> list[PublishedRow]:
    """All 20 rows, Ground Truth first."""
    text = (resources.files("vocable.benchmarks") / "published.csv").read_text(encoding="utf-8")
    return [_row(line) for line in csv.DictReader(text.splitlines())]


def match(row: Row, published: Sequence[PublishedRow]) -> PublishedRow | None:
    """The published row of a measured one: the codec of its name with as many codebooks, or Ground Truth."""
    name, count = row.model.split(", ")[0], len(row.codebook_sizes or ())
    for each in published:
        if (name in each.codecs and count == each.codebooks) or (not each.codecs and name == each.model):
            return each
    return None


def _row(line: dict[str, str]) -> PublishedRow:
    sizes, count = line["codebook_size"].split("/"), int(line["codebooks"] or 0)
    return PublishedRow(
        model=line["model"],
        token_rate=float(line["token_rate"]) if count else None,
        codebook_sizes=tuple(map(int, sizes if len(sizes) > 1 else sizes * count)) if count else (),
        frame_rate=float(line["frame_rate"]) if count else None,
        values={name: float(line[name]) for name in COLUMNS if line[name]},
        codecs=tuple(line["codec"].split()),
        codebooks=count,
    )
