"""The benchmark as a whole: real files, codecs and judges; what is kept, what fails, what perfection gets."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("av")
pytest.importorskip("pesq")
pytest.importorskip("pystoi")
pytest.importorskip("scipy")

from rich.console import Console
from typer.testing import CliRunner

from vocable.benchmarks import run, specs, summary, table
from vocable.benchmarks.judges.catalogue import JUDGES, choose, make
from vocable.benchmarks.results import Row
from vocable.benchmarks.run import Plan
from vocable.benchmarks.store import Store
from vocable.benchmarks.utterances import Recording, find_recordings
from vocable.codecs import Codec, audio, save
from vocable.codecs.cli import clip

QUIET = Console(quiet=True)
JUDGED = ("STOI", "PESQ-WB", "PESQ-NB", "SI-SDR")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three parts of a clip, of which one is silent but for a click."""
    folder = tmp_path_factory.mktemp("data")
    wav, rate = audio.read(clip())
    audio.write(folder / "a.flac", wav[:, : 3 * rate], rate)
    audio.write(folder / "b.flac", wav[:, 3 * rate :], rate)
    silent = torch.zeros(1, rate)
    silent[0, 8000] = 0.5
    audio.write(folder / "c.flac", silent, rate)
    return folder


def recordings(data: Path) -> dict[str, Recording]:
    return {recording.key(): recording for recording in find_recordings(data, {})}


def plan(spec: str) -> Plan:
    subject = specs.subject(spec)
    return Plan(spec, subject.name, subject.identity)


def rows(store: Store, data: Path, *plans: Plan, processes: int = 1) -> dict[str, Row]:
    found, judges = recordings(data), [make(name) for name in JUDGED]
    for judge in judges:
        judge.check()
    run.run(plans, found, judges, store, processes, QUIET)
    return {each.name: summary.summarise(each, found, judges, store)[0] for each in plans}


def test_perfection_gets_full_marks_and_failures_are_counted(data: Path) -> None:
    with Store(":memory:") as store:
        row = rows(store, data, plan(specs.ORIGINAL))["Ground Truth"]
        found, judges = recordings(data), [make(name) for name in JUDGED]
        _, scores, failures = summary.summarise(plan(specs.ORIGINAL), found, judges, store)
    assert row.cells["STOI"].value == pytest.approx(1.0, abs=1e-6)
    assert row.cells["PESQ-WB"].value == pytest.approx(4.644, abs=1e-3)
    assert row.cells["PESQ-NB"].value == pytest.approx(4.549, abs=1e-3)
    assert "SI-SDR" not in row.cells  # infinite
    assert row.cells["kbit/s"].value == 256
    assert row.cells["STOI"].files == 2  # the click is too little speech
    assert {(Path(failure.path).name, failure.step) for failure in failures} >= {("c.flac", "STOI")}
    assert all(Path(score.path).name != "c.flac" for score in scores if score.column == "STOI")


@pytest.mark.full
def test_processes_and_one_process_find_the_same(data: Path) -> None:
    plans = [plan("opus:6"), plan("opus:24")]
    with Store(":memory:") as one, Store(":memory:") as two:
        alone, together = rows(one, data, *plans), rows(two, data, *plans, processes=2)
    assert set(alone) == set(together)
    for name, row in alone.items():  # two threads add in another order than one
        assert row.cells.keys() == together[name].cells.keys()
        for column, cell in row.cells.items():
            assert together[name].cells[column].value == pytest.approx(cell.value, rel=1e-6), column
    assert alone["Opus 24 kbit/s"].cells["STOI"].value > alone["Opus 6 kbit/s"].cells["STOI"].value


