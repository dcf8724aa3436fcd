"""Coders to compare with: in time, of any length and rate, telling what they took and what they depend on."""

import pickle
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("av")

from vocable.benchmarks.baselines import AAC, KINDS, MP3, Baseline, Codec2, Opus, baseline
from vocable.benchmarks.baselines.codec2 import MODES
from vocable.benchmarks.judges.base import Unavailable
from vocable.codecs.audio import read, resample
from vocable.codecs.cli import clip
from vocable.codecs.delay import delay
from vocable.codecs.measure import si_sdr, stoi

RATE = 16_000
codec2 = pytest.mark.skipif(find_spec("pycodec2") is None, reason="needs pycodec2")


@pytest.fixture(scope="module")
def speech() -> Tensor:
    """Seven seconds (T,) at 16 kHz."""
    return read(clip())[0][0]


def late(reference: Tensor, estimate: Tensor) -> float:
    """By how many samples `estimate` comes after `reference`."""
    return delay(reference, estimate, RATE) * RATE / 1000


@pytest.mark.parametrize("bit_rate", [6000, 8000, 12000, 24000])
def test_opus_is_in_time(speech: Tensor, bit_rate: int) -> None:
    opus = Opus(bit_rate)
    packets = opus.encode(speech)
    made = opus.decode(packets)
    assert made.shape == speech.shape
    assert packets.bit_rate == pytest.approx(bit_rate, rel=0.06)
    assert abs(late(speech, made)) < 1.5  # by the mode that libopus takes it is up to a sample


def test_opus_gets_better_with_its_rate(speech: Tensor) -> None:
    pytest.importorskip("pystoi")
    made = [Opus(bit_rate).reconstruct(speech, RATE).wav for bit_rate in (6000, 12000, 24000)]
    scores = [stoi(speech, wav, RATE) for wav in made]
    assert scores == sorted(scores)
    assert scores[0] > 0.85
    # its mode for speech filters out the lowest frequencies, which bounds this one from above
    scores = [si_sdr(speech, wav) for wav in made]
    assert scores == sorted(scores)
    assert scores[2] > 2.5


def test_opus_tells_the_rate_that_it_took_not_the_one_asked(speech: Tensor) -> None:
    opus = Opus(500)
    packets = opus.encode(speech)
    assert packets.bit_rate > 4000
    assert packets.bit_rate == 8 * sum(map(len, packets.packets)) / (0.02 * len(packets.packets))
    assert len(packets.packets) == 356  # 7.1 s in frames of 20 ms, and one for the encoder's delay
    assert opus.reconstruct(speech, RATE).bit_rate == packets.bit_rate


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 48_000])
@pytest.mark.parametrize("samples", [1, 319, 320, 321, 16_001])
def test_opus_keeps_any_length(speech: Tensor, sample_rate: int, samples: int) -> None:
    opus = Opus(12_000, sample_rate)
    assert opus.decode(opus.encode(speech[:samples])).shape == (samples,)


def test_opus_refuses(speech: Tensor) -> None:
    with pytest.raises(ValueError, match="22050; accepted: 8000"):
        Opus(6000, 22_050)
    with pytest.raises(ValueError, match="bit_rate is 499; accepted: 500 to"):
        Opus(499)
    for wrong in (speech[None], speech[:0], speech.to(torch.int16)):
        with pytest.raises(ValueError, match=r"accepted: float \(T,\)"):
            Opus(6000).encode(wrong)


@pytest.mark.parametrize(("spec", "least"), [("mp3:16", 2.5), ("mp3:64", 12)])
def test_mp3_is_in_time_at_its_rate(speech: Tensor, spec: str, least: float) -> None:
    made = baseline(spec).reconstruct(speech, RATE)
    assert abs(late(speech, made.wav)) < 0.05
    assert made.bit_rate == pytest.approx(1000 * float(spec[4:]))  # it is constant
    assert si_sdr(speech, made.wav) > least


@pytest.mark.parametrize(("spec", "least"), [("aac:16", 3), ("aac:64", 20)])
def test_aac_is_in_time_at_about_its_rate(speech: Tensor, spec: str, least: float) -> None:
    made = baseline(spec).reconstruct(speech, RATE)
    assert abs(late(speech, made.wav)) < 0.05
    assert made.bit_rate == pytest.approx(1000 * float(spec[4:]), rel=0.1)
    assert si_sdr(speech, made.wav) > least


def envelope(wav: Tensor) -> Tensor:
    """How loud (T,) at 16 kHz is every millisecond, about its mean."""
    loud = F.avg_pool1d(wav.abs()[None], 160, 16)[0]
    return loud - loud.mean()


