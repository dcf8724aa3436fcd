"""What there is to train on: folders and manifests, read into a list of clips."""

import csv
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.progress import track

from vocable.codecs import audio

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".caf", ".w64")
PATH_COLUMNS = ("path", "audio_filepath", "file_name")
SECONDS_COLUMNS = ("seconds", "duration")

Source = str | Path | Sequence[str | Path]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Clip:
    """An audio file and its length."""

    path: Path
    seconds: float


def find_clips(source: Source, where: Mapping[str, object] | None = None) -> tuple[list[Clip], int]:
    """The clips of a source, or of several, and how many files were skipped as broken.

    source: a folder (searched to any depth), a CSV with a header, a JSONL, or LJSpeech's metadata.csv;
        relative paths start at the manifest's folder.
    where: the rows of a manifest to keep, as column -> value.
    """
    sources = [source] if isinstance(source, str | Path) else list(source)
    clips: list[Clip] = []
    unknown: list[Path] = []
    for path in map(Path, sources):
        for file, seconds in _entries(path, dict(where or {})):
            if seconds is None:
                unknown.append(file)
            else:
                clips.append(Clip(file, seconds))
    measured = [clip for clip in each_file(_measure, unknown, "Measuring files") if clip]
    clips += measured
    if not clips:
        raise ValueError(f"{', '.join(map(str, sources))}: 0 readable audio files; accepted: 1 or more")
    return clips, len(unknown) - len(measured)


def each_file(
    function: Callable[[Item], Result], items: Sequence[Item], description: str
) -> list[Result | None]:
    """`function` of each item, in threads; None, after a warning, where it raises as for a broken file."""

    def attempt(item: Item) -> Result | None:
        try:
            return function(item)
        except (ValueError, OSError) as error:
            warnings.warn(f"skipped: {error}", stacklevel=2)
            return None

    with ThreadPoolExecutor() as pool:
        results: Iterable[Result | None] = pool.map(attempt, items)
        return list(track(results, description, len(items), transient=True, disable=len(items) < 100))


def _measure(path: Path) -> Clip:
    found = audio.info(path)
    if found.frames < 1:
        raise ValueError(f"{path}: holds 0 samples; accepted: 1 or more")
    return Clip(path, found.frames / found.sample_rate)


def _entries(source: Path, where: dict[str, object]) -> list[tuple[Path, float | None]]:
    """Each file of one source with its seconds, None where nothing says them."""
    if source.is_dir():
        if where:
            raise ValueError(f"{source} is a folder, without columns {sorted(where)}; accepted: a manifest")
        return [(file, None) for file in sorted(source.rglob("*")) if file.suffix.lower() in SUFFIXES]
    if not source.is_file():
        raise ValueError(f"{source}: no such file; accepted: a folder, a CSV or JSONL manifest")
    if source.suffix.lower() not in (".csv", ".jsonl"):
        raise ValueError(f"{source}: the suffix is {source.suffix!r}; accepted: .csv, .jsonl, a folder")
    rows = _jsonl(source) if source.suffix.lower() == ".jsonl" else _csv(source)
    if not rows:
        raise ValueError(f"{source}: 0 rows; accepted: 1 or more")
    columns = list(rows[0])
    if missing := set(where) - set(columns):
        raise ValueError(f"{source}: no column {', '.join(sorted(missing))}; accepted: {', '.join(columns)}")
    path = next((name for name in PATH_COLUMNS if name in columns), None)
    if path is None:
        raise ValueError(f"{source}: columns are {', '.join(columns)}; accepted: one of {PATH_COLUMNS}")
    seconds = next((name for name in SECONDS_COLUMNS if name in columns), None)
    return [
        (source.parent / str(row[path]), _seconds(row.get(seconds) if seconds else None, source))
        for row in rows
        if all(str(row.get(name)) == str(value) for name, value in where.items())
    ]


def _seconds(value: object, source: Path) -> float | None:
    if value in (None, ""):
        return None
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{source}: a duration is {value!r}; accepted: seconds above 0")
    return seconds


def _csv(source: Path) -> list[dict[str, object]]:
    """The rows of a CSV with a header, or of LJSpeech's `id|text|text`, which has none."""
    with source.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        if "|" in first and not set(PATH_COLUMNS) & set(first.strip().split(",")):
            return [{"path": f"wavs/{line.split('|')[0]}.wav"} for line in file if line.strip()]
        return [dict(row) for row in csv.DictReader(file)]


def _jsonl(source: Path) -> list[dict[str, object]]:
    rows = []
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{source}, line {number}: {error}; accepted: a JSON object a line") from error
        if not isinstance(row, dict):
            raise ValueError(f"{source}, line {number} is {row!r}; accepted: a JSON object a line")
        rows.append(row)
    return rows
