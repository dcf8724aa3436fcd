"""A checkpoint to a codec folder: `python -m vocable.recipes.export runs/x/checkpoints/last.ckpt -o x`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from vocable.codecs.build import build
from vocable.codecs.codec import Codec
from vocable.codecs.hub import save
from vocable.recipes.checkpoint import read_codec
from vocable.recipes.init import read
from vocable.recipes.opponent import keep


def export(
    checkpoint: Path,
    folder: Path,
    average: bool = True,
    half: bool = False,
    trusted: tuple[str, ...] = ("vocable.",),
    soup: Iterable[str | Path] = (),
    discriminator: bool = False,
) -> Codec:
    """Write the codec of a training checkpoint to `folder`, as `vocable.codecs.load` reads it.

    average: the moving average of the weights, not the last ones. half: store them as float16.
    trusted: prefixes of what its config may build, for parts of one's own.
    soup: codecs, named as for `init_from`, of whose weights and these the mean is written; one that is named
        twice counts twice. Of trainings that began alike it is often better than each
        (https://arxiv.org/abs/2203.05482).
    discriminator: write the training's too, for others that start from this codec.
    ValueError for another file, a soup of other tensors, or a training without a discriminator to write.
    """
    config, state = read_codec(checkpoint, average)
    if others := [read(source)[1] for source in soup]:
        state = mean(state, others)
    codec = build(config, trusted)
    codec.load_state_dict(state, strict=True)
    if discriminator:
        keep(checkpoint, folder, half)
    save(codec.half() if half else codec, config, folder, trusted)
    return codec


def mean(state: dict[str, Tensor], others: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of codecs' tensors, in the types of the first; ValueError unless their shapes agree."""
    ours = {key: tuple(value.shape) for key, value in state.items()}
    for other in others:
        theirs = {key: tuple(value.shape) for key, value in other.items()}
        if odd := sorted(key for key in ours | theirs if ours.get(key) != theirs.get(key)):
            found = f"{theirs.get(odd[0])} for {ours.get(odd[0])}"
            raise ValueError(f"the soup's {odd[0]} is {found}; accepted: codecs of the same tensors")
    return {
        key: torch.stack([side[key].float() for side in (state, *others)]).mean(0).to(value.dtype)
        for key, value in state.items()
    }


def command(
    checkpoint: Annotated[Path, typer.Argument(exists=True, dir_okay=False)],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Where to write the codec.")],
    average: Annotated[bool, typer.Option(help="The moving average of the weights, or the last.")] = True,
    half: Annotated[bool, typer.Option("--half", help="Store float16: half the size.")] = False,
    soup: Annotated[
        list[str] | None, typer.Option(help="A codec to take the mean of weights with; may be repeated.")
    ] = None,
    discriminator: Annotated[
        bool, typer.Option("--discriminator", help="Write the discriminator too.")
    ] = False,
    trust: Annotated[list[str] | None, typer.Option(help="A module prefix of parts of one's own.")] = None,
) -> None:
    """Turn a training checkpoint into a codec folder."""
    codec = export(checkpoint, folder, average, half, ("vocable.", *(trust or ())), soup or (), discriminator)
    typer.echo(f"{folder}: {codec.num_codebooks} codebooks, {codec.bit_rate() / 1000:g} kbit/s")


def main() -> None:
    """The command line."""
    typer.run(command)


if __name__ == "__main__":
    main()
