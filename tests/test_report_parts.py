"""What the benchmark's page is made of: the published numbers, the table's cells, audio and pictures."""

import base64
import io
import json
import math
from pathlib import Path

import pytest
import soundfile
import torch

from vocable.benchmarks import published
from vocable.benchmarks.judges.base import Column
from vocable.benchmarks.report import media, view
from vocable.benchmarks.report.page import Example
from vocable.benchmarks.results import Estimate, Results, Row
from vocable.codecs.loudness import loudness

RATE = 16_000


@pytest.fixture(scope="module")
def results() -> Results:
    text = (Path(__file__).parent / "assets" / "report.json").read_text(encoding="utf-8")
    return Results.from_dict(json.loads(text))


def tone(frequency: float, seconds: float = 1.0, peak: float = 0.1) -> torch.Tensor:
    return peak * torch.sin(2 * math.pi * frequency / RATE * torch.arange(int(seconds * RATE)))


def test_the_paper_s_table() -> None:
    rows = published.read()
    assert len(rows) == 20
    assert rows[0].values == {"WER": 1.96, "SPK-SIM": 1.0, "UTMOS": 4.09}
    two = next(row for row in rows if row.model == "DAC" and row.codebooks == 2)
    assert (two.token_rate, two.codebook_sizes, two.frame_rate) == (100.0, (1024, 1024), 50.0)
    assert list(two.values.values()) == [13.27, 0.73, 1.13, 1.40, 0.32, 1.29]
    assert rows[-1].values["PESQ-NB"] == 3.04
    assert all(row.token_rate == (row.frame_rate or 0) * row.codebooks for row in rows[1:])
    assert next(row for row in rows if row.model == "SemantiCodec").codebook_sizes == (32768, 8192)


@pytest.mark.parametrize(
    ("model", "sizes", "found"),
    [
        ("dac-16khz, 2/12", (1024,) * 2, 13.27),
        ("dac-16khz, 12/12", (1024,) * 12, 2.00),
        ("dac-16khz, 3/12", (1024,) * 3, None),
        ("mimi-32, 8/32", (2048,) * 8, 2.96),
        ("xcodec2", (65536,), 2.47),
        ("random:dac-16khz, 2/12", (1024,) * 2, None),
        ("Ground Truth", None, 1.96),
        ("opus, 6 kbit/s", None, None),
    ],
)
def test_a_row_finds_its_published_one(
    model: str, sizes: tuple[int, ...] | None, found: float | None
) -> None:
    row = published.match(Row(model, None, sizes, None, {}), published.read())
    assert (row and row.values["WER"]) == found


def test_every_published_codec_is_in_the_zoo() -> None:
    from vocable.codecs.zoo import table

    for row in published.read():
        for name in row.codecs:
            codec = table.published()[name]
            assert len(codec.codebook_sizes) >= row.codebooks
            assert codec.codebook_sizes[: row.codebooks] == row.codebook_sizes
            assert codec.sample_rate / codec.hop_length == row.frame_rate


def test_differences_from_the_published_numbers(results: Results) -> None:
    lines = {line.model: line for line in view.lines(results, published.read())}
    names = [column.name for column in results.columns]
    row = next(row for row in results.rows if row.model == "dac-16khz, 12/12")
    cell = lines["dac-16khz, 12/12"].cells[names.index("PESQ-WB")]
    assert cell.published == "4.01"
    assert float(cell.difference) == pytest.approx(row.cells["PESQ-WB"].value - 4.01, abs=0.005)
    assert cell.difference.startswith("+")
    missing = lines["dac-16khz, 12/12"].cells[names.index("WER")]  # its judge did not run
    assert (missing.text, missing.sort, missing.published, missing.difference) == (
        "not run",
        None,
        "2.00",
        "",
    )
    assert lines["opus, 6 kbit/s"].published is None


@pytest.mark.parametrize(
    ("value", "digits", "sign", "text"),
    [
        (1.236, 2, False, "1.24"),
        (-1.5, 1, False, "\N{MINUS SIGN}1.5"),
        (-0.001, 2, True, "0.00"),
        (0.19, 2, True, "+0.19"),
        (-0.19, 2, True, "\N{MINUS SIGN}0.19"),
        (math.inf, 1, False, "∞"),
        (-math.inf, 1, False, "\N{MINUS SIGN}∞"),
        (math.nan, 1, False, "undefined"),
    ],
)
def test_numbers(value: float, digits: int, sign: bool, text: str) -> None:
    assert view.number(value, digits, sign) == text


def test_the_best_of_a_column() -> None:
    columns = (Column("up", "", "higher"), Column("down", "", "lower"), Column("neither", "", None))
    values = {"Ground Truth": 9.0, "a": 2.0, "b": 3.0, "c": math.nan, "d": 3.0}
    rows = [
        Row(name, None, None, None, {column.name: Estimate(value) for column in columns})
        for name, value in values.items()
    ]
    lines = view.lines(Results({}, columns, (), tuple(rows), ()), ())
    best = {
        column.name: [line.model for line in lines if line.cells[i].best] for i, column in enumerate(columns)
    }
    assert best == {"up": ["b", "d"], "down": ["a"], "neither": []}
    assert not any(
        cell.best for cell in view.lines(Results({}, columns, (), tuple(rows[:2]), ()), ())[1].cells
    )  # nothing to beat


def test_bit_rate_is_measured_or_follows_from_the_codebooks() -> None:
    assert view.bit_rate(Row("a", 100.0, (1024, 512), 50.0, {})) == 50 * (10 + 9) / 1000
    assert view.bit_rate(Row("a", 100.0, (1024,), 50.0, {"kbit/s": Estimate(6.2)})) == 6.2
    assert view.bit_rate(Row("a", None, None, None, {})) is None


def test_equal_loudness() -> None:
    quiet, loud, silent = media.equally_loud(
        [tone(440, peak=0.01), tone(440, peak=0.9), torch.zeros(RATE)], RATE
    )
    for wav in (quiet, loud):
        assert loudness(wav[None], RATE) == pytest.approx(media.LOUDNESS, abs=0.01)
    assert not silent.any()
    click = torch.zeros(RATE)
    click[::400] = 0.5
    clicks, other = media.equally_loud([click, tone(440)], RATE)  # at -20 LUFS the clicks would clip
    assert clicks.max().item() == pytest.approx(10 ** (-1 / 20), rel=1e-4)
    assert loudness(other[None], RATE) == pytest.approx(loudness(clicks[None], RATE), abs=0.01)


def test_examples_are_cut_and_nothing_is_lost() -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    wav = tone(2000, seconds=7.0)
    found = media.media(Example("a.flac", None, wav, {"Original": wav / 2}, RATE))
    assert (found["seconds"], found["whole"], found["khz"]) == (6.0, 7.0, 8.0)
    original, half = found["versions"]
    assert (original["name"], half["name"]) == ("Original", "Original")  # whatever a codec is called
    kind, encoded = original["audio"].split(",")
    assert kind == "data:audio/flac;base64"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded)))
    assert rate == RATE
    expected = media.equally_loud([wav[: 6 * RATE]], RATE)[0].numpy()
    assert abs(samples - expected).max() <= 2**-15
    assert half["audio"] == original["audio"]  # equally loud, they are one signal
    picture = image.open(io.BytesIO(base64.b64decode(original["picture"].split(",")[1])))
    assert picture.size == (640, 128)
    column = [picture.getpixel((320, y)) for y in range(128)]
    assert column.index(max(column)) == pytest.approx(128 * (1 - 2 / 8), abs=1)
