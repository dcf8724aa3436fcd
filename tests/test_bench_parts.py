"""The parts of a benchmark: its recordings, its store, what it measures and its table."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("scipy")

from vocable.benchmarks import table
from vocable.benchmarks.compare import compare
from vocable.benchmarks.judges.base import Column
from vocable.benchmarks.neural import ForeignCodec, VocableCodec, loaded
from vocable.benchmarks.results import Estimate, FileScore, JudgeNote, Results, Row
from vocable.benchmarks.store import Key, Store
from vocable.benchmarks.utterances import Recording, find_recordings
from vocable.codecs import Codec, audio, save
from vocable.codecs.cli import clip

KEY = Key("codec", "recording", "judge 1")


def test_librispeech_brings_its_transcripts(tmp_path: Path) -> None:
    folder = tmp_path / "test-clean" / "61" / "70968"
    folder.mkdir(parents=True)
    for number in ("0000", "0001"):
        shutil.copy(clip(), folder / f"61-70968-{number}.flac")
    (folder / "61-70968.trans.txt").write_text("61-70968-0000 HE BEGAN\n61-70968-0001 GIVE NOT SO EARNEST\n")
    first, second = find_recordings(tmp_path / "test-clean", {})
    assert (first.transcript, first.speaker) == ("HE BEGAN", "61")
    assert second.transcript == "GIVE NOT SO EARNEST"
    assert first.key() != second.key()  # the same audio, another text


def test_a_manifest_brings_its_texts(tmp_path: Path) -> None:
    shutil.copy(clip(), tmp_path / "a.flac")
    rows = ["path,speaker,transcript,consensus,split", "a.flac,7,,some words,eval", "b.flac,8,Hello.,,eval"]
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    first, second = find_recordings(tmp_path / "m.csv", {"split": "eval"})
    assert (first.transcript, first.consensus, first.speaker) == (None, "some words", "7")
    assert (second.transcript, second.consensus) == ("Hello.", None)
    utterance = first.read()
    assert (utterance.wav.shape, utterance.sample_rate) == ((113600,), 16_000)
    with pytest.raises(FileNotFoundError):
        second.key()
    with pytest.raises(ValueError, match="0 audio files of"):
        find_recordings(tmp_path / "m.csv", {"split": "train"})


def test_stereo_is_mixed(tmp_path: Path) -> None:
    audio.write(tmp_path / "s.wav", torch.tensor([[0.5, 0.5], [0.25, -0.5]]), 8000, "FLOAT")
    utterance = Recording(tmp_path / "s.wav").read()
    assert utterance.wav.tolist() == [0.375, 0.0]
    assert utterance.sample_rate == 8000


def test_a_store_keeps_what_it_was_given(tmp_path: Path) -> None:
    codes = np.array([[0, 70_000], [5, 6]])
    with Store(tmp_path / "a" / "kept.sqlite") as store:
        assert store.get(KEY) is None
        store.put(KEY, {"STOI": [0.5, 1.0]}, codes)
        store.put(KEY._replace(step="judge 2"), {"failed": "too short", "lasting": True})
    with Store(tmp_path / "a" / "kept.sqlite") as store:
        assert store.get(KEY) == {"STOI": [0.5, 1.0]}
        assert (store.codes(KEY) == codes).all()
        assert store.codes(KEY._replace(step="judge 2")) is None
        assert store.get(KEY._replace(subject="other")) is None
        with pytest.raises(ValueError, match="Out of range float"):
            store.put(KEY, {"STOI": [float("nan"), 1.0]})
        assert store.get(KEY) == {"STOI": [0.5, 1.0]}


def test_a_store_refuses_another_file(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"not a database, but longer than its header would be" * 40)
    with pytest.raises(ValueError, match="accepted: a SQLite file of results"):
        Store(tmp_path / "x.sqlite")


@pytest.fixture
def folder(tmp_path: Path, codec: Codec, node: dict[str, Any]) -> str:
    save(codec, node, tmp_path / "tiny")
    return str(tmp_path / "tiny")


def test_a_codec_is_measured_by_its_first_codebooks(folder: str, codec: Codec) -> None:
    read, digest = loaded(folder)
    all_of_it, one = VocableCodec(read, folder, digest), VocableCodec(read, folder, digest, 1)
    assert all_of_it.identity != one.identity
    assert VocableCodec(read, folder, digest, 1).identity == one.identity
    assert VocableCodec(read, folder, "another", 1).identity != one.identity
    assert one.name == f"{folder}, 1/{codec.num_codebooks}"
    assert one.token_rate == codec.token_rate(1)
    wav = torch.randn(16_001).clamp(-1, 1)
    made = one.reconstruct(wav, 16_000)
    tokens = codec.encode(wav, num_codebooks=1)
    assert made.codes is not None
    assert torch.equal(made.codes, tokens.codes[0])
    assert torch.equal(made.wav, codec.decode(tokens)[0, 0])
    assert made.bit_rate == codec.bit_rate(1)
    with pytest.raises(ValueError, match="accepted"):
        VocableCodec(read, folder, digest, 99)


class Halving:
    """A user's codec: every second sample, 8 bits each, with a tail that is too long."""

    sample_rate = 8000
    codebook_sizes = (256,)

    def encode(self, wav: Tensor) -> Tensor:
        return ((wav[..., ::2] + 1) * 127.5).round().long()

    def decode(self, tokens: Tensor) -> Tensor:
        return torch.cat([(tokens / 127.5 - 1).repeat_interleave(2, -1), torch.ones(1, 1, 7)], -1)


