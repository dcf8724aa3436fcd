"""Which files a benchmark runs on: a folder's, or those that a manifest lists."""

import csv
from pathlib import Path

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")


def find(data: str | Path, split: str | None = None, source: str | None = None) -> list[Path]:
    """The audio files of a folder and its subfolders, or of a manifest.

    A manifest is CSV with a column path, relative to its own folder, and, where `split` or `source` is to
    pick some of its files, one of that name.
    """
    data = Path(data)
    wanted = {name: value for name, value in (("split", split), ("source", source)) if value is not None}
    if data.is_dir():
        if wanted:
            raise ValueError(
                f"{data} is a folder, for which {' and '.join(wanted)} say nothing; accepted: a CSV"
            )
        paths = sorted(path for path in data.rglob("*") if path.suffix.lower() in SUFFIXES)
    else:
        with data.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if missing := sorted({"path", *wanted} - set(reader.fieldnames or ())):
                raise ValueError(f"{data}: has no column {', '.join(missing)}; it has {reader.fieldnames}")
            rows = [row for row in reader if all(row[name] == value for name, value in wanted.items())]
        paths = [data.parent / row["path"] for row in rows]
    if not paths:
        raise ValueError(f"{data}: holds no audio {wanted or ''}; accepted: one file or more")
    return paths
