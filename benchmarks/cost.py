"""What a codec costs to run: speed, memory, and how far it looks ahead."""

import os
import platform
import resource
import sys
import time
from multiprocessing import get_context
from statistics import median

import torch
from torch import Tensor

from vocable.benchmarks import specs
from vocable.benchmarks.judges.base import Column
from vocable.benchmarks.subjects import Subject
from vocable.codecs.audio import read, resample
from vocable.codecs.cli import clip

SECONDS = 10.0  # of speech, for speed and memory
COLUMNS = (
    Column("RTF", "Seconds of work for a second of audio, there and back, on this machine.", "lower", 4),
    Column("memory", "Most memory above that of an idle process, weights and all.", "lower", 0, "MB"),
    Column(
        "look-ahead", "How far before a change in the input the output begins to change.", "lower", 0, "ms"
    ),
)
VERSION = "cost 1"


def machine(threads: int) -> str:
    """What speed depends on."""
    models = (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    model = next(models, platform.machine())
    return f"{model}, {threads} of {os.cpu_count()} cores, torch {torch.__version__}"


def measure_cost(spec: str, threads: int) -> dict[str, float]:
    """RTF, memory (MB) and look-ahead (ms) of a subject, in a process of its own.

    RuntimeError where the process dies, and whatever the subject raises.
    """
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (spec, threads))


def look_ahead(subject: Subject, wav: Tensor, sample_rate: int, changes: int = 8) -> float:
    """Milliseconds from the first sample of the output that changes to the change in the input.

    wav (T,), after whose middle something else follows, from `changes` points within 100 ms, since a frame's
    beginning and its end see differently far. A codec that looks at the whole signal gets up to half of it.
    """
    middle, farthest = len(wav) // 2, 0
    for i in range(changes):
        at = middle + i * sample_rate // (10 * changes)
        other = torch.cat([wav[:at], 0.8 * wav.flip(0)[: len(wav) - at].roll(at)])
        ours, theirs = (subject.reconstruct(each, sample_rate).wav for each in (wav, other))
        tolerance = 1e-4 * float(ours.abs().max())  # of rounding, where matrices are multiplied otherwise
        changed = ((ours - theirs).abs() > tolerance).nonzero()
        farthest = max(farthest, at - int(changed[0]) if len(changed) else 0)
    return 1000 * farthest / sample_rate


def _measure(spec: str, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    idle = _peak()
    subject = specs.subject(spec)
    speech, rate = read(clip())
    rate, speech = subject.sample_rate, resample(speech[0], rate, subject.sample_rate)
    wav = speech.repeat(1 + int(SECONDS * rate / len(speech)))[: int(SECONDS * rate)]
    subject.reconstruct(wav[: 2 * rate], rate)  # to warm up
    took = []
    for _ in range(3):
        start = time.perf_counter()
        subject.reconstruct(wav, rate)
        took.append(time.perf_counter() - start)
    memory = _peak() - idle
    ahead = look_ahead(subject, speech[: 4 * rate], rate)
    return {"RTF": median(took) / SECONDS, "memory": memory / 2**20, "look-ahead": ahead}


def _peak() -> int:
    """Bytes of memory that this process has held at most."""
    # getrusage would count what the parent held when it started this process
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _lines(path: str) -> list[str]:
    """Of a file that only Linux has."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.readlines()
    except OSError:
        return []