def test_a_second_run_adds_only_what_is_new(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    work = run.work

    def counted(task: run.Task) -> run.Outcome:
        done.append(task.spec)
        return work(task)

    monkeypatch.setattr(run, "work", counted)
    with Store(tmp_path / "kept.sqlite") as store:
        first = rows(store, data, plan("opus:6"))
    assert done == ["opus:6"] * 3
    with Store(tmp_path / "kept.sqlite") as store:
        second = rows(store, data, plan("opus:6"), plan("opus:12"))
    assert done == ["opus:6"] * 3 + ["opus:12"] * 3
    assert second["Opus 6 kbit/s"] == first["Opus 6 kbit/s"]


def test_what_tokens_tell_is_counted_over_all_files(
    data: Path, tmp_path: Path, codec: Codec, node: dict[str, Any]
) -> None:
    save(codec, node, tmp_path / "tiny")
    spec = f"{tmp_path / 'tiny'}:2"
    with Store(":memory:") as store:
        row = rows(store, data, plan(spec))[specs.subject(spec).name]
    codes = torch.cat([codec.encode(file, num_codebooks=2).codes[0] for file in sorted(data.glob("*"))], -1)
    used, entropy = [], []
    for each in codes:
        share = each.bincount().double() / each.numel()
        used.append(int((share > 0).sum()))
        entropy.append(float(-(share[share > 0] * share[share > 0].log2()).sum()))
    assert row.codebook_sizes == codec.codebook_sizes[:2]
    assert row.cells["codebook use"].value == pytest.approx(100 * sum(used) / sum(codec.codebook_sizes[:2]))
    assert row.cells["entropy"].value == pytest.approx(sum(entropy) / 2)
    assert row.cells["kbit/s"].value == pytest.approx(codec.bit_rate(2) / 1000)
    assert row.cells["entropy kbit/s"].value == pytest.approx(codec.frame_rate * sum(entropy) / 1000)


class Failing:
    """A codec that can't take long signals, and says so in two ways."""

    sample_rate = 16_000
    codebook_sizes = (2,)
    identity = "failing"

    def encode(self, wav: Tensor) -> Tensor:
        if wav.shape[-1] > 50_000:
            raise ValueError("too long")
        if wav.shape[-1] > 40_000:
            raise RuntimeError("out of memory")
        return torch.ones_like(wav).long()

    def decode(self, tokens: Tensor) -> Tensor:
        return tokens.float() * 0.1


def test_a_codec_that_fails_is_listed_and_tried_again_if_that_may_help(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vocable.benchmarks.neural import ForeignCodec

    monkeypatch.setattr(run, "_subject", lambda spec: ForeignCodec(Failing(), spec))
    failing, found, judge = Plan("failing", "failing", "failing"), recordings(data), make("STOI")
    with Store(":memory:") as store:
        run.run([failing], found, [judge], store, 1, QUIET)
        failures = summary.summarise(failing, found, [judge], store)[2]
        reasons = {Path(failure.path).name: failure.reason for failure in failures if failure.step == "codec"}
        assert reasons == {"a.flac": "RuntimeError: out of memory", "b.flac": "ValueError: too long"}
        again: list[str] = []
        work = run.work
        monkeypatch.setattr(run, "work", lambda task: again.append(task.recording.path.name) or work(task))
        run.run([failing], found, [judge], store, 1, QUIET)
    assert again == ["a.flac"]


DEADLY = """
import os
class Deadly:
    sample_rate, codebook_sizes, identity = 16_000, (2,), "deadly"
    def encode(self, wav):
        if wav.shape[-1] == 48_000:
            os.kill(os.getpid(), 9)
        return (wav > 0).long()
    def decode(self, tokens):
        return tokens * 0.2 - 0.1
"""


@pytest.mark.full
def test_a_recording_that_kills_its_process_is_listed_and_the_others_are_done(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly_codec.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    deadly, found = plan("deadly_codec:Deadly"), recordings(data)
    with Store(":memory:") as store:
        run.run([deadly], found, [], store, 2, QUIET)
        row, _, failures = summary.summarise(deadly, found, [], store)
    assert [(Path(failure.path).name, failure.reason) for failure in failures] == [("a.flac", run.DIED)]
    assert row.cells["kbit/s"].files == 2


def test_every_judge_has_its_own_columns_and_name() -> None:
    columns = [column.name for kind in JUDGES for column in kind.columns]
    names = [kind.name for kind in JUDGES]
    assert len(set(columns)) == len(columns)
    assert len(set(names)) == len(names)
    assert set(table.FIELD) <= set(columns)
    published = {column.name for kind in JUDGES if kind.kind != "offline" for column in kind.columns}
    assert set(table.FIELD) <= published  # no other judge fills the papers' columns
    assert choose("all") == set(names)
    assert choose("offline") | choose("published") == set(names)
    with pytest.raises(ValueError, match="judges are 'mos'; accepted: all, published, offline"):
        choose("mos")


def test_specifications(tmp_path: Path, codec: Codec, node: dict[str, Any]) -> None:
    folder = tmp_path / "tiny"
    save(codec, node, folder)
    books = codec.num_codebooks
    assert specs.expand([str(folder), "opus:6"], [1, 99]) == [f"{folder}:1", "opus:6"]
    assert specs.expand([str(folder), f"{folder}:2"], []) == [str(folder), f"{folder}:2"]
    assert specs.expand([str(folder)], [99]) == [f"{folder}:{books}"]
    random = specs.subject("random:snac-24khz")
    assert random.name == "random:snac-24khz, 7/7"
    assert random.identity == specs.subject("random:snac-24khz").identity
    for wrong in ("opus:x", "no-such-codec", "random:none", "codec2:9"):
        with pytest.raises(ValueError, match="accepted"):
            specs.subject(wrong)


def test_the_command_refuses_before_any_work(data: Path, tmp_path: Path) -> None:
    from vocable.benchmarks.bench import app

    right = {"--data": str(data), "--codecs": "opus:6", "--judges": "STOI", "-o": str(tmp_path / "report")}
    for option, wrong, why in (
        ("--data", str(tmp_path / "none"), "accepted: a folder, a CSV or JSONL manifest"),
        ("--codecs", "opus:0.1", "500 to"),
        ("--codecs", "none", "no codec 'none'"),
        ("--codebooks", "x", "'x'"),
        ("--judges", "mos", "accepted: all"),
        ("--cache", str(clip()), "accepted: a SQLite file"),
    ):
        args = [part for pair in (right | {option: wrong}).items() for part in pair]
        result = CliRunner().invoke(app, args)
        assert result.exit_code == 2, result.output
        assert why in " ".join(result.stderr.replace("│", " ").split()), (option, wrong)
    assert not (tmp_path / "report").exists()


@pytest.mark.full
def test_a_killed_run_goes_on(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vocable.benchmarks.bench", "--data", str(data), "--no-costs"]
    command += ["--codecs", "opus:6,opus:8,opus:12,opus:16", "--judges", ",".join(JUDGED)]
    command += ["--cache", str(tmp_path / "kept.sqlite"), "-o", str(tmp_path / "report"), "--examples", "1"]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kept = tmp_path / "kept.sqlite"
    while not _count(kept):
        time.sleep(0.2)
    started.send_signal(signal.SIGKILL)
    started.wait()
    before = _count(kept)
    assert 0 < before < 15
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # for the click
    assert _count(kept) == 15
    results = table.load(tmp_path / "report")
    assert [row.model for row in results.rows][:2] == ["Ground Truth", "Opus 6 kbit/s"]
    assert (tmp_path / "report" / "index.html").stat().st_size > 50_000


POOL = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from vocable.benchmarks import run
pool = ProcessPoolExecutor(1, get_context("spawn"), run._start)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(time.sleep, 60).result()
"""


@pytest.mark.full
def test_a_killed_run_leaves_no_process() -> None:
    parent = subprocess.Popen([sys.executable, "-c", POOL], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    time.sleep(2)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def _count(path: Path) -> int:
    """Of what was made."""
    import sqlite3

    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        query = "SELECT count(*) FROM found WHERE step = ?"
        return connection.execute(query, (run.MADE,)).fetchone()[0]
    except sqlite3.OperationalError:  # not yet made
        return 0
    finally:
        connection.close()
