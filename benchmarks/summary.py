"""The results of single files as the rows of a table."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from vocable.benchmarks.judges.base import Column, Judge
from vocable.benchmarks.results import Estimate, Failure, FileScore, Row
from vocable.benchmarks.run import MADE, Plan, step
from vocable.benchmarks.significance import estimate
from vocable.benchmarks.store import Key, Store
from vocable.benchmarks.utterances import Recording

TOKEN_COLUMNS = (
    Column("kbit/s", "Bits a second that the tokens or packets take.", "lower"),
    Column("codebook use", "Share of the codebooks' entries that these files use.", None, 0, "%"),
    Column("entropy", "Bits in a token, by how often each entry is used; too low where data are few.", None),
    Column("entropy kbit/s", "Bit rate that this entropy would allow a coder.", None),
)


def summarise(
    plan: Plan, recordings: dict[str, Recording], judges: Sequence[Judge], store: Store
) -> tuple[Row, list[FileScore], list[Failure]]:
    """One codec's row, the scores behind it, and what failed, of recordings by key."""
    made, codes, failures = [], [], []
    scores: list[FileScore] = []
    for key, recording in recordings.items():
        result = store.get(Key(plan.identity, key, MADE))
        path = str(recording.path)
        if result is None or "failed" in result:
            reason = "not run" if result is None else result["failed"]
            failures.append(Failure(plan.name, path, "codec", reason))
            continue
        made.append(result)
        held = store.codes(Key(plan.identity, key, MADE))
        codes += [] if held is None else [held]
        for judge in judges:
            found = store.get(Key(plan.identity, key, step(judge)))
            if found is None or "failed" in found:
                reason = "not run" if found is None else found["failed"]
                failures.append(Failure(plan.name, path, judge.name, reason))
                continue
            scores += [FileScore(plan.name, path, column, *pair) for column, pair in found.items()]
    cells = _token_cells(made, codes) | _judged_cells(scores)
    first: dict[str, Any] = made[0] if made else {"frame_rate": None, "codebook_sizes": None}
    frame_rate, sizes = first["frame_rate"], first["codebook_sizes"]
    token_rate = None if frame_rate is None or sizes is None else frame_rate * len(sizes)
    row = Row(plan.name, token_rate, None if sizes is None else tuple(sizes), frame_rate, cells)
    return row, scores, failures


def _judged_cells(scores: Iterable[FileScore]) -> dict[str, Estimate]:
    columns: dict[str, list[FileScore]] = defaultdict(list)
    for score in scores:
        columns[score.column].append(score)
    return {
        name: estimate(np.array([s.value for s in found]), np.array([s.weight for s in found]))
        for name, found in columns.items()
        if sum(score.weight for score in found) > 0
    }


def _token_cells(made: list[dict[str, Any]], codes: list[np.ndarray]) -> dict[str, Estimate]:
    """What the tokens themselves tell, over all files together."""
    if not made:
        return {}
    seconds = sum(result["seconds"] for result in made)
    bits = sum(result["bit_rate"] * result["seconds"] for result in made)
    cells = {"kbit/s": Estimate(bits / seconds / 1000, files=len(made))}
    sizes, frame_rate = made[0]["codebook_sizes"], made[0]["frame_rate"]
    if not codes or sizes is None or frame_rate is None:
        return cells
    counts = [_counts(codes, k) for k in range(len(sizes))]
    entropies = [_entropy(each) for each in counts]
    used = sum(len(each) for each in counts) / sum(sizes)
    count = len(codes)
    return cells | {
        "codebook use": Estimate(100 * used, files=count),
        "entropy": Estimate(sum(entropies) / len(sizes), files=count),
        "entropy kbit/s": Estimate(frame_rate * sum(entropies) / 1000, files=count),
    }


def _counts(codes: list[np.ndarray], codebook: int) -> Counter[int]:
    """How often each entry is used; no array, as some codebooks have more entries than there are tokens."""
    counts: Counter[int] = Counter()
    for each in codes:
        entries, times = np.unique(each[codebook], return_counts=True)
        counts.update(dict(zip(entries.tolist(), times.tolist(), strict=True)))
    return counts


def _entropy(counts: Counter[int]) -> float:
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values())
