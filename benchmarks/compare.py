"""Whether two rows of a report differ: `vocable compare --help`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vocable.benchmarks import table
from vocable.benchmarks.results import Results
from vocable.benchmarks.significance import Difference, difference

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def compare(results: Results, first: str, second: str) -> dict[str, Difference]:
    """For each column, the first row's mean less the second's, over the files that have both.

    Columns with fewer than two such files are left out. ValueError for a name that is no row's.
    """
    models = [row.model for row in results.rows]
    for name in (first, second):
        if name not in models:
            raise ValueError(f"no row {name!r}; accepted: {', '.join(models)}")
    scores = {(s.column, s.model, s.path): s for s in results.scores}
    found = {}
    for column in results.columns:
        keys = [
            (column.name, first, path)
            for name, model, path in scores
            if (name, model) == (column.name, first)
        ]
        pairs = [
            (scores[key], scores[column.name, second, key[2]])
            for key in keys
            if (column.name, second, key[2]) in scores
        ]
        if len(pairs) < 2:
            continue
        a, b = (np.array([pair[i].value for pair in pairs]) for i in (0, 1))
        found[column.name] = difference(a, b, np.array([pair[0].weight for pair in pairs]))
    return found


@app.command()
def main(
    report: Annotated[Path, typer.Argument(help="The folder of a report, or its results.json.", exists=True)],
    first: Annotated[str, typer.Argument(help="A row's model.")],
    second: Annotated[str, typer.Argument(help="Another's.")],
) -> None:
    """The difference of two rows in every column, its 95 % interval and a paired permutation test."""
    try:
        results = table.load(report)
        found = compare(results, first, second)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    shown = Table(
        "column", f"{first} less {second}", "95 % interval", "p", "files", "better", box=box.MARKDOWN
    )
    for column in results.columns:
        if (each := found.get(column.name)) is None:
            continue
        low, value, high = (f"{number:+.{column.digits}f}" for number in (each.low, each.value, each.high))
        ahead = {"higher": each.value > 0, "lower": each.value < 0}.get(column.better or "")
        better = "-" if ahead is None or each.p > 0.05 else first if ahead else second
        shown.add_row(
            *map(Text, (column.name, value, f"{low} to {high}", f"{each.p:.4f}", str(each.files), better))
        )
    Console(width=200).print(shown)


if __name__ == "__main__":
    app()
