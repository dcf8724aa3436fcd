"""The field's table for any codecs on any recordings: `vocable bench --help`."""

import os
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vocable.benchmarks import assemble, published, run, specs, summary, table
from vocable.benchmarks.judges import catalogue
from vocable.benchmarks.judges.base import Judge, Unavailable
from vocable.benchmarks.report.page import write
from vocable.benchmarks.results import Failure, JudgeNote
from vocable.benchmarks.run import Plan
from vocable.benchmarks.store import Store
from vocable.benchmarks.utterances import Recording, find_recordings
from vocable.codecs import cache
from vocable.codecs.manifest import each_file

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
out, err = Console(), Console(stderr=True, soft_wrap=True)
WIDE = 250  # characters, where no terminal has a say


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="A folder of audio, or a manifest: CSV or JSONL.")],
    codecs: Annotated[list[str], typer.Option(help=f"With commas, or once for each: {specs.GRAMMAR}.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder for the report.")] = Path(
        "report"
    ),
    split: Annotated[str | None, typer.Option(help="Only the manifest's files of this split.")] = None,
    source: Annotated[str | None, typer.Option(help="Only the manifest's files of this source.")] = None,
    codebooks: Annotated[
        str, typer.Option(help="How many to use, with commas, a row each; of codecs given without :K.")
    ] = "",
    judges: Annotated[
        str,
        typer.Option(help="published, offline (both with the signal measures), all, or names with commas."),
    ] = "all",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many recordings, evenly picked.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="How many recordings to hear in the report.")] = 4,
    costs: Annotated[bool, typer.Option(help="Measure speed, memory and look-ahead.")] = True,
    processes: Annotated[int, typer.Option(min=1, help="How many recordings at once.")] = os.cpu_count() or 1,
    kept: Annotated[
        Path | None, typer.Option("--cache", help="Where results are kept; None: in vocable's cache folder.")
    ] = None,
) -> None:
    """Measure codecs as the field does: a table, a page to look at and listen to, and every file's scores.

    Results are kept file by file: a run that was stopped goes on, one with another codec adds only that.
    """
    try:
        recordings, broken = _recordings(data, split, source, limit)
        wanted, notes = _judges(judges)
        counts = [int(count) for count in codebooks.split(",") if count]
        names = specs.expand([name for each in codecs for name in each.split(",") if name], counts)
        # by name, as vocable-16khz and vocable-16khz:12 are one row
        plans = list({plan.name: plan for plan in map(_plan, (specs.ORIGINAL, *names))}.values())
        opened = Store(kept or cache.root() / "bench.sqlite")
    except (ValueError, OSError, ImportError, Unavailable) as error:
        raise typer.BadParameter(str(error)) from error
    with opened as kept_results:
        try:
            run.run(plans, recordings, wanted, kept_results, processes, err)
            measured = assemble.costs(plans[1:], kept_results, err) if costs else {}
        except KeyboardInterrupt:
            err.print("stopped; the same command goes on from here")
            raise typer.Exit(130) from None
        found = [summary.summarise(plan, recordings, wanted, kept_results) for plan in plans]
    header = assemble.header(data, {"split": split, "source": source}, len(recordings))
    results = assemble.results(header, found, measured, notes, broken)
    table.save(output, results)
    protocol = (resources.files("vocable.benchmarks") / "PROTOCOL.md").read_text(encoding="utf-8")
    heard = assemble.examples(plans[1:], _evenly(list(recordings.values()), examples), err)
    write(output / "index.html", results, published.read(), heard, protocol)
    screen = out if out.is_terminal else Console(width=WIDE)
    screen.print(table.field_table(results, None))
    screen.print(table.other_table(results, None))
    for note in notes:
        if note.not_run:
            err.print(f"{note.name} was not run: {note.not_run}", markup=False, highlight=False)
    failures = results.failures
    for failure in failures[:10]:
        text = f"{failure.path}: {failure.model}, {failure.step}: {failure.reason}"
        err.print(text, style="red", markup=False, highlight=False)
    err.print(f"{len(recordings)} recordings, {len(failures)} failures; written to {output}/index.html")
    raise typer.Exit(int(bool(failures)))


def _recordings(
    data: Path, split: str | None, source: str | None, limit: int | None
) -> tuple[dict[str, Recording], list[Failure]]:
    """The recordings by key, and those that can't be read or are there twice."""
    found = find_recordings(data, {"split": split, "source": source})
    if limit is not None:
        found = _evenly(found, limit)
    kept: dict[str, Recording] = {}
    broken: list[Failure] = []
    for recording, key in zip(found, each_file(Recording.key, found, "reading"), strict=True):
        if key is None or key in kept:
            reason = "can't be read" if key is None else f"the same as {kept[key].path}"
            broken.append(Failure("", str(recording.path), "file", reason))
        else:
            kept[key] = recording
    if not kept:
        raise ValueError(f"{data}: 0 of {len(found)} recordings can be read; accepted: 1 or more")
    return kept, broken


def _judges(asked: str) -> tuple[list[Judge], list[JudgeNote]]:
    """The judges that can run here, and a note on every one that there is."""
    chosen = catalogue.choose(asked)
    ready, notes = [], []
    for kind in catalogue.JUDGES:
        judge, reason = kind(), None
        columns = tuple(column.name for column in kind.columns)
        if kind.name not in chosen:
            notes.append(JudgeNote(kind.name, kind.kind, columns, "", f"not asked for by --judges {asked}"))
            continue
        try:
            with err.status(f"looking for {kind.name}"):
                judge.check()
        except Unavailable as error:
            notes.append(JudgeNote(kind.name, kind.kind, columns, "", str(error)))
            continue
        ready.append(judge)
        notes.append(JudgeNote(kind.name, kind.kind, columns, judge.version, reason))
    return ready, notes


def _plan(spec: str) -> Plan:
    found = specs.subject(spec)
    # what can't be known again must not be taken for what it was
    return Plan(spec, found.name, found.identity or f"unknown {os.getpid()} {datetime.now(UTC).isoformat()}")


def _evenly(found: list[Recording], count: int) -> list[Recording]:
    count = min(count, len(found))
    return [found[i * len(found) // count] for i in range(count)]


if __name__ == "__main__":
    app()
