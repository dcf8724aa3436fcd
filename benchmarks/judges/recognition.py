"""What turns speech to text, for judges that compare texts."""

from abc import ABC, abstractmethod
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from vocable.benchmarks.judges.base import Unavailable
from vocable.codecs.audio import resample

RATE = 16_000  # Hz, of all speech recognisers here


class Recogniser(ABC):
    """Hears English words in audio of any length, always the same ones in the same audio.

    name: in its columns. shortest: samples at 16 kHz that its model needs; zeros lengthen what has fewer.
    Making one is cheap: the model is loaded by the first call, and kept.
    """

    name: ClassVar[str]
    shortest: ClassVar[int] = 1

    @abstractmethod
    def check(self) -> None:
        """Raise `Unavailable` unless packages and weights are here, fetching weights if that is possible."""

    @property
    @abstractmethod
    def version(self) -> str:
        """What its texts depend on: packages, weights and settings. Only called after `check`."""

    @abstractmethod
    def recognise(self, wav: Tensor) -> str:
        """What is said in (T,) float32 at 16 kHz, T at least `shortest`, not all zeros."""

    def transcribe(self, wav: Tensor, sample_rate: int) -> str:
        """What is said in (T,) float32 in [-1, 1] at `sample_rate` Hz, resampled by soxr; "" for zeros.

        Recognisers make up words ("you", "thank you") of digital silence, so it is not shown to them.
        """
        if wav.ndim != 1 or not wav.numel() or not wav.is_floating_point():
            raise ValueError(f"wav is {wav.dtype} {tuple(wav.shape)}; accepted: float (T,), T of 1 or more")
        if not wav.any():
            return ""
        wav = resample(wav.detach().cpu().float(), sample_rate, RATE)
        return self.recognise(F.pad(wav, (0, max(0, self.shortest - len(wav)))))


def packaged(module: str, names: tuple[str, ...], install: str) -> tuple[Path, ...]:
    """Files of an installed module, by their names in it; Unavailable where it doesn't hold them all."""
    paths = tuple(Path(str(files(module))) / name for name in names)
    if missing := [path for path in paths if not path.is_file()]:
        raise Unavailable(f"{', '.join(map(str, missing))}: no such file; accepted: pip install {install}")
    return paths
