"""Results as the field's table: on a screen, and as Markdown, CSV and JSON."""

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vocable.benchmarks.judges.base import Column
from vocable.benchmarks.results import Results, Row
from vocable.codecs.files import replacing

TOKENS = ("Token Rate", "Codebook Size", "Codebook Layer", "Frame Rate")
FIELD = ("WER", "STOI", "PESQ-WB", "PESQ-NB", "SPK-SIM", "UTMOS")  # the columns of the papers, in their order


def ordered(columns: list[Column]) -> list[Column]:
    """The papers' columns first."""
    return sorted(
        columns, key=lambda column: FIELD.index(column.name) if column.name in FIELD else len(FIELD)
    )


def halves(results: Results) -> list[list[Column]]:
    """The papers' columns, and the others."""
    columns = ordered(list(results.columns))
    field = [column for column in columns if column.name in FIELD]
    return [field, columns[len(field) :]]


def token_cells(row: Row) -> list[str]:
    """A row's cells of `TOKENS`."""
    sizes = row.codebook_sizes
    if sizes is None:
        return ["-"] * len(TOKENS)
    shown = "/".join(str(size) for size in sorted(set(sizes), reverse=True))
    rates = ["-" if rate is None else f"{rate:.4g}" for rate in (row.token_rate, row.frame_rate)]
    return [rates[0], shown, str(len(sizes)), rates[1]]


def field_table(results: Results, style: box.Box | None = box.MARKDOWN) -> Table:
    """The papers' table: a row for each codec."""
    columns = halves(results)[0]
    found = Table("Model", box=style)
    for name in (*TOKENS, *map(_heading, columns)):
        found.add_column(name, justify="right")
    for row in results.rows:
        found.add_row(*map(Text, (_name(row, style), *token_cells(row), *_texts(results, row, columns))))
    return found


def other_table(results: Results, style: box.Box | None = box.MARKDOWN) -> Table:
    """All else, a row for each measure: there are more of these than fit side by side."""
    columns = halves(results)[1]
    found = Table("Measure", box=style)
    for row in results.rows:
        found.add_column(_name(row, style), justify="right")
    cells = [_texts(results, row, columns) for row in results.rows]
    for column, *texts in zip(columns, *cells, strict=True):
        found.add_row(*map(Text, (_heading(column), *texts)))
    return found


def markdown(results: Results) -> str:
    """The report as Markdown: the papers' table, the other columns, the judges, what failed, the header."""
    file = StringIO()
    console = Console(file=file, width=100_000, color_system=None, legacy_windows=False)
    console.print(field_table(results))
    console.print(other_table(results))
    judges = Table("Judge", "Version", "Columns", "Not run", box=box.MARKDOWN)
    for judge in results.judges:
        judges.add_row(*map(Text, (judge.name, judge.version, ", ".join(judge.columns), judge.not_run or "")))
    console.print(judges)
    if results.failures:
        failed = Table("Model", "File", "Step", "Failed", box=box.MARKDOWN)
        for failure in results.failures:
            failed.add_row(*map(Text, (failure.model, failure.path, failure.step, failure.reason)))
        console.print(failed)
    lines = "\n\n".join(block for block in _blocks(file.getvalue()))
    header = "\n".join(f"- {name}: {text}" for name, text in results.header.items())
    return f"{lines}\n\n{header}\n"


def save(folder: Path, results: Results) -> None:
    """Write results.json, table.csv (a row a line), files.csv (a score a line) and table.md to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "results.json", json.dumps(results.to_dict(), indent=1, allow_nan=False))
    _write(folder / "table.md", markdown(results))
    names = [column.name for column in ordered(list(results.columns))]
    fields = ("value", "low", "high", "files")
    rows: list[dict[str, Any]] = []
    for row in results.rows:
        line: dict[str, Any] = {"Model": row.model, **dict(zip(TOKENS, token_cells(row), strict=True))}
        for name in names:
            cell = row.cells.get(name)
            line |= {f"{name} {part}".removesuffix(" value"): getattr(cell, part, "") for part in fields}
        rows.append(line)
    _csv(folder / "table.csv", rows)
    _csv(folder / "files.csv", [vars(score) for score in results.scores])


def load(folder: Path) -> Results:
    """What `save` wrote; ValueError where it is something else."""
    path = folder / "results.json" if folder.is_dir() else folder
    try:
        return Results.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error!r}; accepted: results.json of a benchmark") from error


def _heading(column: Column) -> str:
    return f"{column.name}, {column.unit}" if column.unit else column.name


def _name(row: Row, style: box.Box | None) -> str:
    return row.model.replace("|", "\\|") if style is box.MARKDOWN else row.model


def _texts(results: Results, row: Row, columns: list[Column]) -> list[str]:
    """A row's cells: "not run" where the judge did not, "-" where it has nothing to say."""
    idle = {name for judge in results.judges if judge.not_run for name in judge.columns}
    empty = {True: "not run", False: "-"}
    return [
        f"{cell.value:.{column.digits}f}"
        if (cell := row.cells.get(column.name))
        else empty[column.name in idle]
        for column in columns
    ]


def _blocks(text: str) -> list[str]:
    """The tables in what a console printed, without the empty lines around them."""
    lines = [line.rstrip() for line in text.splitlines()]
    return [block for block in "\n".join(lines).strip().split("\n\n") if block.strip()]


def _csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(
            {name: "" if value is None else value for name, value in row.items()} for row in rows
        )


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
