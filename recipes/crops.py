"""Random crops of clips: which ones, and from where, is a function of the seed and the example's index."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vocable.codecs import audio
from vocable.codecs.manifest import Clip, each_file

PIECES = 16  # clips that may follow one another in a crop
CANDIDATES = 3  # crops drawn for a voiced one
MP3_LEAD = 10 * 1152  # samples; an MP3 frame borrows bits from those before it, and is garbled without them
ATTEMPTS = 20  # broken files in a row before a training run gives up


class ClipSource(Protocol):
    """Clips to cut from."""

    clips: Sequence[Clip]

    def crop(self, index: int, samples: int, place: float) -> Tensor:
        """Clip `index` from `place`, 0 (its start) to 1 (its end): (C, T), T at most `samples`."""
        ...


class FileClips:
    """Clips read from their files, no more than a crop needs, and resampled after."""

    def __init__(self, clips: Sequence[Clip], sample_rate: int, channels: int = 1) -> None:
        self.clips: Sequence[Clip] = clips
        self.sample_rate, self.channels = sample_rate, channels

    def crop(self, index: int, samples: int, place: float) -> Tensor:
        return audio.to_channels(cut(self.clips[index].path, samples, place, self.sample_rate), self.channels)


class MemoryClips:
    """Clips decoded once and kept as 16-bit samples: 115 MB an hour at 16 kHz."""

    def __init__(self, clips: Sequence[Clip], sample_rate: int, channels: int = 1) -> None:
        def load(clip: Clip) -> np.ndarray:
            wav = audio.to_channels(audio.read(clip.path, sample_rate)[0], channels)
            return (wav * 32768).round().clamp(-32768, 32767).to(torch.int16).numpy()

        loaded = each_file(load, clips, "Loading audio")
        self.waves = [wav for wav in loaded if wav is not None]
        self.clips: Sequence[Clip] = [
            clip for clip, wav in zip(clips, loaded, strict=True) if wav is not None
        ]

    def crop(self, index: int, samples: int, place: float) -> Tensor:
        wav = self.waves[index]
        start = _start(wav.shape[-1], samples, place)
        return torch.from_numpy(wav[:, start : start + samples]).float() / 32768


class Crops(Dataset[Tensor]):
    """Endless crops (C, samples), drawn in proportion to the clips' durations.

    Of a few candidates the first above `voiced_db` is taken, else the loudest: silence teaches little.
    Clips shorter than a crop follow one another. A file that can't be read gives way to another draw.

    gain_db: the range of a random gain, which never clips.
    """

    def __init__(
        self,
        source: ClipSource,
        samples: int,
        seed: int = 0,
        gain_db: tuple[float, float] = (0.0, 0.0),
        voiced_db: float = -40.0,
    ) -> None:
        if not source.clips:
            raise ValueError("0 clips; accepted: 1 or more")
        self.source, self.samples, self.seed = source, samples, seed
        self.gain_db, self.voiced_db = gain_db, voiced_db
        self._ends = np.cumsum([clip.seconds for clip in source.clips])
        # shared with the loader's workers, so that they warn once of a file and the count holds theirs
        self._broken = torch.zeros(len(source.clips), dtype=torch.bool).share_memory_()

    @property
    def broken(self) -> list[Path]:
        """The files that couldn't be read so far."""
        return [self.source.clips[i].path for i in self._broken.nonzero().flatten().tolist()]

    def __getitem__(self, index: int) -> Tensor:
        """Example `index`, 0 or more, without end: (C, samples)."""
        rng = np.random.default_rng((self.seed, index))
        pieces: list[Tensor] = []
        missing = self.samples
        while missing and len(pieces) < PIECES:
            pieces.append(voiced(partial(self._readable, missing, rng), self.voiced_db))
            missing -= pieces[-1].shape[-1]
        wav = torch.nn.functional.pad(torch.cat(pieces, -1), (0, missing))
        return amplified(wav, rng.uniform(*self.gain_db))

    def _readable(self, samples: int, rng: np.random.Generator) -> Tensor:
        for _ in range(ATTEMPTS):
            point, place = rng.random() * self._ends[-1], rng.random()
            index = int(np.searchsorted(self._ends, point, side="right"))
            try:
                return self.source.crop(index, samples, place)
            except (ValueError, OSError) as error:
                # tried again at the next draw: skipping known ones would make examples depend on history
                if not self._broken[index]:
                    self._broken[index] = True
                    warnings.warn(f"skipped: {error}", stacklevel=2)
        raise ValueError(f"{ATTEMPTS} broken files in a row, of {len(self.source.clips)} clips")


def cut(file: Path | BinaryIO, samples: int, place: float, sample_rate: int) -> Tensor:
    """From `place` of an audio file, 0 (its start) to 1 (its end), so many samples of `sample_rate`: (C, T).

    T is smaller where the file is shorter. No more is decoded than that.
    """
    found = audio.info(file)
    needed = -(-samples * found.sample_rate // sample_rate)  # rounded up, at the file's rate
    start = _start(found.frames, needed, place)
    lead = min(start, MP3_LEAD) if str(file).lower().endswith(".mp3") else 0
    wav, rate = audio.read(file, None, start - lead, needed + lead)
    return audio.resample(wav[:, lead:], rate, sample_rate)[:, :samples]


def voiced(draw: Callable[[], Tensor], threshold_db: float) -> Tensor:
    """The first of a few draws (C, T) above a level, else the loudest."""
    best, loudest = None, -1.0
    for _ in range(CANDIDATES):
        wav = draw()
        power = float(wav.square().mean())
        if power > loudest:
            best, loudest = wav, power
        if power >= 10 ** (threshold_db / 10):
            break
    assert best is not None
    return best


def amplified(wav: Tensor, gain_db: float) -> Tensor:
    """`wav` (C, T) louder by `gain_db`, but not so much that it clips."""
    peak = float(wav.abs().max())
    return wav * min(10 ** (gain_db / 20), max(1.0, 1 / peak if peak else 1.0))


def _start(total: int, samples: int, place: float) -> int:
    return int(place * (max(0, total - samples) + 1))
