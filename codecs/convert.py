"""Official checkpoints to codecs: read without unpickling objects, renamed, and loaded strictly."""

import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vocable.codecs.zoo.published import Published


def official_state(published: Published, files: Sequence[str | Path]) -> dict[str, Tensor]:
    """The tensors of the codec `published`, from its official files in the order of its sources.

    ValueError for another number of files, for one that can't be read safely, and for a checkpoint with
    tensors left over.
    """
    if not published.sources:
        raise ValueError(f"{published.name!r} has no official weights; accepted: codecs that have")
    if len(files) != len(published.sources):
        wanted = ", ".join(source.address for source in published.sources)
        raise ValueError(f"{published.name!r} is given {len(files)} files; accepted: those of {wanted}")
    contents = [read_official(file) for file in files]
    try:
        return published.state(*contents)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        known = "a checkpoint in its official layout"
        raise ValueError(f"{files[0]}: not {published.name!r}: {error!r}; accepted: {known}") from error


def read_official(path: str | Path) -> Any:
    """What a .safetensors, .json or .npy file, or else a checkpoint of torch, holds: tensors and plain data.

    ValueError where it is damaged, or would run code to be read.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        if path.suffix == ".npy":
            return torch.from_numpy(np.load(path, allow_pickle=False))
        # a buffer of bytes, which some of X-codec's files hold beside their tensors, runs no code
        with torch.serialization.safe_globals([BytesIO]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # safetensors', zip's, pickle's and torch's own
        known = "safetensors, JSON, NumPy's arrays, and checkpoints of torch that hold tensors and plain data"
        raise ValueError(f"{path}: can't be read: {error}; accepted: {known}") from error
