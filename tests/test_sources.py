"""Corpora and shards: every recording once an epoch, in an order that a resumed run goes on with."""

import io
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("lightning")
pytest.importorskip("hydra")

from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from vocable.recipes.data import SpeechData
from vocable.recipes.loader import Consecutive
from vocable.recipes.sources.crops import ShardCrops
from vocable.recipes.sources.libri import LibriSpeech, LibriTTS
from vocable.recipes.sources.order import ShardOrder
from vocable.recipes.sources.shards import Recording, Shards
from vocable.recipes.sources.tar import TarShards

RATE = 8000
COUNTS = (5, 0, 7, 1, 4)  # recordings of the shards below


def encoded(number: int, suffix: str = "flac", seconds: float = 0.1) -> bytes:
    """A recording that tells its number by its level."""
    file = io.BytesIO()
    wave = np.full(round(seconds * RATE), 100 * (number + 1), dtype=np.int16)
    soundfile.write(file, wave, RATE, format=suffix)
    return file.getvalue()


def number_of(wav: Tensor) -> int:
    level = float(wav.flatten()[0]) * 32768 / 100 - 1
    assert level == pytest.approx(round(level), abs=1e-3)
    return round(level)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tar files of 17 recordings, each with a text beside it."""
    made, number = tmp_path_factory.mktemp("shards"), 0
    for shard, count in enumerate(COUNTS):
        with tarfile.open(made / f"speech-{shard:03}.tar", "w") as tar:
            for _ in range(count):
                suffix = ("flac", "wav")[number % 2]
                for name, data in (
                    (f"{number}.txt", b"words"),
                    (f"{number}.{suffix}", encoded(number, suffix)),
                ):
                    member = tarfile.TarInfo(f"a/{name}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
                number += 1
    return made


def speech(train: Shards, **options: Any) -> SpeechData:
    defaults = {"batch_size": 2, "batches_per_epoch": 5, "num_workers": 0, "crop_seconds": 0.05}
    data = SpeechData(train, sample_rate=RATE, voiced_db=-200.0, **defaults | options)
    data.setup("fit")
    return data


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any),
    data=st.data(),
    run=st.integers(1, 5),
    shuffle=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_every_recording_comes_once_an_epoch(counts, data, run, shuffle, seed):
    lanes = data.draw(st.integers(1, min(6, sum(counts))))
    order = ShardOrder(counts, lanes, run, shuffle, seed)
    rounds = -(-2 * -(-sum(counts) // lanes) // run)  # turns of a lane until two epochs are over
    seen: dict[int, Counter[tuple[int, int]]] = {}
    for index in range(rounds * lanes * run):
        _, block, item = order.place(index)
        read = [(s, start + i) for s, start, count in order.stretches(block) for i in range(count)]
        assert len(read) == block.length <= shuffle
        seen.setdefault(block.epoch, Counter())[read[item]] += 1
    everything = Counter({(s, i): 1 for s, count in enumerate(counts) for i in range(count)})
    assert seen[0] == seen[1] == everything


@given(world=st.integers(1, 3), workers=st.integers(1, 3), size=st.integers(1, 4), start=st.integers(0, 7))
def test_each_worker_of_each_rank_has_a_lane_for_itself(world, workers, size, start):
    order = ShardOrder([100], world * workers, size, 10)
    owners: dict[int, set[tuple[int, int]]] = {}
    for rank in range(world):
        sampler = Consecutive(3 * workers, size, world, rank)
        sampler.start = start
        for position, index in enumerate(sampler):
            worker = position // size % workers  # as a DataLoader deals batches out
            owners.setdefault(order.place(index).lane, set()).add((rank, worker))
    assert len(owners) == world * workers
    assert all(len(owner) == 1 for owner in owners.values())


def test_lanes_beyond_the_recordings_are_refused():
    with pytest.raises(ValueError, match="lanes are 4; accepted: 1 to the 3 recordings"):
        ShardOrder([2, 1], 4, 1, 1)


def test_examples_depend_on_seed_and_index_alone(folder):
    def crops(seed: int) -> ShardCrops:
        shards = TarShards(folder)
        return ShardCrops(shards, ShardOrder(shards.counts(), 3, 2, 4, seed), 400, RATE)

    forwards, backwards = crops(1), crops(1)
    expected = [forwards[i] for i in range(40)]
    assert all(torch.equal(backwards[i], expected[i]) for i in reversed(range(40)))
    assert [number_of(wav) for wav in expected] != [number_of(crops(2)[i]) for i in range(40)]


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_goes_on_where_it_stopped(folder, workers):
    def numbers(given: int, passes: int) -> list[list[int]]:
        loader = speech(TarShards(folder, lanes=2), num_workers=workers).train_dataloader()
        loader.load_state_dict({"given": given})
        return [[number_of(wav) for wav in batch] for _ in range(passes) for batch in loader]

    whole = numbers(0, 4)  # 20 batches: two epochs of 17 recordings and some
    assert len(whole) == 20
    for stop in (1, 5, 8, 13) if workers == 0 else (3,):
        assert numbers(stop, 1) == whole[stop : stop + 5]
    first, second = ([number for batch in whole[lane::2] for number in batch] for lane in range(2))
    assert sorted(first[:9] + second[:8]) == list(range(17))


def test_a_lane_reads_each_shard_on(folder, monkeypatch):
    opened = []
    read = TarShards.read
    monkeypatch.setattr(
        TarShards, "read", lambda self, shard, start=0: opened.append(shard) or read(self, shard, start)
    )
    shards = TarShards(folder)
    crops = ShardCrops(shards, ShardOrder(shards.counts(), 1, 1, 2), 400, RATE)
    assert sorted(number_of(crops[i]) for i in range(17)) == list(range(17))
    assert sorted(opened) == [0, 2, 3, 4]  # those that hold any, once


@pytest.mark.parametrize("form", ["folder", "pattern", "list", "pipe"])
def test_tar_files_by_any_name(folder, form):
    urls = {
        "folder": folder,
        "pattern": f"{folder}/speech-{{000..004}}.tar",
        "list": [folder / f"speech-{shard:03}.tar" for shard in range(5)],
        "pipe": f"pipe:cat {folder}/speech-{{000..004}}.tar",
    }
    if form != "folder":
        pytest.importorskip("webdataset")
    shards = TarShards(urls[form])
    assert shards.counts() == list(COUNTS)
    names = [Path(str(recording)).name for recording in shards.read(2)]
    assert names == ["5.wav", "6.flac", "7.wav", "8.flac", "9.wav", "10.flac", "11.wav"]
    assert [Path(str(recording)).name for recording in shards.read(2, 4)] == names[4:]
    assert [str(recording) for recording in shards.first(6)][5].endswith("speech-002.tar/a/5.wav")


def test_counts_are_kept_in_the_index(folder, tmp_path, monkeypatch):
    index = tmp_path / "index.json"
    data = speech(TarShards(folder, index=index))
    data.prepare_data()
    monkeypatch.setattr(TarShards, "count", lambda *_: pytest.fail("counted again"))
    assert TarShards(folder, index=index).counts() == list(COUNTS)
    index.write_text("{}")
    with pytest.raises(ValueError, match=r"index\.json lacks .*speech-000\.tar; accepted"):
        TarShards(folder, index=index).counts()


def test_bad_shards_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match="0 tar files"):
        TarShards(tmp_path)
    with pytest.raises(ValueError, match=r"none\.tar: no such file"):
        TarShards([tmp_path / "none.tar"])
    with pytest.raises(ValueError, match="shuffle is 0"):
        TarShards(folder, shuffle=0)
    (tmp_path / "text.tar").write_text("no tar")
    with pytest.raises(ValueError, match=r"text\.tar: not a whole tar file"):
        TarShards(tmp_path).count(0)
    (tmp_path / "good.tar").write_bytes((folder / "speech-000.tar").read_bytes())
    with pytest.warns(UserWarning, match=r"text\.tar"):
        assert TarShards(tmp_path, index=tmp_path / "index").counts() == [5, 0]
    assert not (tmp_path / "index").exists()
    with pytest.raises(ValueError, match="cache is True"):
        speech(TarShards(folder), cache=True)


class Listed(Shards):
    """Recordings from memory."""

    def __init__(self, *recordings: bytes) -> None:
        super().__init__()
        self.recordings = recordings

    @property
    def names(self) -> Sequence[str]:
        return ("memory",)

    def read(self, shard: int, start: int = 0):
        yield from (Recording(data, f"memory/{i}.flac") for i, data in enumerate(self.recordings[start:]))


def test_broken_recordings_give_way_and_short_ones_repeat():
    shards = Listed(b"no audio", encoded(1, seconds=0.01), b"")
    crops = ShardCrops(shards, ShardOrder(shards.counts(), 1, 1, 8), 200, RATE)
    with pytest.warns(UserWarning, match=r"memory/[02]\.flac"):
        found = [crops[i] for i in range(3)]
    assert [number_of(wav) for wav in found] == [1, 1, 1]
    assert all(wav.shape == (1, 200) and len(wav.unique()) == 1 for wav in found)
    assert crops.broken > 0
    broken = Listed(b"no audio")
    crops = ShardCrops(broken, ShardOrder([1], 1, 1, 1), 200, RATE)
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="broken recordings in a row"):  # noqa: PT030
        crops[0]
    crops = ShardCrops(broken, ShardOrder([3], 1, 1, 3), 200, RATE)
    with pytest.raises(ValueError, match="memory holds 1 recordings; accepted: 3, as were counted"):
        crops[0]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_hugging_face_data_sets_are_streamed(tmp_path, kind, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from vocable.recipes.sources.huggingface import HuggingFace

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    rows = [{"audio": {"bytes": encoded(i), "path": f"{i}.flac"}, "text": "words"} for i in range(12)]
    for shard, part in enumerate((rows[:5], rows[5:])):
        made = datasets.Dataset.from_list(part)
        if kind == "parquet":
            made.to_parquet(tmp_path / f"{shard}.parquet", batch_size=2)
        else:
            made.save_to_disk(tmp_path / str(shard))
    files = sorted(str(path) for path in tmp_path.rglob(f"*.{kind}"))
    shards = HuggingFace(kind, data_files={"train": files}, lanes=2)
    if kind == "parquet":
        monkeypatch.setattr(Shards, "count", lambda *_: pytest.fail("read to be counted"))
    assert shards.counts() == [5, 7]
    found = list(shards.read(1, 3))
    assert [Path(str(recording)).name for recording in found] == ["8.flac", "9.flac", "10.flac", "11.flac"]
    loader = speech(shards, batch_size=3, batches_per_epoch=4).train_dataloader()
    assert sorted(number_of(wav) for batch in loader for wav in batch) == list(range(12))
    with pytest.raises(ValueError, match=r"no column sound; accepted: audio, text"):
        HuggingFace(kind, data_files={"train": files}, column="sound").counts()
    wrong = HuggingFace(kind, data_files={"train": files}, column="text")
    with pytest.raises(ValueError, match="text is a str; accepted"):
        next(wrong.read(0))


@pytest.mark.parametrize(("kind", "option"), [(LibriSpeech, "librispeech"), (LibriTTS, "libritts")])
def test_libri_corpora(tmp_path, kind, option):
    pytest.importorskip("torchaudio")
    form = "1{0}2{0}000{1}" if kind is LibriSpeech else "1{0}2{0}000{1}{0}000000"
    for number, subset in enumerate(("train-clean-100", "train-clean-360", "dev-clean")):
        chapter = tmp_path / kind.folder / subset / "1" / "2"
        chapter.mkdir(parents=True)
        for i in range(2):
            name = form.format(kind.separator, i) + kind.suffix
            (chapter / name).write_bytes(encoded(2 * number + i, kind.suffix[1:]))
    assert len(kind(tmp_path, ["dev-clean"]).files()) == 2
    with initialize_config_module("vocable.recipes.conf", version_base="1.3"):
        cfg = compose("train", [f"data={option}", f"data.train.root={tmp_path}", f"sample_rate={RATE}"])
    data = instantiate(cfg.data, _convert_="all", voiced_db=-200.0, crop_seconds=0.01)
    data.prepare_data()
    data.setup("fit")
    assert {number_of(data.crops[i]) for i in range(50)} == {0, 1, 2, 3}
    assert [number_of(wav) for wav in data.utterances] == [4, 5]
    with pytest.raises(ValueError, match=r"test-clean: no such folder; accepted: .*download=true"):
        kind(tmp_path, ["test-clean"]).files()
    with pytest.raises(ValueError, match="accepted: dev-clean"):
        kind(tmp_path, ["dev"])


def test_shards_validate_too(folder):
    data = speech(TarShards(folder), valid=TarShards(folder), valid_examples=6)
    assert data.utterances is not None
    assert [number_of(wav) for wav in data.utterances] == [0, 1, 2, 3, 4, 5]
