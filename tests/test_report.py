"""The benchmark's page, as text: its numbers, its structure, and that nothing of it is taken for markup."""

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
import torch

from vocable.benchmarks import published
from vocable.benchmarks.judges.base import Column
from vocable.benchmarks.report import media, view
from vocable.benchmarks.report.page import Example, markdown, render, write
from vocable.benchmarks.results import Estimate, JudgeNote, Results, Row
from vocable.codecs.loudness import loudness

EVIL = "<script>alert(1)</script>"
RATE = 16_000


class Page(HTMLParser):
    """Of a page: every tag with its attributes, the text in each element of interest, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []  # tag that it stands in, and what stands there
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1] if self._open else "", data))

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]

    def data(self, identity: str) -> object:
        """The JSON of a script element."""
        scripts = [attributes.get("id") for attributes in self.of("script")]
        return json.loads([text for tag, text in self.texts if tag == "script"][scripts.index(identity)])


@pytest.fixture(scope="module")
def results() -> Results:
    text = (Path(__file__).parent / "assets" / "report.json").read_text(encoding="utf-8")
    return Results.from_dict(json.loads(text))


@pytest.fixture(scope="module")
def page(results: Results) -> Page:
    return Page(render(results, published.read(), [], "# Title\n\n## Part\n\nText."))


def small(
    rows: Sequence[Row] = (), columns: Sequence[Column] = (), judges: Sequence[JudgeNote] = ()
) -> Results:
    return Results({}, tuple(columns), tuple(judges), tuple(rows), ())


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
    lines = view.lines(small(rows, columns), ())
    best = {
        column.name: [line.model for line in lines if line.cells[i].best] for i, column in enumerate(columns)
    }
    assert best == {"up": ["b", "d"], "down": ["a"], "neither": []}
    assert not any(cell.best for cell in view.lines(small(rows[:2], columns), ())[1].cells)  # nothing to beat


def test_bit_rate_is_measured_or_follows_from_the_codebooks() -> None:
    assert view.bit_rate(Row("a", 100.0, (1024, 512), 50.0, {})) == 50 * (10 + 9) / 1000
    assert view.bit_rate(Row("a", 100.0, (1024,), 50.0, {"kbit/s": Estimate(6.2)})) == 6.2
    assert view.bit_rate(Row("a", None, None, None, {})) is None


def test_every_row_and_column_is_there(results: Results, page: Page) -> None:
    assert [body["data-model"] for body in page.of("tbody") if "data-model" in body] == [
        row.model for row in results.rows
    ]
    headings = [cell["data-name"] for cell in page.of("th") if "data-name" in cell]
    field = ["Model", "Token Rate", "Codebook Size", "Codebook Layer", "Frame Rate"]
    assert headings == field + [column.name for column in results.columns]
    said = " ".join(text for _, text in page.texts)
    for judge in results.judges:
        assert (judge.not_run or judge.version) in said
    for text in results.header.values():
        assert text in said
    assert "no words in the original" in said  # of the failure


def test_the_page_loads_nothing(page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster", "background"):
            address = attributes.get(name)
            if address is not None:
                assert address.startswith(("#", "data:")) or tag == "a", (tag, address)
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "style" not in attributes  # the policy forbids it
    own = [text for tag, text in page.texts if tag in ("style", "script")]
    assert not re.search(
        r"@import|url\(|fetch\(|XMLHttpRequest|https?://(?!www\.w3\.org/2000/svg)", " ".join(own)
    )


def test_the_policy_allows_this_script_and_style_only(page: Page) -> None:
    policy = next(
        str(tag["content"]) for tag in page.of("meta") if tag.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    kinds = [attributes.get("type") for attributes in page.of("script")]
    script = [text for tag, text in page.texts if tag == "script"][kinds.index("module")]
    style = next(text for tag, text in page.texts if tag == "style")
    for kind, text in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_structure_for_those_who_do_not_see_it(page: Page) -> None:
    assert page.of("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    identities = [str(attributes["id"]) for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    for _, attributes in page.tags:
        for target in (attributes.get("aria-labelledby"), (attributes.get("href") or "").removeprefix("#")):
            assert not target or target in identities or ":" in target
    assert all(cell.get("scope") in ("col", "row") for cell in page.of("th")[:20])


def test_names_from_outside_are_text(results: Results) -> None:
    evil = replace(results.rows[1], model=EVIL)
    scores = tuple(replace(score, model=EVIL, path=f"{EVIL}/x.flac") for score in results.scores[:3])
    hostile = replace(
        results,
        rows=(results.rows[0], evil),
        scores=scores,
        header={EVIL: EVIL, "data": EVIL},
        judges=(JudgeNote(EVIL, "signal", (EVIL,), EVIL, EVIL),),
        columns=(Column('"><img src=x onerror=alert(1)>', EVIL, None),),
        failures=tuple(replace(failure, reason=EVIL) for failure in results.failures),
    )
    protocol = f"{EVIL}\n\n<img src=x onerror=alert(1)>\n\n![p](https://a.b/c.png) [l](javascript:alert(1))"
    text = render(hostile, [], [], protocol)
    page = Page(text)
    assert "alert(1)</script>" not in text
    assert len(page.of("script")) == 3
    assert not page.of("img")
    assert not [tag for tag in page.of("a") if "javascript" in str(tag.get("href"))]
    data = page.data("data")
    assert isinstance(data, dict)
    assert data["rows"][1]["model"] == EVIL  # whole, for all that
    assert data["scores"][EVIL]


def test_data_of_the_plots(results: Results, page: Page) -> None:
    data = page.data("data")
    assert isinstance(data, dict)
    assert data["rows"][0]["cells"]["SI-SDR"][0] is None  # infinite
    assert data["rows"][1]["kbits"] == 6.0
    assert len(data["files"]) == 8
    first = results.scores[8]
    place = data["files"].index(Path(first.path).name)
    assert data["scores"][first.model][first.column][place] == pytest.approx(first.value, rel=1e-4)
    judged = [column["name"] for column in data["columns"] if column["judged"]]
    assert "STOI" in judged
    assert "RTF" not in judged


@pytest.mark.parametrize(
    "found",
    [
        small(),
        small([Row("Ground Truth", None, None, None, {})]),
        small(
            [
                Row("Ground Truth", None, None, None, {}),
                Row("a", None, None, 50.0, {"x": Estimate(math.nan)}),
            ],
            [Column("x", "", "higher"), Column("y", "", "lower")],
        ),
    ],
    ids=["nothing", "one row", "missing cells"],
)
def test_little_is_enough(found: Results) -> None:
    page = Page(render(found, published.read(), [], ""))
    assert len([body for body in page.of("tbody") if "data-model" in body]) == len(found.rows)
    assert "listen" not in [attributes.get("id") for _, attributes in page.tags]


def test_the_protocol_s_headings_follow_the_page_s() -> None:
    text = markdown("# Title\n\n## A\n\n### B\n\n| x | y |\n|---|---|\n| 1 | 2 |\n")
    assert re.findall(r"<(h\d)>(.*?)</h\d>", text) == [("h3", "A"), ("h4", "B")]
    assert "<td>1</td>" in text


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


@pytest.mark.parametrize(
    ("wav", "said"), [(torch.ones(9), r"\(9,\)"), (torch.full((8000,), math.nan), "not finite")]
)
def test_wavs_that_do_not_fit_are_refused(
    tmp_path: Path, results: Results, wav: torch.Tensor, said: str
) -> None:
    path = tmp_path / "index.html"
    path.write_text("the old page")
    with pytest.raises(ValueError, match=rf"a.flac, x: wav is .*{said}.*; accepted: finite \(8000,\)"):
        write(path, results, [], [Example("a.flac", None, tone(440, 0.5), {"x": wav}, RATE)], "")
    assert path.read_text() == "the old page"
    write(path, results, [], [], "")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]
