"""The benchmarks of lengths and of many files print what they find, also where it is bad."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from vocable.benchmarks import lengths, many, small
from vocable.codecs import Codec, audio


def rows(*args: str) -> dict[str, list[str]]:
    result = CliRunner().invoke(lengths.app, list(args))
    assert result.exit_code == 0, result.output
    lines = [line.strip("| \n").split(" | ") for line in result.output.splitlines()]
    return {cells[0]: cells[1:] for cells in lines[2:]}


def test_a_row_a_codec() -> None:
    found = rows("--codecs", "soundstream-16khz,encodec-48khz")
    assert found["soundstream-16khz"] == ["50", "43", "43", "9 of 9", "-", "20.0 ms, its frame"]
    assert found["encodec-48khz"] == ["150", "55", "55", "9 of 9", "-", "1000.0 ms, its segment"]


def test_the_built_in_as_published() -> None:
    found = rows("--full", "--no-reach", "--codecs", small.BUILT_IN)
    assert found[small.BUILT_IN] == ["50", "43", "43", "9 of 9", "-0.01 ms", "-"]


def test_what_does_not_hold_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = Codec.decode

    def short(self: Codec, *args: int | None) -> torch.Tensor:  # odd lengths come back even
        wav = decode(self, *args)  # type: ignore[arg-type]
        return wav[..., : wav.shape[-1] // 2 * 2]

    monkeypatch.setattr(Codec, "decode", short)
    codec = small.small_codec("soundstream-16khz")
    assert not lengths.exact(codec, 41, None)
    assert lengths.exact(codec, 40, None)
    assert str(lengths.Batches(3, 2, 4)) == "4 items: 3 codes, 2 audio"


def test_many_files_against_a_loop(tmp_path: Path) -> None:
    for i in range(3):
        audio.write(tmp_path / f"{i}.wav", 0.1 * torch.randn(1, 8000), 16_000)
    result = CliRunner().invoke(many.app, ["--data", str(tmp_path), "--repeats", "1"])
    assert result.exit_code == 0, result.output
    assert "3 files, 2 s, vocable-16khz on cpu" in result.output
    assert "the same codes: 100.00 %" in result.output
