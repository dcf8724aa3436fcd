"""Rows, costs and examples put together to a benchmark's results."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from torch import Tensor

from vocable.benchmarks import cost, specs, summary, table
from vocable.benchmarks.judges import catalogue
from vocable.benchmarks.judges.base import Column
from vocable.benchmarks.report.page import Example
from vocable.benchmarks.results import Estimate, Failure, FileScore, JudgeNote, Results, Row
from vocable.benchmarks.run import Plan
from vocable.benchmarks.store import Key, Store
from vocable.benchmarks.utterances import Recording

Found = tuple[Row, list[FileScore], list[Failure]]


def results(
    header: dict[str, str],
    found: Sequence[Found],
    measured: Mapping[str, Mapping[str, float]],
    notes: Sequence[JudgeNote],
    broken: Sequence[Failure],
) -> Results:
    """The results of codecs one by one, with what they cost by name, as one."""
    rows = [_with_costs(row, measured.get(row.model, {})) for row, _, _ in found]
    scores = [score for _, each, _ in found for score in each]
    failures = [*broken, *(failure for _, _, each in found for failure in each)]
    return Results(header, _columns(rows), tuple(notes), tuple(rows), tuple(scores), tuple(failures))


def header(data: Path, where: Mapping[str, str | None], count: int) -> dict[str, str]:
    """What a reader of the report must know."""
    part = ", ".join(f"{name} {value}" for name, value in where.items() if value)
    return {
        "data": f"{data}{f' ({part})' if part else ''}: {count} recordings",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": shlex.join(["vocable", "bench", *sys.argv[1:]]),
        "machine": cost.machine(os.cpu_count() or 1),
        "versions": f"vocable {version('vocable')}, Python {platform.python_version()}",
    }


def costs(plans: Sequence[Plan], kept: Store, console: Console) -> dict[str, dict[str, float]]:
    """What each codec costs on this machine, by its name, measured unless it is kept."""
    threads = os.cpu_count() or 1
    where = cost.machine(threads)
    found: dict[str, dict[str, float]] = {}
    for plan in plans:
        key = Key(plan.identity, where, cost.VERSION)
        held = kept.get(key)
        if held is None:
            try:
                with console.status(f"{plan.name}: speed, memory, look-ahead"):
                    held = cost.measure_cost(plan.spec, threads)
            except (ValueError, OSError, RuntimeError) as error:
                console.print(f"{plan.name}: its cost was not measured: {error}", style="red", markup=False)
                continue
            kept.put(key, held)
        found[plan.name] = held
    return found


def examples(plans: Sequence[Plan], recordings: Sequence[Recording], console: Console) -> list[Example]:
    """Recordings, and what each codec makes of them, to be heard."""
    utterances = [recording.read() for recording in recordings]
    wavs: list[dict[str, Tensor]] = [{} for _ in utterances]
    for plan in plans:
        with console.status(f"examples: {plan.name}"):
            subject = specs.subject(plan.spec)
            for utterance, made in zip(utterances, wavs, strict=True):
                made[plan.name] = subject.reconstruct(utterance.wav, utterance.sample_rate).wav
    return [
        Example(each.path.name, each.transcript or each.consensus, each.wav, made, each.sample_rate)
        for each, made in zip(utterances, wavs, strict=True)
    ]


def _with_costs(row: Row, measured: Mapping[str, float]) -> Row:
    cells = {name: Estimate(value) for name, value in measured.items()}
    return Row(row.model, row.token_rate, row.codebook_sizes, row.frame_rate, row.cells | cells)


def _columns(rows: Sequence[Row]) -> tuple[Column, ...]:
    """The papers' columns, filled or not, and those of the others that any row fills."""
    judged = [column for kind in catalogue.JUDGES for column in kind.columns]
    every = (*judged, *summary.TOKEN_COLUMNS, *cost.COLUMNS)
    filled = {name for row in rows for name in row.cells}
    return tuple(table.ordered([c for c in every if c.name in filled or c.name in table.FIELD]))
