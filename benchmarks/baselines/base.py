"""What every coder that is not a neural codec of vocable shares: its own rate, any length, an identity."""

import hashlib
from abc import abstractmethod

from torch import Tensor
from torch.nn import functional as F

from vocable.benchmarks.judges.common import versions
from vocable.benchmarks.subjects import Made, Subject
from vocable.codecs.audio import resample


class Baseline(Subject):
    """A coder of mono signals at `sample_rate` Hz, with soxr around it for any other rate.

    depends: what its output depends on beside the name: options, versions, hashes of weights.
    """

    def __init__(self, name: str, sample_rate: int, *depends: str) -> None:
        self.name, self.sample_rate = name, sample_rate
        parts = (name, str(sample_rate), *depends, versions("vocable", "soxr"))
        self.identity = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    @abstractmethod
    def code(self, wav: Tensor) -> Made:
        """(T,) float32 in [-1, 1] at `sample_rate` through the coder and back, in time, T samples."""

    def reconstruct(self, wav: Tensor, sample_rate: int) -> Made:
        check(wav)
        own = resample(wav.detach().cpu().float(), sample_rate, self.sample_rate)
        made, bit_rate, codes = self.code(own)
        return Made(resample(made, self.sample_rate, sample_rate, len(wav)), bit_rate, codes)


def check(wav: Tensor) -> None:
    """ValueError unless `wav` is float (T,) with a sample or more, all finite."""
    if wav.ndim != 1 or not wav.numel() or not wav.is_floating_point():
        raise ValueError(f"wav is {wav.dtype} {tuple(wav.shape)}; accepted: float (T,), T of 1 or more")
    if not wav.isfinite().all():
        raise ValueError("wav has NaN or infinite samples; accepted: finite ones")


def fit(wav: Tensor, skip: int, length: int) -> Tensor:
    """`length` samples of (T,) from sample `skip` on, with zeros after its end."""
    wav = wav[skip : skip + length]
    return F.pad(wav, (0, length - len(wav)))
