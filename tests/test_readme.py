"""The README's Python runs as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from vocable.codecs import audio
from vocable.codecs.cli import clip

README = Path(__file__).parent.parent / "README.md"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="a wheel's tests have no README beside them")


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wav, rate = audio.read(clip())
    audio.write("speech.wav", wav, rate)
    use, lengths, own = blocks()
    scope: dict[str, Any] = {}
    exec(use, scope)
    assert scope["wav"].shape == (1, 1, wav.shape[-1])
    audio.write("lecture.flac", wav, rate)
    scope |= {"batch": wav[None, :, :16000].repeat(2, 1, 1), "paths": [Path("speech.wav")]}
    scope["chunks"] = torch.randn(1, 1, 3000).clamp(-1, 1).split(700, -1)
    exec(lengths, scope)
    assert scope["tokens"].source_lengths is None
    assert audio.read("lecture.wav")[0].shape == wav.shape
    tokens = scope["live"].codec.encode(torch.cat(scope["chunks"], -1))
    assert torch.equal(torch.cat(scope["codes"], -1), tokens.codes)
    whole = scope["live"].codec.decode(tokens.codes)
    torch.testing.assert_close(torch.cat(scope["wavs"], -1), whole, atol=1e-5, rtol=0)
    assert scope["live"].latency == 40
    assert scope["late"].exact
    exec(own, scope)


def test_setup_commands_are_those_that_continuous_integration_runs() -> None:
    text = README.read_text(encoding="utf-8")
    assert "pip install -r requirements.txt -e . && vocable reconstruct" in text
    assert "pip install --no-deps -r requirements-dev.txt -e . && pytest" in text
