"""The benchmarks of quality and speed."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

pytest.importorskip("av")
pytest.importorskip("pesq")
pytest.importorskip("pystoi")

from vocable.benchmarks import quality, speed, table
from vocable.benchmarks.baselines import align
from vocable.benchmarks.table import Row
from vocable.codecs import Codec, save
from vocable.codecs.cli import clip


@pytest.mark.parametrize("delay", [-1.25, 0.0, 0.5])
def test_align_undoes_a_known_delay(delay: float) -> None:
    time = torch.arange(4000, dtype=torch.float64) - 2000
    pulse = torch.sinc(time / 8) * torch.exp(-((time / 200) ** 2))
    late = torch.sinc((time - delay) / 8) * torch.exp(-(((time - delay) / 200) ** 2))
    assert (align(pulse, late) - pulse).abs().max() < 1e-6


ROWS = [
    [Row("a", 1.0, 50.0, 0.5, 2.0, 1.0), Row("b", 6.0, None, 0.25, 1.0, -1.0)],
    [Row("a", 2.0, 50.0, 0.7, 3.0, 4.0), Row("b", 5.0, None, 0.75, 2.0, -2.0)],
]


def test_a_table_is_of_means(tmp_path: Path) -> None:
    rows = table.mean(ROWS)
    assert table.markdown(rows).splitlines()[2:] == [
        "| a | 1.50 | 50 | 0.600 | 2.50 | 2.5 |",
        "| b | 5.50 | - | 0.500 | 1.50 | -1.5 |",
    ]
    table.save(tmp_path / "t.json", rows)
    assert [Row(**row) for row in json.loads((tmp_path / "t.json").read_text())] == rows
    table.save(tmp_path / "t.csv", rows)
    with (tmp_path / "t.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [float(line["stoi"]) for line in lines] == [0.6, 0.5]
    assert [line["tokens_s"] for line in lines] == ["50.0", ""]
    with pytest.raises(ValueError, match=r"accepted: \.csv, \.json"):
        table.save(tmp_path / "t.txt", rows)


@pytest.fixture
def folder(tmp_path: Path, codec: Codec, node: dict[str, Any]) -> str:
    """A codec folder."""
    save(codec, node, tmp_path / "tiny")
    return str(tmp_path / "tiny")


def test_quality_from_the_command_line(folder: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(clip(), data / "a.flac")
    (data / "broken.wav").write_bytes(b"RIFF")
    module = "vocable.benchmarks.quality"
    args = ["--data", str(data), "--codec", folder, "--codebooks", "1,3", "--opus", "6", "-o", "out.json"]
    done = subprocess.run(
        [sys.executable, "-m", module, *args], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1, done.stderr  # for the broken file
    assert "left out" in done.stderr
    assert "broken.wav" in done.stderr
    rows = [Row(**row) for row in json.loads((tmp_path / "out.json").read_text())]
    assert table.markdown(rows) in done.stdout
    assert [row.kbit_s for row in rows[:2]] == pytest.approx([6.4, 18.5359], abs=1e-4)
    assert [row.tokens_s for row in rows] == [1600, 4800, None]
    # one thread each in the command's processes rounds otherwise, which an untrained codec amplifies
    for row, here in zip(rows, quality.compare(data / "a.flac", folder, [1, 3], [6.0]), strict=True):
        assert row.model == here.model
        assert vars(row) | {"model": ""} == pytest.approx(vars(here) | {"model": ""}, abs=0.02)
    assert rows[2].kbit_s == pytest.approx(5.73, abs=0.1)
    assert rows[2].stoi > 0.85 > rows[0].stoi


def test_quality_refuses_before_any_work(folder: str, tmp_path: Path) -> None:
    for args, why in (
        (("--codebooks", "4"), "1 to 3"),
        (("--codebooks", "x"), "'x'"),
        (("--opus", "0.1"), "500 to"),
        (("-o", "x.txt"), ".json"),
        (("--codec", "none"), "none"),
    ):
        shutil.copy(clip(), tmp_path / "a.flac")
        result = CliRunner().invoke(
            quality.app, ["--data", str(tmp_path), "--codec", folder, "--codebooks", "1", *args]
        )
        assert result.exit_code == 2, args
        assert why in result.stderr


def test_speed(codec: Codec, folder: str) -> None:
    found = speed.measure_speed(codec, seconds=0.5, repeats=1)
    assert found.both == found.encode + found.decode
    assert min(found) > 0
    threads = torch.get_num_threads()
    result = CliRunner().invoke(speed.app, ["--codec", folder, "--seconds", "0.5", "--threads", str(threads)])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("|") == 5 * 4
    assert CliRunner().invoke(speed.app, ["--codec", "none"]).exit_code == 2
