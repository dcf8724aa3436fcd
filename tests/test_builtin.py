"""The codecs inside the package, on the clip beside them."""

import pytest
import torch

from vocable import codecs
from vocable.codecs import audio, hub
from vocable.codecs.cli import clip
from vocable.codecs.hub import find
from vocable.codecs.measure import si_sdr

RVQ, CAUSAL, FSQ = "vocable-16khz", "vocable-16khz-causal", "vocable-16khz-fsq"


def test_there_are_three() -> None:
    assert hub.builtin() == [RVQ, CAUSAL, FSQ]


@pytest.mark.parametrize(
    ("name", "sizes", "rates", "parameters"),
    [
        (RVQ, (1024,) * 12, (500, 6000), 11_298_075),
        (CAUSAL, (1024,) * 12, (500, 6000), 11_298_075),
        (FSQ, (65536,), (800, 800), 11_300_259),
    ],
)
def test_each_is_what_its_card_says(
    name: str, sizes: tuple[int, ...], rates: tuple[int, int], parameters: int
) -> None:
    codec = codecs.load(name)
    assert (codec.sample_rate, codec.hop_length, codec.codebook_sizes) == (16000, 320, sizes)
    assert (codec.bit_rate(1), codec.bit_rate()) == rates
    assert sum(parameter.numel() for parameter in codec.parameters()) == parameters
    folder, _ = find(name, None)
    assert (folder / "model.safetensors").stat().st_size < 40e6
    assert "license: cc-by-4.0" in (folder / "README.md").read_text(encoding="utf-8")


def test_the_causal_one_streams_40_ms_late() -> None:
    codec = codecs.load(CAUSAL)
    wav = audio.read(clip())[0][None]
    stream = codec.stream(context=0.0)
    assert stream.latency == 40
    assert stream.exact
    codes = torch.cat([stream.encode(chunk) for chunk in wav.split(441, -1)] + [stream.flush()], -1)
    assert torch.equal(codes, codec.encode(wav).codes)


def test_each_codebook_more_is_closer_to_the_speech() -> None:
    codec = codecs.load(RVQ)
    wav, rate = audio.read(clip())
    tokens = codec.encode(wav, rate)
    assert tokens.codes.shape == (1, 12, 355)
    made = [codec.decode(tokens.first(count))[0, 0] for count in (1, 2, 4, 12)]
    scores = [si_sdr(wav[0], out) for out in made]
    assert scores == sorted(scores)
    assert scores[2] > 0.2
    assert scores[3] > 4.5


@pytest.mark.parametrize(
    ("name", "count", "clear", "good"),
    [(RVQ, 12, 0.944, 3.10), (RVQ, 1, 0.814, 1.28), (CAUSAL, 12, 0.938, 3.02), (FSQ, 1, 0.854, 1.53)],
)
def test_speech_stays_intelligible(name: str, count: int, clear: float, good: float) -> None:
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    from vocable.codecs.measure import pesq_wb, stoi

    codec = codecs.load(name)
    wav, rate = audio.read(clip())
    out = codec.decode(codec.encode(wav, rate).first(count))[0, 0]
    assert stoi(wav[0], out, rate) == pytest.approx(clear, abs=0.01)
    assert pesq_wb(wav[0], out, rate) == pytest.approx(good, abs=0.1)