@codec2
@pytest.mark.parametrize("bit_rate", MODES)
def test_codec2_is_in_time_at_its_rate(speech: Tensor, bit_rate: int) -> None:
    made = Codec2(bit_rate).reconstruct(speech, RATE)
    assert made.bit_rate == bit_rate
    # its phase is its own, so only loudness tells; with its delay left in it would be 20 or 30 ms late
    assert abs(delay(envelope(speech), envelope(made.wav), 1000)) < 5
    spectrum = torch.fft.rfft(made.wav).abs().square()
    assert float(spectrum[: len(spectrum) // 2].sum() / spectrum.sum()) > 0.999  # nothing above 4 kHz


@codec2
def test_codec2_gets_better_with_its_rate(speech: Tensor) -> None:
    pytest.importorskip("pystoi")
    scores = [stoi(speech, Codec2(rate).reconstruct(speech, RATE).wav, RATE) for rate in (700, 1200, 3200)]
    assert scores == sorted(scores)
    assert scores[0] > 0.6
    assert scores[2] > 0.8


@pytest.mark.parametrize("spec", ["opus:6", "mp3:16", "aac:16", pytest.param("codec2:1.3", marks=codec2)])
def test_any_length_and_rate_is_kept(speech: Tensor, spec: str) -> None:
    coder = baseline(spec)
    for samples in (1, 2, 575, 576, 1025):
        made = coder.reconstruct(speech[:samples], RATE)
        assert made.wav.shape == (samples,)
        assert made.wav.isfinite().all()
        assert made.codes is None
    music = resample(speech[:20_000], RATE, 44_100)
    made = coder.reconstruct(music, 44_100)
    assert made.wav.shape == music.shape
    ours = coder.reconstruct(speech[:20_000], RATE)
    assert made.bit_rate == pytest.approx(ours.bit_rate, rel=0.05)
    again = resample(made.wav, 44_100, RATE)[:20_000]
    assert abs(delay(envelope(ours.wav), envelope(again), 1000)) < 0.2


@codec2
def test_specifications() -> None:
    names = {
        "opus:6": "Opus 6 kbit/s",
        "opus:7.5": "Opus 7.5 kbit/s",
        "mp3:16": "MP3 16 kbit/s",
        "aac:24": "AAC 24 kbit/s",
        "codec2:3.2": "Codec2 3.2 kbit/s",
        "codec2:0.7": "Codec2 0.7 kbit/s",
    }
    coders = [baseline(spec) for spec in names]
    assert [coder.name for coder in coders] == list(names.values())
    assert [type(coder) for coder in coders] == [Opus, Opus, MP3, AAC, Codec2, Codec2]
    identities = {coder.identity for coder in coders}
    assert len(identities) == len(names)
    assert identities == {baseline(spec).identity for spec in names}
    assert Opus(6000, 48_000).identity not in identities
    for coder in coders:
        assert isinstance(coder, Baseline)
        assert (coder.frame_rate, coder.codebook_sizes, coder.token_rate) == (None, None, None)
        assert pickle.loads(pickle.dumps(coder)).identity == coder.identity  # it can go to another process


@pytest.mark.parametrize(
    "spec", ["opus", "opus:", "opus:x", "opus:nan", "opus:inf", "foo:1", "opus:6:/tmp", "lyra:6"]
)
def test_other_specifications_are_refused_with_those_accepted(spec: str) -> None:
    with pytest.raises(ValueError, match="accepted, in kbit/s: ") as error:
        baseline(spec)
    assert all(grammar in str(error.value) for grammar in KINDS.values())


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("opus:0.1", "100; accepted: 500 to 512000 bits/s"),
        ("mp3:12", "12000; accepted: 8000, 16000, "),
        ("aac:7", "7000; accepted: 8000 to 96000 bits/s"),
        ("codec2:3200", "3200000; accepted: 3200, 2400, "),
        ("lyra:3:/tmp", "3000; accepted: 3200, 6000, 9200 bits/s"),
        (
            "lyra:6:/nowhere:else",
            "/nowhere:else lacks soundstream_encoder.tflite, quantizer.tflite, lyragan.tflite; ",
        ),
    ],
)
def test_rates_and_folders_are_refused_with_those_accepted(spec: str, why: str) -> None:
    with pytest.raises(ValueError, match="accepted: ") as error:
        baseline(spec)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("spec", "package"), [("opus:6", "av"), ("mp3:16", "av"), ("codec2:1.6", "pycodec2")]
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, spec: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Unavailable, match=f"pip install {package}"):
        baseline(spec)


def test_what_is_no_signal_is_refused(speech: Tensor) -> None:
    for wrong in (speech[None], speech[:0], speech.to(torch.int16), speech / 0):
        with pytest.raises(ValueError, match="accepted: "):
            baseline("mp3:16").reconstruct(wrong, RATE)
