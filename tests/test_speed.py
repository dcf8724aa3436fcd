"""The benchmark of speed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from vocable.benchmarks import speed
from vocable.codecs import Codec, save


@pytest.fixture
def folder(tmp_path: Path, codec: Codec, node: dict[str, Any]) -> str:
    """A codec folder."""
    save(codec, node, tmp_path / "tiny")
    return str(tmp_path / "tiny")


def test_speed(codec: Codec, folder: str) -> None:
    found = speed.measure_speed(codec, seconds=0.5, repeats=1)
    assert found.both == found.encode + found.decode
    assert min(found) > 0
    threads = torch.get_num_threads()
    result = CliRunner().invoke(speed.app, ["--codec", folder, "--seconds", "0.5", "--threads", str(threads)])
    assert result.exit_code == 0, result.output
    assert result.stdout.count("|") == 5 * 4
    assert CliRunner().invoke(speed.app, ["--codec", "none"]).exit_code == 2
