"""The subcommands of `vocable` about published codecs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def list_codecs() -> None:
    """Every codec that has a name, with its numbers and the licence of its weights."""
    from vocable.codecs.catalogue import catalogue
    from vocable.codecs.report import with_source

    columns = ("codec", "kHz", "frames/s", "codebooks", "entries", "tokens/s", "kbit/s", "parameters")
    table = Table(*columns, "licence of the weights (source)", box=None, header_style="bold")
    for column in table.columns[1 : len(columns)]:
        column.justify = "right"
        column.no_wrap = True
    for entry in catalogue():
        sizes = sorted(set(entry.codebook_sizes), reverse=True)
        table.add_row(
            Text(entry.name, no_wrap=True),
            f"{entry.sample_rate / 1000:g}",
            f"{entry.frame_rate:.4g}",
            str(len(entry.codebook_sizes)),
            " / ".join(map(str, sizes)),
            f"{entry.token_rate:.4g}",
            f"{entry.bit_rate / 1000:.3g}",
            f"{entry.parameters / 1e6:.1f} M",
            Text(with_source(entry.licence, entry.licence_source)),
        )
    console = Console()
    # a pipe has no width: what reads it wants a codec a line
    Console(width=console.width if console.is_terminal else 250).print(table)


def convert(
    checkpoint: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINT", exists=True, dir_okay=False, show_default=False)
    ],
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="The codec that it is: vocable list.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write.")],
) -> None:
    """A published codec's official file, or files, to a codec folder: the original is only read."""
    from vocable.codecs import hub, report

    err = Console(stderr=True, soft_wrap=True)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise typer.BadParameter(f"{output} exists; accepted: a new or empty folder", param_hint="-o")
    try:
        with err.status(f"{checkpoint[0].name} as {name}"):
            codec = hub.convert(name, checkpoint, output)
    except (ValueError, OSError, ImportError) as error:
        err.print(f"{error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    rows = report.codec_rows(codec, name) | {"written to": str(output)}
    grid = Table.grid(padding=(0, 2))
    for key, value in rows.items():
        grid.add_row(Text(key, style="bold"), Text(value))
    Console(soft_wrap=True).print(grid)
