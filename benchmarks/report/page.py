"""The page: one HTML file that holds its style, its scripts, its numbers and its audio, and loads nothing."""

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from vocable.benchmarks import published as papers
from vocable.benchmarks.published import PublishedRow
from vocable.benchmarks.report import view
from vocable.benchmarks.report.media import SECONDS, Example, media
from vocable.benchmarks.results import Results
from vocable.codecs.files import replacing

__all__ = ["Example", "write"]

STYLES = ("base.css", "table.css", "listen.css")
SCRIPTS = ("common.js", "table.js", "axes.js", "plots.js", "player.js", "listen.js", "abx.js")


def write(
    path: Path,
    results: Results,
    published: Sequence[PublishedRow],
    examples: Sequence[Example],
    protocol: str,
) -> None:
    """Write the report to the HTML file `path`, whole or not at all.

    published: the rows to set measured ones beside. examples: recordings to listen to, of each the first
    6 s; the page grows by about 0.2 MB for every one of them and every model. protocol: Markdown, the HTML
    and images in which are not rendered. ValueError for examples whose wavs differ in length or hold NaN.
    """
    text = render(results, published, examples, protocol)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def render(
    results: Results, published: Sequence[PublishedRow], examples: Sequence[Example], protocol: str
) -> str:
    """The report as HTML; arguments and errors as of `write`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("vocable.benchmarks.report")
    # numbers that JSON lacks are taken out by `_data`: one that is left is our mistake
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    style, script = (_together(names) for names in (STYLES, SCRIPTS))
    lines = view.lines(results, published)
    return environment.get_template("page.html").render(
        results=results,
        headings=view.headings(results),
        lines=lines,
        ran=[judge.name for judge in results.judges if not judge.not_run],
        idle=[judge.name for judge in results.judges if judge.not_run],
        groups=_groups(results),
        failed=_failed(results),
        compared=any(line.published for line in lines),
        source=papers.SOURCE,
        data=_data(results),
        media=[media(example) for example in examples],
        longest=SECONDS,
        protocol=markdown(protocol),
        style=style,
        script=script,
        style_hash=_digest(style),
        script_hash=_digest(script),
    )


def markdown(text: str) -> str:
    """CommonMark with tables, as HTML in which nothing of the text is markup of its own or loads anything.

    A title that it begins with is left out, as the page has one; its highest heading becomes the third level.
    """
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(text)
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        del tokens[:3]  # the heading's beginning, text and end
    headings = [token for token in tokens if token.type in ("heading_open", "heading_close")]
    highest = min((int(token.tag[1]) for token in headings), default=1)
    for token in headings:
        token.tag = f"h{min(6, int(token.tag[1]) - highest + 3)}"
    return parser.renderer.render(tokens, parser.options, {})


def _data(results: Results) -> dict[str, Any]:
    """What the plots are drawn from: the rows' estimates, and every file's scores by model and column."""
    columns = [
        {**asdict(heading.column), "judged": heading.group != "other"} for heading in view.headings(results)
    ]
    rows = [
        {
            "model": row.model,
            "tokens": row.token_rate,
            "kbits": _finite(view.bit_rate(row)),
            "cells": {
                name: [_finite(cell.value), _finite(cell.low), _finite(cell.high)]
                for name, cell in row.cells.items()
            },
        }
        for row in results.rows
    ]
    places = {path: i for i, path in enumerate(dict.fromkeys(score.path for score in results.scores))}
    scores: dict[str, dict[str, list[float | None]]] = {}
    for score in results.scores:
        of_model = scores.setdefault(score.model, {})
        of_model.setdefault(score.column, [None] * len(places))[places[score.path]] = _finite(score.value)
    return {"columns": columns, "rows": rows, "files": [Path(path).name for path in places], "scores": scores}


def _finite(value: float | None) -> float | None:
    """Five digits, which no plot can show more of; None for what has no place in one."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _groups(results: Results) -> dict[str, str]:
    used = {heading.group for heading in view.headings(results)}
    return {key: title for key, title in view.GROUPS.items() if key in used | {view.TOKENS}}


def _failed(results: Results) -> dict[str, int]:
    """How many files failed, by model."""
    counts: dict[str, set[str]] = {}
    for failure in results.failures:
        counts.setdefault(failure.model, set()).add(failure.path)
    return {model: len(paths) for model, paths in counts.items()}


def _together(names: Sequence[str]) -> str:
    folder = resources.files("vocable.benchmarks.report") / "templates"
    return "\n".join((folder / name).read_text(encoding="utf-8").strip() for name in names)


def _digest(text: str) -> str:
    """What a content security policy knows the text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
