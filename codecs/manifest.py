"""Audio in folders and manifests, as a list of files, or of clips with their lengths."""

import csv
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

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


class Entry(NamedTuple):
    """A file as a source names it; seconds: None where nothing says them; fields: the manifest's others."""

    path: Path
    seconds: float | None = None
    fields: Mapping[str, str] = MappingProxyType({})


def find_clips(source: Source, where: Mapping[str, object] | None = None) -> tuple[list[Clip], int]:
    """The clips of a source, or of several, and how many files were skipped as broken; see `find_files`.

    Lengths come from a column seconds or duration, else from the files' headers.
    """
    found = _all_entries(source, where)
    unknown = [entry.path for entry in found if entry.seconds is None]
    measured = [clip for clip in each_file(_measure, unknown, "Measuring files") if clip]
    clips = [Clip(entry.path, entry.seconds) for entry in found if entry.seconds is not None] + measured
    if not clips:
        raise ValueError(f"{_shown(source)}: 0 readable audio files; accepted: 1 or more")
    return clips, len(unknown) - len(measured)


def find_files(source: Source, where: Mapping[str, object] | None = None) -> list[Path]:
    """The audio files of a source, or of several, unopened.

    source: an audio file, a folder (searched to any depth), a CSV with a header, a JSONL, or LJSpeech's
        metadata.csv; relative paths start at the manifest's folder.
    where: the rows of a manifest to keep, as column -> value; None is any.
    """
    return [entry.path for entry in find_entries(source, where)]


def find_entries(source: Source, where: Mapping[str, object] | None = None) -> list[Entry]:
    """What `find_files` finds, with the other columns of the manifests; empty cells are left out."""
    found = _all_entries(source, where)
    if not found:
        kept = f" of {dict(where)}" if where else ""
        raise ValueError(f"{_shown(source)}: 0 audio files{kept}; accepted: 1 or more")
    return found


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


def _all_entries(source: Source, where: Mapping[str, object] | None) -> list[Entry]:
    sources = [source] if isinstance(source, str | Path) else source
    wanted = {name: value for name, value in (where or {}).items() if value is not None}
    return [entry for path in sources for entry in _entries(Path(path), wanted)]


def _shown(source: Source) -> str:
    sources = [source] if isinstance(source, str | Path) else list(source)
    return ", ".join(map(str, sources[:3])) + (f" and {len(sources) - 3} more" if len(sources) > 3 else "")


def _entries(source: Path, where: dict[str, object]) -> list[Entry]:
    """Each file of one source."""
    kind = source.suffix.lower()
    if where and (source.is_dir() or kind in SUFFIXES):
        raise ValueError(f"{source} is no manifest, without columns {sorted(where)}; accepted: a manifest")
    if kind in SUFFIXES and not source.is_dir():
        return [Entry(source)]
    if source.is_dir():
        return [Entry(file) for file in sorted(source.rglob("*")) if file.suffix.lower() in SUFFIXES]
    if not source.is_file():
        raise ValueError(f"{source}: no such file; accepted: a folder, a CSV or JSONL manifest")
    if kind not in (".csv", ".jsonl"):
        raise ValueError(f"{source}: the suffix is {kind!r}; accepted: .csv, .jsonl, audio, a folder")
    rows = _jsonl(source) if kind == ".jsonl" else _csv(source)
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
        Entry(
            source.parent / str(row[path]),
            _seconds(row.get(seconds) if seconds else None, source),
            {name: str(value) for name, value in row.items() if value not in (None, "")},
        )
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