def test_any_object_is_measured() -> None:
    subject = ForeignCodec(Halving(), "my.codec:Halving")
    wav = 0.5 * torch.sin(torch.arange(16_000) * 2 * torch.pi * 100 / 16_000)
    made = subject.reconstruct(wav, 16_000)
    assert made.wav.shape == wav.shape
    assert (made.wav - wav).abs().mean() < 0.03
    assert made.codes is not None
    assert made.codes.shape == (1, 4000)
    assert subject.frame_rate == 4000
    assert made.bit_rate == 32_000
    assert subject.identity == ""


def test_tokens_that_tell_no_rate_are_refused() -> None:
    class Odd(Halving):
        def encode(self, wav: Tensor) -> Any:
            return wav

    with pytest.raises(ValueError, match="its tokens are a Tensor; accepted: Tokens, codes"):
        ForeignCodec(Odd(), "odd").reconstruct(torch.rand(100), 8000)
    silent = Halving()
    silent.codebook_sizes = None  # type: ignore[assignment]
    with pytest.raises(ValueError, match="codebook_sizes is None; accepted: 1 or more"):
        ForeignCodec(silent, "silent").reconstruct(torch.rand(100), 8000)


COLUMNS = (Column("SI-SDR", "", "higher", 1, "dB"), Column("STOI", "", "higher"), Column("WER", "", "lower"))
SCORES = {"a": [0.5, 0.6, 0.7], "b": [0.4, 0.5, 0.6]}
RESULTS = Results(
    header={"data": "speech"},
    columns=COLUMNS,
    judges=(JudgeNote("CTC", "published", ("WER",), "", "no weights"),),
    rows=(
        Row("a|b", None, None, None, {"STOI": Estimate(0.6, 0.5, 0.7, 3)}),
        Row("b", 75.0, (1024, 1024, 256), 25.0, {"STOI": Estimate(0.5), "SI-SDR": Estimate(-1.25, files=3)}),
    ),
    scores=tuple(
        FileScore({"a": "a|b"}.get(model, model), f"{i}.wav", "STOI", value, 1.0)
        for model, values in SCORES.items()
        for i, value in enumerate(values)
    ),
)


def test_markdown_has_the_papers_columns_first() -> None:
    lines = table.markdown(RESULTS).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == [
        "Model", "Token Rate", "Codebook Size", "Codebook Layer", "Frame Rate", "WER", "STOI",
    ]  # fmt: skip
    b = next(line for line in lines if line.startswith("| b "))
    cells = [cell.strip() for cell in b.strip("|").split("|")]
    assert cells == ["b", "75", "1024/256", "3", "25", "not run", "0.50"]
    assert any(line.startswith("| a\\|b ") for line in lines)
    sdr = next(line for line in lines if line.startswith("| SI-SDR, dB "))
    assert [cell.strip() for cell in sdr.strip("|").split("|")] == ["SI-SDR, dB", "-", "-1.2"]
    assert any("no weights" in line for line in lines)
    assert "- data: speech" in lines


def test_saved_results_are_read_again(tmp_path: Path) -> None:
    table.save(tmp_path, RESULTS)
    assert table.load(tmp_path) == RESULTS
    lines = (tmp_path / "table.csv").read_text().splitlines()
    assert lines[0].startswith("Model,Token Rate,Codebook Size,Codebook Layer,Frame Rate,WER,WER low,")
    assert len((tmp_path / "files.csv").read_text().splitlines()) == 7
    (tmp_path / "results.json").write_text(json.dumps({"rows": 1}))
    with pytest.raises(ValueError, match=r"accepted: results\.json of a benchmark"):
        table.load(tmp_path)


def test_rows_are_compared_on_the_files_of_both() -> None:
    found = compare(RESULTS, "a|b", "b")
    assert found.keys() == {"STOI"}
    assert found["STOI"].value == pytest.approx(0.1)
    assert found["STOI"].files == 3
    assert found["STOI"].p == pytest.approx(0.25)
    with pytest.raises(ValueError, match=r"no row 'c'; accepted: a\|b, b"):
        compare(RESULTS, "a|b", "c")


numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(st.text(), numbers, st.one_of(st.none(), numbers)), max_size=5))
def test_results_survive_json(cells: list[tuple[str, float, float | None]]) -> None:
    row = Row("m", None, (2, 3), 1.0, {name: Estimate(value, low, low, 1) for name, value, low in cells})
    results = Results({}, COLUMNS, (), (row,), ())
    assert Results.from_dict(json.loads(json.dumps(results.to_dict()))) == results
