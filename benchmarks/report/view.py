"""The table of results as a page shows it: every cell as text, with what it sorts by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vocable.benchmarks.judges.base import Column
from vocable.benchmarks.published import PublishedRow, match
from vocable.benchmarks.results import Estimate, Results, Row

TOKENS = "tokens"
GROUPS = {
    TOKENS: "Token rate and codebooks",
    "published": "The papers' judges",
    "offline": "Offline judges",
    "signal": "Signal measures",
    "other": "Bit rate, use and cost",  # columns that no judge fills
}
DASH = "\N{EN DASH}"  # where there is nothing to say
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Heading:
    """A column of the table; group: a key of `GROUPS`; not_run: why its judge did not run, "" if it did."""

    column: Column
    group: str
    not_run: str


@dataclass(frozen=True)
class Cell:
    """text: as shown; sort: what it sorts by, None (last) where nothing was measured.

    interval: "0.90 to 0.92", "" for what has none. files: how many it is a mean of, 0 for what is no mean.
    published, difference: the paper's number and how far this one is from it, "" where there is none.
    """

    text: str
    sort: float | None
    interval: str = ""
    files: int = 0
    best: bool = False
    published: str = ""
    difference: str = ""


@dataclass(frozen=True)
class Line:
    """A row; tokens: Token Rate, Codebook Size, Codebook Layer, Frame Rate. cells: one for each heading."""

    model: str
    tokens: tuple[Cell, ...]
    cells: tuple[Cell, ...]
    published: PublishedRow | None


def headings(results: Results) -> list[Heading]:
    """The columns in their order, each with the judge that fills it."""
    judges = {column: judge for judge in reversed(results.judges) for column in judge.columns}
    found = []
    for column in results.columns:
        judge = judges.get(column.name)
        group = judge.kind if judge and judge.kind in GROUPS else "other"
        found.append(Heading(column, group, (judge and judge.not_run) or ""))
    return found


def lines(results: Results, published: Sequence[PublishedRow]) -> list[Line]:
    """The rows in their order, Ground Truth first; the best of a column is among the others."""
    columns = headings(results)
    best = {heading.column.name: _best(heading.column, results.rows[1:]) for heading in columns}
    return [
        _line(row, columns, match(row, published), best if i else {}) for i, row in enumerate(results.rows)
    ]


def number(value: float, digits: int, sign: bool = False) -> str:
    """A number as readers know it; sign: of positive ones too."""
    if math.isnan(value):
        return "undefined"
    text = "∞" if math.isinf(value) else f"{abs(value):.{digits}f}"
    if value < 0 and text.strip("0."):
        return MINUS + text
    return f"+{text}" if sign and text.strip("0.") else text


def bit_rate(row: Row) -> float | None:
    """Kbit a second, as measured, or by the codebooks' sizes; None where neither is known."""
    if "kbit/s" in row.cells:
        return row.cells["kbit/s"].value
    if row.frame_rate is None or row.codebook_sizes is None:
        return None
    return row.frame_rate * sum(math.log2(size) for size in row.codebook_sizes) / 1000


def _line(
    row: Row, columns: Sequence[Heading], published: PublishedRow | None, best: dict[str, float | None]
) -> Line:
    cells = []
    for heading in columns:
        name = heading.column.name
        paper = published.values.get(name) if published else None
        cells.append(_cell(row.cells.get(name), heading, paper, best.get(name)))
    return Line(row.model, _tokens(row), tuple(cells), published)


def _tokens(row: Row) -> tuple[Cell, ...]:
    sizes = row.codebook_sizes or ()
    shown = "/".join(str(size) for size in dict.fromkeys(sizes))
    return (
        _plain("" if row.token_rate is None else f"{row.token_rate:.4g}", row.token_rate),
        _plain(shown, max(sizes, default=None)),
        _plain(str(len(sizes)) if sizes else "", len(sizes) or None),
        _plain("" if row.frame_rate is None else f"{row.frame_rate:.4g}", row.frame_rate),
    )


def _plain(text: str, sort: float | None) -> Cell:
    return Cell(text or DASH, sort)


def _cell(found: Estimate | None, heading: Heading, paper: float | None, best: float | None) -> Cell:
    digits = heading.column.digits
    known = "" if paper is None else number(paper, 2)
    if found is None:
        return Cell("not run" if heading.not_run else DASH, None, published=known)
    value, interval = found.value, ""
    if found.low is not None and found.high is not None:
        interval = f"{number(found.low, digits)} to {number(found.high, digits)}"
    return Cell(
        text=number(value, digits),
        sort=None if math.isnan(value) else value,
        interval=interval,
        files=found.files,
        best=best is not None and value == best,
        published=known,
        difference="" if paper is None else number(value - paper, max(digits, 2), sign=True),
    )


def _best(column: Column, rows: Sequence[Row]) -> float | None:
    """The best value of a column, None where nothing is good or there is nothing to compare."""
    values = [row.cells[column.name].value for row in rows if column.name in row.cells]
    values = [value for value in values if not math.isnan(value)]
    if column.better is None or len(values) < 2:
        return None
    return max(values) if column.better == "higher" else min(values)
