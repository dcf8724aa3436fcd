"""A codec to ONNX files: `vocable export --onnx NAME -o FOLDER`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from vocable.codecs import hub, report
from vocable.codecs.graphs.folder import export_onnx


def command(
    name: Annotated[str, typer.Argument(metavar="CODEC", help="A name, a codec folder or a hub id.")],
    folder: Annotated[Path, typer.Option("--output", "-o", help="A new or empty folder.")],
    codebooks: Annotated[
        int | None, typer.Option(help="The first K codebooks only.", metavar="K", min=1)
    ] = None,
) -> None:
    """A codec as encoder.onnx and decoder.onnx, for any batch and length, checked in onnxruntime."""
    err = Console(stderr=True, soft_wrap=True)
    try:
        with err.status(f"{name} to ONNX"):
            agreement = export_onnx(hub.load(name), folder, codebooks, report.licence(name))
    except (ValueError, OSError, ImportError) as error:
        err.print(f"{error}", style="red", markup=False, highlight=False)
        raise typer.Exit(1) from error
    typer.echo(f"{folder}: {agreement}")


def main() -> None:
    """The command line."""
    typer.run(command)


if __name__ == "__main__":
    main()
