"""The discriminator that a codec was trained with, beside its weights: for trainings that go on."""

from pathlib import Path

from safetensors.torch import save
from torch import Tensor, nn

from vocable.codecs import hub
from vocable.codecs.convert import read_official
from vocable.codecs.files import replacing
from vocable.recipes.checkpoint import read_part
from vocable.recipes.matching import fitted, match

FILE = "discriminator.safetensors"


def keep(checkpoint: Path, folder: Path, half: bool = False) -> None:
    """Write the discriminator of a training's checkpoint to a codec's `folder`, made where it is missing.

    half: as float16. ValueError, and nothing written, where the training has none.
    """
    if not (state := read_part(checkpoint, "discriminator.")):
        raise ValueError(f"{checkpoint} has no discriminator; accepted: a training's with one")
    if half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / FILE) as file:
        file.write_bytes(save({key: value.contiguous() for key, value in state.items()}))


def recall(discriminator: nn.Module, source: str | Path) -> str:
    """Give `discriminator` the weights of the one that `source` was trained with where they fit, and say so.

    source: as for `vocable.recipes.init.warm_start`, but of a hub's repository it is not fetched. From random
    weights a discriminator hardly catches up with a trained codec that moves. ValueError for a damaged file.
    """
    theirs, own = _read(source), discriminator.state_dict()
    if not theirs:
        return "discriminator: none in the source"
    found = match(own, theirs)
    discriminator.load_state_dict(own | fitted(own, theirs, found.pairs))
    return f"discriminator: {len(found.pairs)} of {len(found.own)} layers"


def _read(source: str | Path) -> dict[str, Tensor]:
    if Path(source).is_file():
        return read_part(Path(source), "discriminator.")
    folder, _ = hub.find(source, None)
    return read_official(folder / FILE) if (folder / FILE).is_file() else {}
