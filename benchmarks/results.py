"""What a benchmark found, as it is saved, printed and drawn."""

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from vocable.benchmarks.judges.base import Column


@dataclass(frozen=True)
class Estimate:
    """A mean over `files` files and its 95 % interval; None where it is not a mean."""

    value: float
    low: float | None = None
    high: float | None = None
    files: int = 0


@dataclass(frozen=True)
class Row:
    """One codec at one rate. The numbers of tokens are None for what has none, as Opus.

    cells: by column name; a column that is missing was not run. codebook_sizes: V of each codebook.
    """

    model: str
    token_rate: float | None
    codebook_sizes: tuple[int, ...] | None
    frame_rate: float | None
    cells: dict[str, Estimate]


@dataclass(frozen=True)
class JudgeNote:
    """A judge that was asked for: its version, and why it did not run, None if it did."""

    name: str
    kind: str
    columns: tuple[str, ...]
    version: str
    not_run: str | None = None


@dataclass(frozen=True)
class FileScore:
    """One score of one file; weight as in `judges.base.Score`."""

    model: str
    path: str
    column: str
    value: float
    weight: float


@dataclass(frozen=True)
class Failure:
    """A file that a codec or a judge could not take: counted, and out of that judge's columns of the row."""

    model: str
    path: str
    step: str
    reason: str


@dataclass(frozen=True)
class Results:
    """A whole run: what was asked, by whom it was judged, and what came out.

    columns: in the table's order. header: what a reader must know, name -> text (data, command, machine,
    versions). rows: Ground Truth first.
    """

    header: dict[str, str]
    columns: tuple[Column, ...]
    judges: tuple[JudgeNote, ...]
    rows: tuple[Row, ...]
    scores: tuple[FileScore, ...]
    failures: tuple[Failure, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Self:
        """What `to_dict` gave, after JSON."""
        rows = (
            Row(
                **row
                | {
                    "codebook_sizes": None if row["codebook_sizes"] is None else tuple(row["codebook_sizes"]),
                    "cells": {name: Estimate(**cell) for name, cell in row["cells"].items()},
                }
            )
            for row in found["rows"]
        )
        judges = (JudgeNote(**judge | {"columns": tuple(judge["columns"])}) for judge in found["judges"])
        return cls(
            header=found["header"],
            columns=tuple(Column(**column) for column in found["columns"]),
            judges=tuple(judges),
            rows=tuple(rows),
            scores=tuple(FileScore(**score) for score in found["scores"]),
            failures=tuple(Failure(**failure) for failure in found["failures"]),
        )
