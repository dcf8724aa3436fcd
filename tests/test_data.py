from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("lightning")

from lightning.pytorch import LightningModule, Trainer

from vocable.codecs.manifest import Clip, find_clips
from vocable.recipes.crops import Crops, FileClips, MemoryClips
from vocable.recipes.data import SpeechData
from vocable.recipes.loader import Consecutive, ResumableLoader

RATE = 8000


def write(path: Path, seconds: float, rate: int = RATE, level: float = 0.5, channels: int = 1) -> Clip:
    """A sine of 100 Hz at `level`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = level * np.sin(2 * np.pi * 100 * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, 1), rate)
    return Clip(path, seconds)


def ramp(path: Path, samples: int) -> Clip:
    """A file whose 16-bit sample i is i + 1, so that a crop tells where it came from."""
    soundfile.write(path, np.arange(1, samples + 1, dtype=np.int16), RATE)
    return Clip(path, samples / RATE)


@pytest.fixture
def folder(tmp_path):
    for i in range(4):
        write(tmp_path / "wavs" / f"{i}.wav", 1 + i)
    return tmp_path


@pytest.fixture
def noise(tmp_path):
    """A folder in which no two crops have the same sum."""
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 20000)
    soundfile.write(tmp_path / "noise.wav", wave, RATE)
    return tmp_path


@settings(max_examples=25, deadline=None)
@given(total=st.integers(1, 4000), samples=st.integers(1, 4000), place=st.floats(0, 1, exclude_max=True))
def test_a_crop_is_the_samples_asked_for(tmp_path_factory, total, samples, place):
    clip = ramp(tmp_path_factory.mktemp("ramp") / "a.flac", total)
    crop = FileClips([clip], RATE).crop(0, samples, place) * 32768
    start = int(place * (max(0, total - samples) + 1))
    assert crop.tolist() == [list(range(start + 1, start + min(samples, total) + 1))]
    assert torch.equal(MemoryClips([clip], RATE).crop(0, samples, place) * 32768, crop)


def test_no_more_than_the_crop_is_decoded(tmp_path, monkeypatch):
    clip = write(tmp_path / "long.flac", 60)
    decoded = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda self, n, **kw: decoded.append(n) or read(self, n, **kw)
    )
    FileClips([clip], 2 * RATE).crop(0, 1000, 0.5)
    assert decoded == [500]


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_any_rate_and_format_becomes_the_one_asked_for(tmp_path, rate, suffix):
    clip = write(tmp_path / f"a.{suffix}", 1.0, rate, channels=2)
    crop = FileClips([clip], 16000).crop(0, 8000, 0.3)
    assert crop.shape == (1, 8000)
    spectrum = torch.fft.rfft(crop[0] * torch.hann_window(8000)).abs()
    assert int(spectrum.argmax()) == 50  # 100 Hz, in bins of 2 Hz
    assert float(crop.square().mean().sqrt()) == pytest.approx(0.5 / 2**0.5, rel=0.05)


def test_examples_depend_on_seed_and_index_alone(folder):
    clips, _ = find_clips(folder)
    first, again = (Crops(FileClips(clips, RATE), 4000, seed=3) for _ in range(2))
    forwards = [first[i] for i in range(8)]
    backwards = [again[i] for i in reversed(range(8))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not torch.equal(forwards[0], forwards[1])
    assert not torch.equal(forwards[0], Crops(FileClips(clips, RATE), 4000, seed=4)[0])
    cached = Crops(MemoryClips(clips, RATE), 4000, seed=3)
    assert all(torch.equal(forwards[i], cached[i]) for i in range(8))


def test_clips_are_drawn_by_duration(tmp_path):
    clips = [write(tmp_path / "short.wav", 1, level=0.1), write(tmp_path / "long.wav", 3, level=0.9)]
    crops = Crops(MemoryClips(clips, RATE), 800)
    share = sum(float(crops[i].abs().max()) > 0.5 for i in range(400)) / 400
    assert share == pytest.approx(0.75, abs=0.07)  # 3 standard deviations


def test_voiced_crops_are_preferred(tmp_path):
    clips = [write(tmp_path / "silence.wav", 1, level=0), write(tmp_path / "voice.wav", 1)]
    crops = Crops(MemoryClips(clips, RATE), 800)
    silent = sum(float(crops[i].abs().max()) == 0 for i in range(400)) / 400
    assert silent == pytest.approx(1 / 8, abs=0.05)  # all of three draws


def test_short_clips_follow_one_another_and_silence_ends_them(tmp_path):
    crop = Crops(FileClips([ramp(tmp_path / "a.wav", 300)], RATE), 1000)[0]
    cycle = [*range(1, 301)] * 3
    assert (crop[0, :900] * 32768).tolist() == cycle
    assert (crop[0, 900:] * 32768).diff().tolist() == [1.0] * 99
    tiny = Crops(FileClips([ramp(tmp_path / "b.wav", 2)], RATE), 100)[0]
    assert (tiny * 32768).tolist() == [[1, 2] * 16 + [0] * 68]


def test_gain_stays_in_its_range_and_never_clips(tmp_path):
    clips = [write(tmp_path / "a.wav", 1, level=0.5)]
    peaks = torch.tensor(
        [float(Crops(FileClips(clips, RATE), 800, gain_db=(-20, 20))[i].abs().max()) for i in range(100)]
    )
    assert 0.05 <= float(peaks.min()) < 0.08
    assert float(peaks.max()) == pytest.approx(1.0, abs=1e-4)


def test_broken_files_give_way_and_are_counted_once(folder):
    clips = [*find_clips(folder)[0], Clip(folder / "gone.wav", 30.0)]
    crops = Crops(FileClips(clips, RATE), 4000)
    with pytest.warns(UserWarning, match=r"gone\.wav") as warned:
        assert all(crops[i].shape == (1, 4000) for i in range(10))
    assert len(warned) == 1
    assert crops.broken == [folder / "gone.wav"]
    with pytest.warns(UserWarning, match=r"gone\.wav"):
        assert len(MemoryClips(clips, RATE).clips) == 4


def test_only_broken_files_end_the_run(tmp_path):
    with (
        pytest.warns(UserWarning, match="gone"),
        pytest.raises(ValueError, match="20 broken files in a row, of 1 clips"),
    ):
        Crops(FileClips([Clip(tmp_path / "gone.wav", 1.0)], RATE), 100)[0]


@given(
    batches=st.integers(1, 5),
    size=st.integers(1, 4),
    world=st.sampled_from([1, 2, 3]),
    start=st.integers(0, 9),
)
def test_ranks_share_a_batch_and_the_next_follows(batches, size, world, start):
    samplers = [Consecutive(batches, size, world, rank) for rank in range(world)]
    for sampler in samplers:
        sampler.start = start
    rows = torch.tensor([list(sampler) for sampler in samplers]).view(world, batches, size)
    whole = size * world
    assert rows.transpose(0, 1).flatten().tolist() == list(range(start * whole, (start + batches) * whole))
    assert [len(sampler) for sampler in samplers] == [batches * size] * world


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_resumes_behind_the_batches_given(noise, workers):
    def loader() -> ResumableLoader:
        data = SpeechData(
            noise, sample_rate=RATE, crop_seconds=0.1, batch_size=2, batches_per_epoch=4, num_workers=workers
        )
        data.setup("fit")
        return data.train_dataloader()

    whole = loader()
    batches = [*whole, *whole]
    assert len(batches) == 8
    assert batches[0].shape == (2, 1, 800)
    assert len({float(batch.sum()) for batch in batches}) == 8
    cut = iter(half := loader())
    assert all(torch.equal(next(cut), batch) for batch in batches[:3])
    resumed = loader()
    resumed.load_state_dict(half.state_dict())
    assert torch.equal(next(iter(resumed)), batches[3])


def test_validation_is_whole_utterances_cut(folder):
    data = SpeechData(folder, folder, sample_rate=RATE, valid_seconds=2.5)
    data.setup("validate")
    assert [tuple(batch.shape) for batch in data.val_dataloader()] == [
        (1, 1, 8000), (1, 1, 16000), (1, 1, 20000), (1, 1, 20000),
    ]  # fmt: skip
    data = SpeechData(folder, folder, sample_rate=RATE, valid_examples=2)
    data.setup("validate")
    assert [batch.shape[-1] for batch in data.val_dataloader()] == [8000, 24000]


@pytest.mark.parametrize(
    "bad", [{"crop_seconds": 0}, {"batch_size": -1}, {"sample_rate": 0}, {"gain_db": (3, -3)}]
)
def test_bad_arguments_are_refused(folder, bad):
    with pytest.raises(ValueError, match="accepted"):
        SpeechData(folder, **bad)


class Recorder(LightningModule):
    """Trains nothing and remembers the batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[float] = []

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        self.seen.append(float(batch.sum()))
        return self.layer(batch.mean().reshape(1)).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.mark.parametrize("stop", [3, 4, 6, 8])
def test_lightning_resumes_the_order(noise, tmp_path, stop):
    def fit(steps: int, checkpoint: Path | None = None) -> tuple[Trainer, list[float]]:
        data = SpeechData(
            noise, sample_rate=RATE, crop_seconds=0.1, batch_size=2, batches_per_epoch=4, num_workers=0
        )
        trainer = Trainer(
            max_steps=steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module := Recorder(), data, ckpt_path=checkpoint)
        return trainer, module.seen

    _, whole = fit(10)
    trainer, first = fit(stop)
    trainer.save_checkpoint(tmp_path / "stop.ckpt")
    _, rest = fit(10, tmp_path / "stop.ckpt")
    assert len(set(whole)) == 10
    assert first + rest == whole
