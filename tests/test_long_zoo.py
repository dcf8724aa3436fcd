"""Every codec of the zoo from file to file: the tokens and the audio of the signal in memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vocable.benchmarks.small import NAMES, NEEDS_TRANSFORMERS, small_codec
from vocable.codecs import Tokens, audio
from vocable.codecs.backbones import pieces

Same = Callable[[Tokens, Tokens], None]
RATE, SECONDS = 22050, 1.4
TWINS = ("speechtokenizer-snake", "stablecodec-4x729", "xcodec-hubert-librispeech", "dac-44khz", "snac-24khz")


@pytest.fixture(scope="module")
def recording(stereo: Callable[[int, float], Path]) -> Path:
    return stereo(RATE, SECONDS)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TWINS])
def test_a_file_is_encoded_and_decoded_as_a_signal_in_memory(
    name: str, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_same: Same
) -> None:
    if name in NEEDS_TRANSFORMERS:
        pytest.importorskip("transformers")
    codec = small_codec(name)
    monkeypatch.setattr(pieces, "SAMPLES", 2**11)
    wanted = codec.encode(*audio.read(recording))
    codec.encode_file(recording, tmp_path / "a.voc")
    check_same(Tokens.load(tmp_path / "a.voc"), wanted)
    check_same(codec.encode(recording), wanted)
    codec.decode_file(tmp_path / "a.voc", tmp_path / "a.wav", RATE)
    wav, back = codec.decode(wanted, RATE)[0], audio.read(tmp_path / "a.wav")[0]
    assert audio.info(recording).frames == back.shape[-1]
    torch.testing.assert_close(back, wav.clamp(-1, 1), rtol=0, atol=1.01 / 2**15)
    assert {path.name for path in tmp_path.iterdir()} == {"a.voc", "a.wav"}
    monkeypatch.setattr(pieces, "SAMPLES", 2**24)
    whole = codec.encode(*audio.read(recording))
    assert torch.equal(whole.codes, wanted.codes)
    if name == "semanticodec-100":  # its decoder has windows of its own, however the codes come
        return
    torch.testing.assert_close(codec.decode(whole, RATE)[0], wav, rtol=0, atol=3e-5 * float(wav.abs().max()))
