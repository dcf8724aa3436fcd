"""What judges with models share: audio at their rate, packages that must be there, weights and versions."""

import hashlib
import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from torch import Tensor

from vocable.benchmarks.judges.base import Unavailable, Utterance
from vocable.codecs import cache
from vocable.codecs.audio import resample
from vocable.codecs.zoo.published import Source


def at(rate: int, utterance: Utterance, wav: Tensor, seconds: float) -> Tensor:
    """`wav` (T,), the utterance's own or what a codec made of it, as float32 on the CPU at `rate` Hz.

    ValueError unless it is as long as the utterance, finite, and `seconds` long or more.
    """
    if wav.shape != utterance.wav.shape or not wav.is_floating_point():
        found = f"{wav.dtype} {tuple(wav.shape)}"
        raise ValueError(f"what was made is {found}; accepted: float {tuple(utterance.wav.shape)}")
    if not wav.isfinite().all():
        raise ValueError("what was made has NaN or infinite samples; accepted: finite ones")
    length = len(wav) / utterance.sample_rate
    if length < seconds:
        raise ValueError(f"the audio is {length:.3f} s long; accepted: {seconds:.3f} s or more")
    return resample(wav.detach().cpu().float(), utterance.sample_rate, rate)


def need(modules: tuple[str, ...], install: str) -> None:
    """Import every module; Unavailable, naming what to `install`, where one can't be imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages about their own packages
        for module in modules:
            try:
                import_module(module)
            except ImportError as error:
                raise Unavailable(f"{module} can't be imported ({error}): pip install {install}") from error


def versions(*packages: str) -> str:
    """Packages with their versions, as in "torch 2.11.0, librosa 0.11.0"."""
    return ", ".join(f"{package} {version(package)}" for package in packages)


def digest(*paths: Path) -> str:
    """The first 12 digits of the files' SHA-256, as in "weights 269fbebdb513 9246480c5856"."""
    found = []
    for path in paths:
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest()[:12])
    return f"weights {' '.join(found)}"


def weights(source: Source) -> Path:
    """A file of published weights: from the cache's folder `judges`, where it can be put by hand, or fetched.

    Unavailable where it is in no cache and can't be downloaded, or is not the published file.
    """
    placed = cache.root() / "judges" / Path(source.file).name
    try:
        if not placed.is_file():
            return cache.fetch(source, placed.name)
        with placed.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        why = error.__cause__ or error
        raise Unavailable(
            f"{source.address} could not be downloaded ({type(why).__name__}: {why}); "
            f"with the file at hand: put it at {placed}"
        ) from error
    except ValueError as error:
        raise Unavailable(str(error)) from error
    if found != source.sha256:
        raise Unavailable(f"{placed}: SHA-256 is {found}; accepted: {source.sha256}, of {source.address}")
    return placed
