"""Audio files and resampling block by block: what `audio` does with whole signals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.codecs import audio
from vocable.codecs.signal import check_samples

BLOCK = 2**17  # samples that are read at once
Blocks = Iterator[tuple[Tensor, bool]]  # each (C, n), and whether it is the last


def read(path: str | Path) -> Blocks:
    """A file's samples (C, n) at its own rate; ValueError as from `audio.read`, at that block."""
    with audio.open_file(path) as file:
        block = _next(file, path)
        if not len(block):
            raise ValueError(f"{path}: holds 0 samples; accepted: 1 or more")
        while len(block):
            after = _next(file, path)
            wav = torch.from_numpy(np.ascontiguousarray(block.T))
            yield check_samples(wav, f"{path}:"), not len(after)
            block = after


def resampled(blocks: Blocks, from_rate: int, to_rate: int, length: int | None = None) -> Blocks:
    """The very samples that `audio.resample` gives of the whole signal, to the bit.

    length: of the result, None for `resampled_length`.
    """
    import soxr

    if from_rate == to_rate and length is None:
        yield from blocks
        return
    stream: Any = None
    taken = given = 0
    for x, final in blocks:
        if stream is None:
            stream = soxr.ResampleStream(from_rate, to_rate, len(x), dtype="float32", quality="VHQ")
        taken += x.shape[-1]
        if final:
            if length is None:
                length = audio.resampled_length(taken, from_rate, to_rate)
            # as there: soxr may stop a sample early
            x = F.pad(x, (0, max(0, (length + 1) * from_rate // to_rate + 2 - taken)))
        rows = np.ascontiguousarray(x.float().cpu().numpy().T)
        out = stream.resample_chunk(rows, last=final)[: None if length is None else length - given]
        given += len(out)
        yield torch.from_numpy(np.ascontiguousarray(out.T)).reshape(len(x), -1), final


def _next(file: Any, path: str | Path) -> np.ndarray:
    try:
        return file.read(BLOCK, dtype="float32", always_2d=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: the audio can't be read: {error}") from error
