"""The codec inside the package, on the clip beside it."""

import pytest

from vocable import codecs
from vocable.codecs import audio, hub
from vocable.codecs.cli import clip
from vocable.codecs.hub import find
from vocable.codecs.measure import si_sdr


def test_built_in_is_what_its_card_says() -> None:
    assert hub.builtin() == ["vocable-16khz"]
    codec = codecs.load("vocable-16khz")
    assert (codec.sample_rate, codec.hop_length, codec.codebook_sizes) == (16000, 320, (1024,) * 12)
    assert (codec.bit_rate(1), codec.bit_rate()) == (500, 6000)
    assert sum(parameter.numel() for parameter in codec.parameters()) == 11_298_075
    folder, _ = find("vocable-16khz", None)
    assert (folder / "model.safetensors").stat().st_size < 40e6
    assert "license: cc-by-4.0" in (folder / "README.md").read_text(encoding="utf-8")


def test_each_codebook_more_is_closer_to_the_speech() -> None:
    codec = codecs.load("vocable-16khz")
    wav, rate = audio.read(clip())
    tokens = codec.encode(wav, rate)
    assert tokens.codes.shape == (1, 12, 355)
    made = [codec.decode(tokens.first(count))[0, 0] for count in (1, 2, 4, 12)]
    scores = [si_sdr(wav[0], out) for out in made]
    assert scores == sorted(scores)
    assert scores[2] > 2.7
    assert scores[3] > 6.7


def test_speech_stays_intelligible() -> None:
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    from vocable.codecs.measure import pesq_wb, stoi

    codec = codecs.load("vocable-16khz")
    wav, rate = audio.read(clip())
    out = codec.decode(codec.encode(wav, rate))[0, 0]
    assert stoi(wav[0], out, rate) == pytest.approx(0.930, abs=0.01)
    assert pesq_wb(wav[0], out, rate) == pytest.approx(3.13, abs=0.1)
