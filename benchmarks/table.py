"""Measured quality as a table."""

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from vocable.codecs.files import replacing

SUFFIXES = (".csv", ".json")


@dataclass(frozen=True)
class Row:
    """One model at one rate, on one file or as the mean of many; tokens_s is None for what has no tokens."""

    model: str
    kbit_s: float
    tokens_s: float | None
    stoi: float
    pesq_wb: float
    si_sdr: float


def mean(files: list[list[Row]]) -> list[Row]:
    """The rows of each file, the same models in the same order, to rows that are means over the files."""
    return [
        Row(
            model=rows[0].model,
            kbit_s=fmean(row.kbit_s for row in rows),
            tokens_s=rows[0].tokens_s,
            stoi=fmean(row.stoi for row in rows),
            pesq_wb=fmean(row.pesq_wb for row in rows),
            si_sdr=fmean(row.si_sdr for row in rows),
        )
        for rows in zip(*files, strict=True)
    ]


def markdown(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| model | kbit/s | tokens/s | STOI | PESQ-WB | SI-SDR, dB |", "|---|---|---|---|---|---|"]
    for row in rows:
        tokens = "-" if row.tokens_s is None else f"{row.tokens_s:g}"
        judged = f"{row.stoi:.3f} | {row.pesq_wb:.2f} | {row.si_sdr:.1f}"
        lines.append(f"| {row.model} | {row.kbit_s:.2f} | {tokens} | {judged} |")
    return "\n".join(lines)


def save(path: Path, rows: list[Row]) -> None:
    """Write the rows as .csv or .json, by the suffix."""
    check_suffix(path)
    table = [asdict(row) for row in rows]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".json":
            json.dump(table, file, indent=2)
        else:
            writer = csv.DictWriter(file, table[0].keys())
            writer.writeheader()
            writer.writerows(table)


def check_suffix(path: Path) -> None:
    """ValueError unless `save` can write `path`."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the suffix is {path.suffix!r}; accepted: {', '.join(SUFFIXES)}")
