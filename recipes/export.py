"""A checkpoint to a codec folder: `python -m vocable.recipes.export runs/x/checkpoints/last.ckpt -o x`."""

from pathlib import Path
from typing import Annotated

import typer

from vocable.codecs.build import build
from vocable.codecs.codec import Codec
from vocable.codecs.hub import save
from vocable.recipes.checkpoint import read_codec


def export(
    checkpoint: Path,
    folder: Path,
    average: bool = True,
    half: bool = False,
    trusted: tuple[str, ...] = ("vocable.",),
) -> Codec:
    """Write the codec of a training checkpoint to `folder`, as `vocable.codecs.load` reads it.

    average: the moving average of the weights, not the last ones. half: store them as float16.
    trusted: prefixes of what its config may build, for parts of one's own.
    """
    config, state = read_codec(checkpoint, average)
    codec = build(config, trusted)
    codec.load_state_dict(state, strict=True)
    save(codec.half() if half else codec, config, folder, trusted)
    return codec


def command(
    checkpoint: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Where to write the codec.")],
    average: Annotated[bool, typer.Option(help="The moving average of the weights, or the last.")] = True,
    half: Annotated[bool, typer.Option("--half", help="Store float16: half the size.")] = False,
    trust: Annotated[list[str] | None, typer.Option(help="A module prefix of parts of one's own.")] = None,
) -> None:
    """Turn a training checkpoint into a codec folder."""
    codec = export(checkpoint, folder, average, half, ("vocable.", *(trust or ())))
    typer.echo(f"{folder}: {codec.num_codebooks} codebooks, {codec.bit_rate() / 1000:g} kbit/s")


def main() -> None:
    """The command line."""
    typer.run(command)


if __name__ == "__main__":
    main()
