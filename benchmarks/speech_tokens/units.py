"""Phonetic units: k-means of a speech model's features, as in HuBERT (https://arxiv.org/abs/2106.07447)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vocable.codecs import audio
from vocable.codecs.backbones.frames import spread
from vocable.codecs.backbones.whisper import RATE
from vocable.quantizers.clusters import kmeans, nearest

LAYER = 2  # of Whisper tiny.en, the one that tells phones best


class Heard(NamedTuple):
    """An utterance: its file, and what the speech model hears in it, (1, D, N)."""

    path: Path
    features: Tensor


def hear(paths: Iterable[Path], model: nn.Module, folder: Path) -> list[Heard]:
    """What a speech model that takes (B, 1, T) at 16 kHz hears in files.

    The features are new files in `folder`, which memory only mirrors: hours of speech make gigabytes.
    """
    found = []
    for index, path in enumerate(paths):
        features = model(audio.to_channels(audio.read(path, RATE)[0], 1)[None])
        store = folder / f"{index}.npy"
        np.save(store, features.numpy())
        found.append(Heard(path, torch.from_numpy(np.load(store, mmap_mode="r+"))))
    return found


def fit_units(heard: Sequence[Heard], count: int, frames: int) -> Tensor:
    """Centres (count, D) of at most so many frames, drawn at random; ValueError for fewer than `count`."""
    ends = torch.tensor([0] + [utterance.features.shape[2] for utterance in heard]).cumsum(0)
    picked = torch.randperm(int(ends[-1]))[:frames]
    if len(picked) < count:
        raise ValueError(f"units are {count} for {len(picked)} frames of speech; accepted: 2 to as many")
    features = torch.empty(len(picked), heard[0].features.shape[1])
    for utterance, start, end in zip(heard, ends[:-1], ends[1:], strict=True):
        inside = (picked >= start) & (picked < end)
        features[inside] = utterance.features[0].T[picked[inside] - start]
    return kmeans(features, features.new_ones(len(features)), count, iterations=50)[0]


def units_of(heard: Heard, centres: Tensor, tokens: int) -> Tensor:
    """The units (tokens,) that an utterance says, in as many even parts of it."""
    return nearest(spread(heard.features, tokens)[0].T, centres)
