"""The benchmark of tokens: on codecs whose codebooks are known to tell all, nothing, or the speaker."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typer.testing import CliRunner

from vocable.benchmarks.speech_tokens import Options, TokenRow, command, draw, markdown, run
from vocable.codecs import Codec, audio, save
from vocable.codecs.backbones.whisper import WhisperEncoder
from vocable.quantizers.base import Quantizer
from vocable.quantizers.fsq import FSQ
from vocable.quantizers.multiscale import factorized_multiscale
from vocable.quantizers.rvq import RVQ
from vocable.quantizers.semantic_residual import SemanticResidual
from vocable.quantizers.vq import EMAVQ

HOP = 10


class Means(nn.Module):
    """Means of a signal's frames of 10 samples, as latents, as a teacher's features, and back."""

    hop_length = HOP

    def __init__(self, back: bool = False) -> None:
        super().__init__()
        self.back = back

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return (x.repeat_interleave(HOP, -1) if self.back else F.avg_pool1d(x, HOP)), None


class Teacher(Means):
    def forward(self, x: Tensor, state: Any = None) -> Any:
        return super().forward(x)[0].sign()


def means_codec(*tables: list[float]) -> Codec:
    """Residual codebooks of given scalars for the frames' means."""
    layers = [EMAVQ(1, len(table)) for table in tables]
    for layer, table in zip(layers, tables, strict=True):
        layer.embed.copy_(torch.tensor(table)[:, None])
    return Codec(Means(), RVQ(layers), Means(back=True), 16_000).eval()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of three speakers, a second each of frames of +-0.5, as the sound, and +-0.1, as the speaker has it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("speech")
    for name, share in (("a", 0.2), ("b", 0.5), ("c", 0.8)):
        sound = torch.randint(2, (1600,)).repeat_interleave(2)[:1600] - 0.5
        voice = 0.2 * ((torch.rand(1600) < share).float() - 0.5)
        audio.write(folder / f"{name}.wav", (sound + voice).repeat_interleave(HOP)[None], 16_000)
    return sorted(folder.iterdir())


OPTIONS = Options(units=2, frames=2000, window=0.1)


def test_a_codebook_of_sounds_and_one_of_voices(recordings: list[Path]) -> None:
    codec = means_codec([-0.5, 0.5], [-0.1, 0.1, 9.0])
    speakers = {path: path.stem for path in recordings}
    before = torch.random.get_rng_state()
    sound, voice = run({"x": codec}, recordings[:2], recordings[2:], speakers, OPTIONS, Teacher())
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (sound.codebook, voice.codebook, sound.size, voice.size) == (1, 2, 2, 3)
    assert (sound.token_rate, sound.tokens) == (1600, 4800)
    assert sound.phonetic_bits == pytest.approx(1, abs=0.02)
    assert sound.phonetic > 0.99
    assert sound.told > 0.99
    assert (sound.found, sound.found_upto, voice.found_upto) == (1, 1, 1)
    assert abs(voice.phonetic_bits) < 0.01
    assert abs(voice.told) < 0.01
    assert voice.found == pytest.approx(0.5, abs=0.06)
    assert voice.speaker is not None
    assert sound.speaker is not None
    assert voice.speaker > 0.95
    assert sound.speaker < 0.6
    assert (sound.speakers, sound.speaker_chance, sound.speaker_split) == (3, pytest.approx(1 / 3), "halves")
    assert sound.bits == 1
    assert sound.entropy == pytest.approx(1, abs=0.02)
    # each sound lasts two frames, so the last token tells every other one
    assert sound.repeats == pytest.approx(0.75, abs=0.03)
    assert sound.entropy_given_last == pytest.approx(0.811, abs=0.03)  # of a coin of 0.75
    assert sound.perplexity == pytest.approx(2, abs=0.03)
    assert (sound.used, sound.dead, voice.used, voice.dead) == (1, 0, pytest.approx(2 / 3), 1)
    assert sound.same[3] == voice.same[3] == 1
    assert not sound.absent
    again = run({"x": codec}, recordings[:2], recordings[2:], speakers, OPTIONS, Teacher())
    assert again == [sound, voice]


