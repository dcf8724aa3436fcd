"""What can be measured between two signals without any model of listening or speaking.

Everything at 16 kHz, resampled by soxr. One judge each, so that a recording that one can't take, as STOI with
too little speech, is still measured by the others.
"""

import math
from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from vocable.benchmarks.judges.base import Column, Judge, Score, Utterance
from vocable.benchmarks.judges.common import at, need, versions
from vocable.codecs import measure
from vocable.codecs.delay import delay

RATE = 16_000


class SignalJudge(Judge):
    """A number of two signals at 16 kHz; `packages` are what it depends on, all imported by the same name."""

    kind = "signal"
    packages: ClassVar[tuple[str, ...]] = ()
    revision: ClassVar[int] = 1  # of how it is measured here

    def check(self) -> None:
        need(self.packages, " ".join(self.packages))

    @property
    def version(self) -> str:
        return f"{self.revision}, {versions(*self.packages, 'soxr')}"

    @abstractmethod
    def compare(self, reference: Tensor, estimate: Tensor) -> float:
        """The measure of two (T,) at 16 kHz; infinite where it has no value for two equal ones."""

    def __call__(self, utterance: Utterance, made: Tensor) -> dict[str, Score]:
        pair = (at(RATE, utterance, wav, 0) for wav in (utterance.wav, made))
        value = self.compare(*pair)
        return {} if value == math.inf else {self.columns[0].name: Score(value)}


class STOI(SignalJudge):
    """Short-time objective intelligibility, not extended, by pystoi; 1 for two equal signals.

    https://ieeexplore.ieee.org/document/5495701.
    """

    name = "STOI"
    packages = ("pystoi",)
    columns = (Column("STOI", "Intelligibility beside the original, 0 to 1, by pystoi.", "higher"),)

    def compare(self, reference: Tensor, estimate: Tensor) -> float:
        return measure.stoi(reference, estimate, RATE)


class PESQWideBand(SignalJudge):
    """ITU-T P.862.2 by the package pesq; 4.64 for two equal signals, which have 60 s at most.

    It aligns the two by itself, passage by passage, and where that fails a good recording gets about 1.1:
    PESQ-NB beside it, which aligns otherwise, tells.
    """

    name = "PESQ-WB"
    packages = ("pesq",)
    columns = (Column("PESQ-WB", "Quality beside the original, 1 to 4.64: P.862.2, 16 kHz.", "higher"),)

    def compare(self, reference: Tensor, estimate: Tensor) -> float:
        return measure.pesq_wb(reference, estimate, RATE)


class PESQNarrowBand(SignalJudge):
    """ITU-T P.862 and P.862.1 of what telephones pass, by the package pesq; 4.55 for two equal signals."""

    name = "PESQ-NB"
    packages = ("pesq",)
    columns = (
        Column("PESQ-NB", "Quality as on a telephone beside the original, 1 to 4.55: P.862.1.", "higher"),
    )

    def compare(self, reference: Tensor, estimate: Tensor) -> float:
        return measure.pesq_nb(reference, estimate, RATE)


class SISDR(SignalJudge):
    """Scale-invariant signal-to-distortion ratio (https://arxiv.org/abs/1811.02508); none for equal signals.

    It sinks with any delay, and says nothing of codecs that make their own phase.
    """

    name = "SI-SDR"
    columns = (Column("SI-SDR", "Energy of the original in the output over the rest.", "higher", 2, "dB"),)

    def compare(self, reference: Tensor, estimate: Tensor) -> float:
        return measure.si_sdr(reference, estimate)


class MelDistance(SignalJudge):
    """The mel distance of DAC's evaluation (https://arxiv.org/abs/2306.06546, section 4.4).

    Mean absolute difference of log10 mel magnitudes, at least 1e-5 each, summed over windows of 32, 64, ...
    2048 samples with 5, 10, ... 320 bands and hops of a quarter. 0 for equal signals, and 7 for a tenth of
    the amplitude where nothing is below the floor.
    """

    name = "mel distance"
    packages = ("torchaudio",)
    columns = (Column("mel distance", "Log-mel distance from the original, as in DAC's paper.", "lower"),)

    @cached_property
    def _loss(self) -> Any:
        from vocable.losses.spectral import MultiScaleMelLoss

        return MultiScaleMelLoss(RATE)

    def compare(self, reference: Tensor, estimate: Tensor) -> float:
        return float(self._loss(estimate[None, None], reference[None, None]))


class STFTDistance(SignalJudge):
    """The STFT distance of DAC's evaluation (https://arxiv.org/abs/2306.06546, section 4.4).

    Mean absolute difference of magnitudes plus that of log10 of their squares, at least 1e-5 before squaring,
    summed over windows of 2048 and 512 samples with hops of a quarter. 0 for equal signals.
    """

    name = "STFT distance"
    columns = (Column("STFT distance", "Spectral distance from the original, as in DAC's paper.", "lower"),)

    @cached_property
    def _stfts(self) -> Any:
        from vocable.losses.stft import STFT

        return [STFT(window, window // 4) for window in (2048, 512)]

    def compare(self, reference: Tensor, estimate: Tensor) -> float:
        distance = 0.0
        for stft in self._stfts:
            x, y = (stft(wav[None, None]).abs() for wav in (estimate, reference))
            logs = 2 * (x.clamp(min=1e-5).log10() - y.clamp(min=1e-5).log10()).abs().mean()
            distance += float((x - y).abs().mean() + logs)
        return distance


class Delay(SignalJudge):
    """Where the cross-correlation of output and original is highest, within 250 ms."""

    name = "delay"
    columns = (Column("delay", "How much later than the original the output is.", None, 2, "ms"),)

    def compare(self, reference: Tensor, estimate: Tensor) -> float:
        return delay(reference, estimate, RATE)
