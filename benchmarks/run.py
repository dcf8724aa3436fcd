"""Every codec over every recording before every judge, in parallel; each result is kept at once."""

import functools
import math
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vocable.benchmarks import specs
from vocable.benchmarks.judges.base import Judge
from vocable.benchmarks.judges.catalogue import make
from vocable.benchmarks.store import Key, Store
from vocable.benchmarks.subjects import Subject
from vocable.benchmarks.utterances import Recording

MADE = "made 1"  # the step of making audio; another number where the protocol around codecs changes
DIED = "the process died over it, as when memory runs out"
BROKEN = (ValueError, OSError, RuntimeError)  # what a codec or a judge raises for what it can't take


@dataclass(frozen=True)
class Task:
    """A recording through a codec, before those judges that have not judged it yet."""

    spec: str
    recording: Recording
    judges: tuple[str, ...]


class Outcome(NamedTuple):
    """What was made, its codes (K, N), and each judge's scores, {column: [value, weight]}.

    What failed is {"failed": reason, "lasting": bool}: a lasting failure is the input's, and not tried again.
    """

    made: dict[str, Any]
    codes: np.ndarray | None
    scores: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """A codec as the store knows it: its specification, name and identity."""

    spec: str
    name: str
    identity: str


def run(
    plans: Sequence[Plan],
    recordings: dict[str, Recording],
    judges: Sequence[Judge],
    store: Store,
    processes: int,
    console: Console,
) -> None:
    """Put into `store` what it lacks of these codecs, recordings (by key) and judges."""
    steps = {judge.name: step(judge) for judge in judges}
    tasks: list[tuple[Plan, str, Task]] = []
    for plan in plans:
        for key, recording in recordings.items():
            made = store.get(Key(plan.identity, key, MADE))
            if made is not None and made.get("lasting"):
                continue
            found = {name: store.get(Key(plan.identity, key, at)) for name, at in steps.items()}
            missing = tuple(name for name, result in found.items() if _to_do(result))
            if missing or _to_do(made):
                tasks.append((plan, key, Task(plan.spec, recording, missing)))
    bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*bar, console=console, transient=True) as progress:
        shown = progress.add_task("recordings", total=len(tasks))
        for i, outcome in _each([task for _, _, task in tasks], processes):
            plan, key, _ = tasks[i]
            progress.update(shown, advance=1, description=plan.name)
            store.put(Key(plan.identity, key, MADE), outcome.made, outcome.codes)
            for name, scores in outcome.scores.items():
                store.put(Key(plan.identity, key, steps[name]), scores)


def step(judge: Judge) -> str:
    """A judge's step in the store: its scores are only those of its version."""
    return f"{judge.name} {judge.version}"


def work(task: Task) -> Outcome:
    """One task, in whatever process; what can't be made or judged is said, not raised."""
    try:
        utterance = task.recording.read()
        subject = _subject(task.spec)
        made = subject.reconstruct(utterance.wav, utterance.sample_rate)
        if made.wav.shape != utterance.wav.shape or not bool(made.wav.isfinite().all()):
            raise ValueError(f"it made {tuple(made.wav.shape)} samples, or some that are not finite")
    except BROKEN as error:
        return Outcome(_failure(error), None, {})
    facts = {
        "bit_rate": made.bit_rate,
        "seconds": len(utterance.wav) / utterance.sample_rate,
        "frame_rate": subject.frame_rate,
        "codebook_sizes": subject.codebook_sizes,
    }
    codes = None if made.codes is None else made.codes.cpu().numpy()
    scores: dict[str, dict[str, Any]] = {}
    for name in task.judges:
        try:
            found = _judge(name)(utterance, made.wav)
            if wrong := [column for column, score in found.items() if not math.isfinite(score.value)]:
                raise ValueError(f"{', '.join(wrong)} not finite")
            scores[name] = {column: list(score) for column, score in found.items()}
        except BROKEN as error:
            scores[name] = _failure(error)
    return Outcome(facts, codes, scores)


def _each(tasks: Sequence[Task], processes: int) -> Iterator[tuple[int, Outcome]]:
    """The outcome of each task by its index, in the order in which they are done."""
    if processes == 1:
        yield from ((i, work(task)) for i, task in enumerate(tasks))
        return
    waiting = dict(enumerate(tasks))
    while waiting:
        for i, outcome in _pooled(waiting, processes):
            del waiting[i]
            yield i, outcome
        if waiting and processes == 1:  # in their order: it was the first of them
            i = next(iter(waiting))
            del waiting[i]
            yield i, Outcome({"failed": DIED, "lasting": False}, None, {})
        processes = 1  # a process died: one at a time it is known over what


def _pooled(tasks: dict[int, Task], processes: int) -> Iterator[tuple[int, Outcome]]:
    """The same in processes; where one of them dies, of those alone that were done before."""
    # spawn: a fork would carry torch's locks along
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start)
    try:
        futures: dict[Future[Outcome], int] = {pool.submit(work, task): i for i, task in tasks.items()}
        for future in as_completed(futures):
            index = futures.pop(future)
            if not isinstance(future.exception(), BrokenProcessPool):
                yield index, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the work,
    threading.Thread(target=_follow, daemon=True).start()  # and takes it along where it is killed
    torch.set_num_threads(1)


def _follow() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


@functools.lru_cache(maxsize=1)
def _subject(spec: str) -> Subject:
    return specs.subject(spec)


@functools.cache
def _judge(name: str) -> Judge:
    judge = make(name)
    judge.check()
    return judge


def _failure(error: Exception) -> dict[str, Any]:
    return {"failed": f"{type(error).__name__}: {error}", "lasting": isinstance(error, ValueError)}


def _to_do(result: dict[str, Any] | None) -> bool:
    return result is None or result.get("lasting") is False