def test_what_is_absent_says_why(recordings: list[Path]) -> None:
    rows = run({"x": means_codec([-0.5, 0.5])}, recordings[:1], recordings[1:], {}, OPTIONS, Teacher())
    assert rows[0].speaker is None
    assert "2 or more" in rows[0].absent["speaker found"]
    text = markdown(rows)
    assert "- is speaker found: speakers are []" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_too_many_units(recordings: list[Path]) -> None:
    with pytest.raises(ValueError, match="units are 5000 for 1600 frames"):
        run({}, recordings[:1], recordings[1:], {}, Options(units=5000), Teacher())


@pytest.mark.parametrize(
    ("make", "books", "rates"),
    [
        (lambda: FSQ(3, (65, 64, 16)), 1, (1,)),  # 66,560 entries
        (lambda: factorized_multiscale(3, (4, 2, 1), 32, 4), 3, (0.25, 0.5, 1)),
        (lambda: SemanticResidual(2, 16, 16, layers=1, segment=16), 2, (1, 1)),
    ],
)
def test_any_quantizer(
    make: Callable[[], Quantizer], books: int, rates: tuple[float, ...], recordings: list[Path]
) -> None:
    torch.manual_seed(0)
    levels = isinstance(rates[0], float)

    class Wide(Means):
        hop_length = HOP * (4 if levels else 1)

        def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            mean = F.avg_pool1d(x, HOP)
            return torch.cat([mean, mean.square(), torch.ones_like(mean)], 1), None

    decoder = Means(back=True)
    decoder.hop_length = Wide.hop_length
    codec = Codec(Wide(), make(), decoder, 16_000).eval()
    speakers = {path: path.stem for path in recordings}
    rows = run({"x": codec}, recordings[:2], recordings[2:], speakers, OPTIONS, Teacher())
    assert [row.token_rate for row in rows] == [1600 * rate for rate in rates]
    assert len(rows) == books
    assert not any(row.absent for row in rows)
    assert all(0 <= row.found <= 1 and 0 <= row.found_upto <= 1 for row in rows)
    assert rows[-1].found_upto > 0.65  # by chance 0.5; random codebooks hold some of the mean's sign


def test_command(codec: Codec, node: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    save(codec, node, tmp_path / "codec")
    rows: list[dict[str, str]] = [
        {"path": f"{i}.wav", "split": "train" if i < 2 else "eval", "speaker": str(i % 2)} for i in range(3)
    ]
    torch.manual_seed(0)
    for row in rows:
        audio.write(tmp_path / row["path"], 0.1 * torch.randn(1, 8000), 16000)
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    monkeypatch.setattr(command, "whisper_tiny_en", lambda layer: WhisperEncoder(8, 2, 2, 10, layer))
    options = ["--codec", str(tmp_path / "codec"), "--data", str(tmp_path / "manifest.csv"), "--units", "5"]
    out = tmp_path / "out"
    result = CliRunner().invoke(command.app, [*options, "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert "5 units of Whisper tiny.en, fitted on 2 files; judged on 1." in result.stdout
    assert (out / "tokens.md").read_text() == result.stdout
    found = json.loads((out / "tokens.json").read_text())
    assert found["about"]["units"] == 5
    assert [row["size"] for row in found["rows"]] == [16, 16, 12]
    assert {
        **found["rows"][0],
        "same": tuple(found["rows"][0]["same"]),
    }.keys() == TokenRow.__annotations__.keys()
    assert (out / "tokens.png").read_bytes().startswith(b"\x89PNG")
    result = CliRunner().invoke(command.app, [*options, "--source", "nobody"])
    assert result.exit_code == 2
    assert "source" in result.output


def test_draw_refuses_what_is_no_image(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match=r"the suffix is '\.txt'; accepted: .*\.png"):
        draw(tmp_path / "a.txt", [])
