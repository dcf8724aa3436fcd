"""The benchmark of tokens: encode, then measure each codebook."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from torch import nn

from vocable.benchmarks.speech_tokens.codebook import Options, measure
from vocable.benchmarks.speech_tokens.rows import TokenRow
from vocable.benchmarks.speech_tokens.shifts import Same, stability, total
from vocable.benchmarks.speech_tokens.speakers import Windows, cut
from vocable.benchmarks.speech_tokens.speech import Speech, say
from vocable.benchmarks.speech_tokens.units import LAYER, fit_units, hear
from vocable.codecs import Codec
from vocable.codecs.backbones.whisper import whisper_tiny_en

SHIFTED = 50  # test files, evenly spread, that are shifted
DEFAULT = Options()


def run(
    codecs: Mapping[str, Codec],
    train: Sequence[Path],
    test: Sequence[Path],
    speakers: Mapping[Path, str],
    options: Options = DEFAULT,
    teacher: nn.Module | None = None,
    console: Console | None = None,
) -> list[TokenRow]:
    """Measure codecs, by name and on the CPU, on files: a row for each codebook.

    train: files to fit units, probes and frequencies on; test: to judge them on, of other speakers.
    speakers: of any of these files; they are told apart in all of them. teacher: what units are clusters of,
    (B, 1, T) at 16 kHz to (B, D, N); None: Whisper tiny.en. console: where progress is shown, None: nowhere.
    The caller's random numbers stay as they are. ValueError for what can't be read, encoded or clustered.
    """
    teacher = whisper_tiny_en(layer=LAYER) if teacher is None else teacher
    paths, rows = [*train, *test], []
    with (
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(devices=[]),
        Progress(console=console, disable=console is None, transient=True) as progress,
    ):
        heard = hear(progress.track(paths, description="listening"), teacher, Path(folder))
        torch.manual_seed(options.seed)
        centres = fit_units(heard[: len(train)], options.units, options.frames)
        for name, codec in codecs.items():
            torch.manual_seed(options.seed)
            encoded = progress.track(heard, description=f"{name}, encoding")
            speech = say(codec, encoded, len(train), centres)
            stable = _shift(codec, speech, test, progress, name)
            windows = _windows(codec, speech, paths, speakers, options.window)
            for book, same in enumerate(progress.track(stable, description=f"{name}, codebooks")):
                rows.append(measure(name, codec.frame_rate, speech, windows, book, same, options))
    return rows


def _shift(codec: Codec, speech: Speech, test: Sequence[Path], progress: Progress, name: str) -> list[Same]:
    """How stable each codebook's tokens are."""
    step = -(-len(test) // SHIFTED)
    pairs = list(zip(test, speech.codes[speech.fitted :], strict=True))[::step]
    shifted = progress.track(pairs, description=f"{name}, shifting")
    return total([stability(codec, speech.books, path, codes) for path, codes in shifted])


def _windows(
    codec: Codec, speech: Speech, paths: Sequence[Path], speakers: Mapping[Path, str], seconds: float
) -> Windows | str:
    """Of all utterances, or why there are none."""
    frames = [codes.shape[1] for codes in speech.codes]
    try:
        return cut(paths, frames, speakers, max(1, round(seconds * codec.frame_rate)))
    except ValueError as error:
        return str(error)
