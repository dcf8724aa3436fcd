"""The README's Python runs as it stands."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"

pytestmark = pytest.mark.skipif(not README.is_file(), reason="a wheel's tests have no README beside them")


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_use_and_own_quantizer_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vocable.codecs import audio
    from vocable.codecs.cli import clip

    monkeypatch.chdir(tmp_path)
    wav, rate = audio.read(clip())
    audio.write("speech.wav", wav, rate)
    use, own = blocks()
    scope: dict[str, object] = {}
    exec(use, scope)
    assert scope["wav"].shape == (1, 1, wav.shape[-1])  # type: ignore[attr-defined]
    exec(own, scope)


def test_setup_commands_are_those_that_continuous_integration_runs() -> None:
    text = README.read_text(encoding="utf-8")
    assert "pip install -r requirements.txt -e . && vocable reconstruct" in text
    assert "pip install --no-deps -r requirements-dev.txt -e . && pytest" in text
