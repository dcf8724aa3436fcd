"""What the package's codec makes stands where it stood, and `info` says so."""

import pytest
import torch

from vocable.codecs import Codec, load, report
from vocable.codecs.delay import codec_delay


def test_the_built_in_is_in_step() -> None:
    codec = load("vocable-16khz")
    found = codec_delay(codec)
    assert abs(found.ms) < 0.05  # under a sample
    assert found.likeness > 0.8
    assert "ms, measured on speech" in report.codec_rows(codec, "vocable-16khz")["delay"]


@pytest.mark.parametrize("late", [-5, 0, 7])
def test_a_shift_is_found(late: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In samples of 16 kHz, of a codec whose decoder is late, or early."""
    codec = load("vocable-16khz")
    decode = Codec.decode
    monkeypatch.setattr(Codec, "decode", lambda self, tokens: torch.roll(decode(self, tokens), late, -1))
    assert codec_delay(codec).ms == pytest.approx(late / 16, abs=0.05)


def test_what_cannot_be_measured_is_not_claimed() -> None:
    torch.manual_seed(0)
    codec = load("vocable-16khz")
    torch.nn.init.normal_(codec.get_parameter("decoder.out.weight"))
    assert report.delay_row(codec).startswith("can't be measured: the waveform is another's (correlation ")
