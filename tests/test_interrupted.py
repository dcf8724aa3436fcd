"""Ctrl-C, and worse, in the middle of a long recording: nothing half-written under the name asked for."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from vocable.codecs import Tokens, audio, load
from vocable.codecs.voc import Header, TokenWriter

SECONDS = 900


def started(command: str, source: Path, target: Path) -> "subprocess.Popen[str]":
    """The command, at work: its temporary file is beside `target`."""
    call = f"from vocable.codecs.cli import app; app(['{command}', '{source}', '-o', '{target}'])"
    # where a shell runs the tests in the background, children would ignore Ctrl-C
    call = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {call}"
    process = subprocess.Popen([sys.executable, "-c", call], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 2000 for path in target.parent.glob(".*.part")):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{command} ended with {process.poll()}: {process.communicate()[1]}")
        time.sleep(0.02)
    return process


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """A quarter of an hour of noise, and the tokens of as much."""
    with audio.writing(tmp_path / "in.wav", 1, 16000) as write:
        for _ in range(SECONDS // 60):
            write(0.1 * torch.randn(1, 60 * 16000))
    header = Header.of(load("vocable-16khz"))
    with TokenWriter(tmp_path / "in.voc", header) as writer:
        writer.write(torch.randint(0, 1024, (len(header.codebook_sizes), 50 * SECONDS)))
    return {"encode": tmp_path / "in.wav", "decode": tmp_path / "in.voc"}


@pytest.mark.parametrize(("command", "name"), [("encode", "out.voc"), ("decode", "out.wav")])
def test_ctrl_c_leaves_what_was_there(
    command: str, name: str, sources: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "results" / name
    target.parent.mkdir()
    target.write_text("as it was")
    process = started(command, sources[command], target)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert target.read_text() == "as it was"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.full
def test_a_kill_leaves_a_file_with_a_name_that_says_so(sources: dict[str, Path], tmp_path: Path) -> None:
    target = tmp_path / "results" / "out.voc"
    target.parent.mkdir()
    process = started("encode", sources["encode"], target)
    process.kill()
    process.wait(60)
    (left,) = target.parent.iterdir()
    assert left.name.startswith(".")
    assert left.suffix == ".part"
    with pytest.raises(ValueError, match="too early; accepted: a whole file"):
        Tokens.load(left)
