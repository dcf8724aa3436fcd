"""How well a codebook tells who speaks: a probe that sees a few seconds of its tokens."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vocable.benchmarks.speech_tokens.probe import fit_probe

MOST = 50  # windows of a speaker on each side: a talkative one is no longer heard than that

Spans = list[tuple[int, int, int]]  # of frames: (utterance, first, past the last)


class Windows(NamedTuple):
    """Windows of speech: those to fit on and those to test on, each with its speaker (M,).

    split: what the two sides have of a speaker, different "utterances", or "halves" of the same ones.
    """

    fit: Spans
    fit_speakers: Tensor
    test: Spans
    test_speakers: Tensor
    names: tuple[str, ...]
    split: Literal["utterances", "halves"]


def cut(paths: Sequence[Path], frames: Sequence[int], speakers: Mapping[Path, str], window: int) -> Windows:
    """Windows of about `window` frames in utterances of so many; a shorter utterance or half is one.

    Where two or more speakers have several utterances, of these speakers the first half of the utterances is
    fitted and the rest is tested; otherwise the first half of each utterance, in time, and the second.
    ValueError for fewer than two speakers.
    """
    of: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        if path in speakers and frames[index] >= 2:
            of.setdefault(speakers[path], []).append(index)
    several = {name: indices for name, indices in of.items() if len(indices) > 1}
    if len(several) >= 2:
        sides = {name: _utterances(indices, frames) for name, indices in several.items()}
    else:
        sides = {name: _halves(indices, frames) for name, indices in of.items()}
    if len(sides) < 2:
        raise ValueError(f"speakers are {sorted(of)}; accepted: 2 or more, in a manifest's column speaker")
    names = tuple(sorted(sides))
    found: list[tuple[Spans, Tensor]] = []
    for side in (0, 1):
        spans = [
            _spread([part for whole in sides[name][side] for part in _parts(whole, window)]) for name in names
        ]
        labels = torch.arange(len(names)).repeat_interleave(torch.tensor([len(each) for each in spans]))
        found.append(([span for each in spans for span in each], labels))
    return Windows(*found[0], *found[1], names, "utterances" if len(several) >= 2 else "halves")


def told_apart(windows: Windows, latents: Callable[[int, int, int], Tensor]) -> float:
    """The share of test windows whose speaker a linear probe finds, mean over N speakers: by chance 1 / N.

    It sees the mean and the deviation of a window's latents, as speaker recognition pools frames
    (https://www.danielpovey.com/files/2018_icassp_xvectors.pdf).

    latents: of a span of frames, (M, D).
    """

    def pooled(spans: Spans) -> Tensor:
        parts = (latents(*span) for span in spans)
        return torch.stack([torch.cat([part.mean(0), part.std(0, correction=0)]) for part in parts])

    probe = fit_probe(pooled(windows.fit), windows.fit_speakers, len(windows.names))
    right = (probe.guess(pooled(windows.test)) == windows.test_speakers).double()
    return float(
        torch.stack([right[windows.test_speakers == who].mean() for who in range(len(windows.names))]).mean()
    )


def _utterances(indices: Sequence[int], frames: Sequence[int]) -> tuple[Spans, Spans]:
    whole = [(index, 0, frames[index]) for index in indices]
    return whole[: len(whole) // 2], whole[len(whole) // 2 :]


def _halves(indices: Sequence[int], frames: Sequence[int]) -> tuple[Spans, Spans]:
    middles = [(index, frames[index] // 2) for index in indices]
    return [(i, 0, middle) for i, middle in middles], [(i, middle, frames[i]) for i, middle in middles]


def _parts(span: tuple[int, int, int], window: int) -> Spans:
    """A span in even parts of at least `window` frames, if it has so many."""
    index, start, end = span
    count = max(1, (end - start) // window)
    edges = [start + (end - start) * i // count for i in range(count + 1)]
    return [(index, a, b) for a, b in pairwise(edges)]


def _spread(spans: Spans) -> Spans:
    """At most MOST of them, evenly spread."""
    step = max(1, -(-len(spans) // MOST))
    return spans[::step]
