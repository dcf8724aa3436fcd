"""The benchmark's page, as text: its numbers, its structure, and that nothing of it is taken for markup."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from vocable.benchmarks import published
from vocable.benchmarks.judges.base import Column
from vocable.benchmarks.report.page import Example, markdown, render, write
from vocable.benchmarks.results import Estimate, JudgeNote, Results, Row

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


@pytest.mark.parametrize(
    ("wav", "said"), [(torch.ones(9), r"\(9,\)"), (torch.full((8000,), math.nan), "not finite")]
)
def test_wavs_that_do_not_fit_are_refused(
    tmp_path: Path, results: Results, wav: torch.Tensor, said: str
) -> None:
    path = tmp_path / "index.html"
    path.write_text("the old page")
    with pytest.raises(ValueError, match=rf"a.flac, x: wav is .*{said}.*; accepted: finite \(8000,\)"):
        write(path, results, [], [Example("a.flac", None, torch.zeros(8000), {"x": wav}, RATE)], "")
    assert path.read_text() == "the old page"
    write(path, results, [], [], "")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]
