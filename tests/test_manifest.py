import csv
import json
from pathlib import Path

import pytest
import torch

from vocable.codecs import audio
from vocable.codecs.manifest import Clip, find_clips, find_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of 1 to 4 seconds."""
    (tmp_path / "wavs").mkdir()
    for i in range(4):
        audio.write(tmp_path / "wavs" / f"{i}.wav", torch.zeros(1, 8000 * (1 + i)), 8000)
    return tmp_path


def test_folder_is_searched_and_measured(folder):
    (folder / "notes.txt").write_text("no audio")
    clips, broken = find_clips(folder)
    assert [(clip.path.name, clip.seconds) for clip in clips] == [(f"{i}.wav", 1.0 + i) for i in range(4)]
    assert broken == 0


def test_csv_keeps_the_rows_asked_for_and_trusts_its_seconds(folder):
    with (folder / "list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["split", "path", "seconds"])
        rows.writerows(["train" if i < 3 else "eval", f"wavs/{i}.wav", 10 + i] for i in range(4))
    clips, _ = find_clips(folder / "list.csv", {"split": "train"})
    assert clips == [Clip(folder / f"wavs/{i}.wav", 10.0 + i) for i in range(3)]


def test_jsonl_and_a_list_of_sources(folder):
    lines = [{"audio_filepath": "wavs/0.wav", "duration": 7}, {"audio_filepath": "wavs/1.wav"}]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    clips, _ = find_clips(folder / "list.jsonl")
    assert clips == [Clip(folder / "wavs/0.wav", 7.0), Clip(folder / "wavs/1.wav", 2.0)]
    assert len(find_clips([folder, folder / "list.jsonl"])[0]) == 6


def test_ljspeech_metadata(folder):
    (folder / "metadata.csv").write_text('0|One, two|one "two"\n3|Three|three\n')
    clips, _ = find_clips(folder / "metadata.csv")
    assert [(clip.path.name, clip.seconds) for clip in clips] == [("0.wav", 1.0), ("3.wav", 4.0)]


@pytest.mark.parametrize(
    ("name", "text", "where", "message"),
    [
        ("none.csv", None, {}, "no such file"),
        ("list.txt", "a", {}, "suffix is '.txt'"),
        ("list.csv", "path,seconds\n", {}, "0 rows"),
        ("list.csv", "file,seconds\na.wav,1\n", {}, "columns are file, seconds"),
        (
            "list.csv",
            "path,seconds\na.wav,1\n",
            {"split": "train"},
            "no column split; accepted: path, seconds",
        ),
        ("list.csv", "path,split,seconds\na.wav,dev,1\n", {"split": "train"}, "0 readable"),
        ("list.csv", "path,seconds\na.wav,long\n", {}, "'long'"),
        ("list.csv", "path,seconds\na.wav,-1\n", {}, "'-1'"),
        ("list.jsonl", '{"path": "a.wav"}\n{"path"\n', {}, "line 2"),
        ("list.jsonl", "[1]\n", {}, "line 1"),
        ("", None, {}, "0 readable"),
        ("", None, {"split": "train"}, "is no manifest"),
    ],
)
def test_bad_sources_are_refused(tmp_path, name, text, where, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        find_clips(tmp_path / name, where)


def test_files_without_audio_are_skipped_and_counted(folder):
    (folder / "broken.wav").write_bytes(b"RIFF but no more")
    with pytest.warns(UserWarning, match=r"broken\.wav"):
        clips, broken = find_clips(folder)
    assert (len(clips), broken) == (4, 1)


def test_files_are_listed_unopened(tmp_path: Path):
    for name in ("b.flac", "a.wav", "notes.txt"):
        (tmp_path / name).touch()
    assert find_files(tmp_path) == [tmp_path / "a.wav", tmp_path / "b.flac"]
    manifest = tmp_path / "m.csv"
    manifest.write_text("split,source,path\ntrain,x,a.wav\neval,x,b.flac\neval,y,sub/c.flac\n")
    assert find_files(manifest, {"split": "eval", "source": "x", "path": None}) == [tmp_path / "b.flac"]
    assert find_files([manifest, tmp_path / "a.wav"])[2:] == [tmp_path / "sub/c.flac", tmp_path / "a.wav"]
    with pytest.raises(ValueError, match=r"0 audio files of \{'split': 'dev'\}; accepted: 1 or more"):
        find_files(manifest, {"split": "dev"})
    folders = [tmp_path / f"empty{i}" for i in range(5)]
    for folder in folders:
        folder.mkdir()
    with pytest.raises(ValueError, match="empty2 and 2 more: 0 audio files; accepted: 1 or more"):
        find_files(folders)
