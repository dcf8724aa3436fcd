"""Results of single files, kept so that a run that was killed goes on, and a larger one starts from them."""

import io
import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

SCHEMA = """
CREATE TABLE IF NOT EXISTS found (
    subject TEXT, recording TEXT, step TEXT, result TEXT NOT NULL, codes BLOB,
    PRIMARY KEY (subject, recording, step)
) WITHOUT ROWID
"""


class Key(NamedTuple):
    """What a result belongs to: hashes of the codec and of the recording, and the step with its version."""

    subject: str
    recording: str
    step: str


class Store:
    """A SQLite file of results; ":memory:" keeps them no longer than this object.

    ValueError for a file that is not one.
    """

    def __init__(self, path: Path | str) -> None:
        if str(path) != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=60, isolation_level=None)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(SCHEMA)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise ValueError(f"{path}: {error}; accepted: a SQLite file of results, or a new one") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, key: Key) -> dict[str, Any] | None:
        """A result, None where there is none."""
        query = "SELECT result FROM found WHERE subject = ? AND recording = ? AND step = ?"
        row = self._connection.execute(query, key).fetchone()
        return None if row is None else json.loads(row[0])

    def codes(self, key: Key) -> np.ndarray | None:
        """The codes (K, N) that were put with a result."""
        query = "SELECT codes FROM found WHERE subject = ? AND recording = ? AND step = ?"
        row = self._connection.execute(query, key).fetchone()
        if row is None or row[0] is None:
            return None
        with np.load(io.BytesIO(row[0]), allow_pickle=False) as held:
            return held["codes"].astype(np.int64)

    def put(self, key: Key, result: dict[str, Any], codes: np.ndarray | None = None) -> None:
        """Keep a result from now on; one with the same key is replaced."""
        packed = None
        if codes is not None:
            file = io.BytesIO()
            np.savez_compressed(file, codes=codes.astype(np.min_scalar_type(int(codes.max()))))
            packed = file.getvalue()
        text = json.dumps(result, allow_nan=False)
        self._connection.execute("INSERT OR REPLACE INTO found VALUES (?, ?, ?, ?, ?)", (*key, text, packed))
