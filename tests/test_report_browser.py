"""The benchmark's page in Chromium, without a network: what a reader does by mouse and by keyboard."""

import json
import math
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from vocable.benchmarks import published
from vocable.benchmarks.report.page import Example, write
from vocable.benchmarks.results import Results
from vocable.codecs.audio import read
from vocable.codecs.cli import clip
from vocable.codecs.loudness import loudness

pytest.importorskip("matplotlib")
webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = [name for name, found in (("chromium", BROWSER), ("chromium-driver", DRIVER)) if not found]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --force-prefers-reduced-motion --window-size=1280,900"
)
SECONDS = 4.0


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of synthetic results, and of two recordings through three "codecs" that only add noise."""
    text = (Path(__file__).parent / "assets" / "report.json").read_text(encoding="utf-8")
    wav, rate = read(clip())
    wav = wav[0, : int(SECONDS * rate)]
    noise = torch.randn(len(wav), generator=torch.Generator().manual_seed(0))
    models = {f"noise {level}": wav + level * noise for level in (0.001, 0.01, 0.1)}
    heard = [Example(f"{i}.flac", said, wav, models, rate) for i, said in enumerate(("Spoken words.", None))]
    path = tmp_path_factory.mktemp("report") / "index.html"
    write(path, Results.from_dict(json.loads(text)), published.read(), heard, "# Protocol\n\nText.")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """The page, new; whatever a test does, the console stays empty and nothing is asked of a network."""
    browser.get_log("performance")  # of another page
    browser.get(address)
    yield browser
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    own = ("data:", "chrome:")  # the browser's first tab may still be loading its own pictures
    assert [url for url in asked if not url.startswith((*own, address))] == []
    assert any(url.startswith(address) for url in asked)  # or the log would tell nothing


def one(page: Any, selector: str) -> Any:
    return page.find_element("css selector", selector)


def models(page: Any) -> list[str]:
    """The models of the rows that are seen, from above."""
    script = """
        const bodies = [...document.querySelectorAll('#results tbody')].filter(body => body.offsetHeight);
        return bodies.map(body => [body.offsetTop, body.dataset.model])"""
    return [name for _, name in sorted(page.execute_script(script))]


def column(page: Any, name: str) -> list[str]:
    """The values of a column as they are seen, from above, without Ground Truth."""
    script = """
        const place = document.querySelector(`th[data-name="${arguments[0]}"]`).cellIndex;
        const rows = [...document.querySelectorAll('#results tbody:not(.pinned) tr:first-child')];
        return rows.map(row => row.cells[place].querySelector('.value').firstChild.textContent)"""
    return [text.replace("\N{MINUS SIGN}", "-") for text in page.execute_script(script, name)]


def heading(page: Any, name: str) -> Any:
    return one(page, f'th[data-name="{name}"] button')


def position(page: Any) -> float:
    return float(one(page, "#position").get_property("value"))


def wait(page: Any, what: Any, seconds: float = 20.0) -> Any:
    return WebDriverWait(page, seconds, poll_frequency=0.02).until(what)


def focused(page: Any) -> Any:
    return page.switch_to.active_element


def press(page: Any, *keys: str) -> None:
    webdriver.ActionChains(page).send_keys(*keys).perform()


def tab_to(page: Any, selector: str) -> None:
    """By the Tab key alone."""
    for _ in range(80):
        press(page, Keys.TAB)
        if page.execute_script("return document.activeElement.matches(arguments[0])", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_sorting(page: Any) -> None:
    before = models(page)
    assert before[0] == "Ground Truth"
    heading(page, "PESQ-WB").click()
    values = [float(text) for text in column(page, "PESQ-WB")]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    assert one(page, 'th[data-name="PESQ-WB"]').get_attribute("aria-sort") == "descending"
    assert "sorted by PESQ-WB, descending" in one(page, "#table-status").text
    heading(page, "WER moonshine").click()  # where less is better
    values = [float(text) for text in column(page, "WER moonshine")]
    assert values == sorted(values)
    assert one(page, 'th[data-name="PESQ-WB"]').get_attribute("aria-sort") is None
    heading(page, "WER moonshine").click()
    assert [float(text) for text in column(page, "WER moonshine")] == values[::-1]
    assert models(page)[0] == "Ground Truth"
    page.execute_script("document.querySelector('.scroll.table').scrollTop = 200")
    head, truth = one(page, "#results thead th").rect, one(page, ".pinned th").rect
    assert truth["y"] == pytest.approx(head["y"] + head["height"], abs=1)  # it stays in sight
    heading(page, "WER moonshine").click()
    assert models(page) == before
    heading(page, "Model").click()
    names = [name for name in models(page) if name != "Ground Truth"]
    assert names[:3] == ["bigcodec", "codec2, 3.2 kbit/s", "dac-16khz, 2/12"]  # 2 before 12
    heading(page, "Codebook Layer").click()
    layers = column(page, "Codebook Layer")
    assert layers == [str(n) for n in (1, 1, 2, 2, 2, 8, 8, 12, 12, 12)] + ["\N{EN DASH}"] * 2


def test_what_is_published_stays_below_its_row(page: Any) -> None:
    heading(page, "STOI").click()
    rows = page.find_elements("css selector", '[data-model="xcodec2"] tr')
    assert rows[1].find_element("tag name", "th").text == "published: X-codec2"
    assert rows[1].location["y"] == pytest.approx(rows[0].location["y"] + rows[0].size["height"], abs=1)
    one(page, "#papers").click()
    assert not rows[1].is_displayed()


def test_filtering(page: Any) -> None:
    everything = models(page)
    one(page, "#filter").send_keys("dac 12/12")
    assert models(page) == ["Ground Truth", "dac-16khz, 12/12", "random:dac-16khz, 12/12"]
    assert one(page, "#table-status").text.startswith("2 of 12 rows")
    one(page, "#filter").send_keys(Keys.CONTROL, "a", Keys.DELETE)
    assert models(page) == everything
    one(page, '[data-toggle="signal"]').click()
    assert not one(page, 'th[data-name="STOI"]').is_displayed()
    assert one(page, 'th[data-name="SPK-SIM"]').is_displayed()
    cells = page.find_elements("css selector", '#results td[data-group="signal"]')
    assert cells
    assert not any(cell.is_displayed() for cell in cells[:12])
    one(page, "#intervals").click()
    assert not one(page, ".interval").is_displayed()


def test_plots_follow_the_choice(page: Any) -> None:
    assert len(page.find_elements("css selector", "#by-tokens circle")) == 10  # two rows have no tokens
    assert len(page.find_elements("css selector", "#by-bits circle")) == 12
    said = one(page, "#by-bits svg").get_attribute("aria-label")
    assert said.startswith(
        "STOI against kbit/s. Not beaten in both: semanticodec-50-32768, 2/2 with STOI 0.7"
    )
    webdriver.support.ui.Select(one(page, "#quality")).select_by_visible_text("PESQ-NB")
    assert one(page, "#by-tokens svg").get_attribute("aria-label").startswith("PESQ-NB against tokens/s.")
    # the front rises with the rate: y grows downwards
    places = [
        (float(point.get_attribute("cx")), -float(point.get_attribute("cy")))
        for point in page.find_elements("css selector", "#by-bits circle.strong")
    ]
    assert len(places) > 2
    assert places == sorted(places)
    assert [up for _, up in places] == sorted(up for _, up in places)


def test_files_of_two_models(page: Any) -> None:
    assert len(page.find_elements("css selector", "#scatter circle")) == 8
    select = webdriver.support.ui.Select
    select(one(page, "#x-model")).select_by_visible_text("dac-16khz, 2/12")
    select(one(page, "#y-model")).select_by_visible_text("dac-16khz, 12/12")
    said = one(page, "#files-status").text
    assert said.startswith("8 files; dac-16khz, 12/12 is better than dac-16khz, 2/12 in 8,")
    select(one(page, "#y-column")).select_by_visible_text("PESQ-WB")
    assert "STOI and PESQ-WB go together" in one(page, "#files-status").text
    select(one(page, "#x-model")).select_by_visible_text("Ground Truth")  # has PESQ-WB only
    assert len(page.find_elements("css selector", "#x-column option")) == 1
    assert len(page.find_elements("css selector", "#scatter circle")) == 8


def test_listening_goes_on_where_it_was(page: Any) -> None:
    play = one(page, "#play")
    assert (
        one(page, "#transcript").text
        == "\N{LEFT DOUBLE QUOTATION MARK}Spoken words.\N{RIGHT DOUBLE QUOTATION MARK}"
    )
    one(page, "#repeat").click()
    play.click()
    wait(page, lambda _: position(page) > 0.5)
    assert play.text == "Pause"
    start, before = time.monotonic(), position(page)
    one(page, '#voices input[value="3"]').click()
    after = position(page)
    moved = (after - before) % SECONDS  # it repeats
    assert moved < time.monotonic() - start + 0.1  # neither back nor ahead
    wait(page, lambda _: position(page) != after)  # and it goes on
    captions = [each.text for each in page.find_elements("css selector", "#spectrograms figcaption")]
    assert captions == ["Original", "noise 0.1"]
    assert one(page, "#spectrograms .heard figcaption").text == "noise 0.1"
    widths = page.execute_script(
        "return [...document.querySelectorAll('#spectrograms img')].map(i => i.naturalWidth)"
    )
    assert min(widths) > 100
    one(page, '#voices input[value="0"]').click()
    assert one(page, "#spectrograms .heard figcaption").text == "Original"
    assert len(page.find_elements("css selector", "#spectrograms figure")) == 2  # still beside the codec
    play.click()
    still = position(page)
    assert play.text == "Play"
    page.execute_script("return new Promise(done => setTimeout(done, 150))")
    assert position(page) == still
    webdriver.support.ui.Select(one(page, "#recording")).select_by_value("1")
    assert position(page) == 0
    assert one(page, "#transcript").text == "Without transcript"


def test_what_is_heard(page: Any) -> None:
    """Chromium decodes every version to the whole recording, all at one loudness."""
    script = """
        const versions = JSON.parse(document.getElementById('media').textContent)[0].versions;
        const context = new OfflineAudioContext(1, 1, 16000);
        return Promise.all(versions.map(async ({ audio }) => {
            const bytes = Uint8Array.from(atob(audio.split(',')[1]), each => each.charCodeAt(0));
            const buffer = await context.decodeAudioData(bytes.buffer);
            return [buffer.duration, Array.from(buffer.getChannelData(0))];
        }))"""
    heard = page.execute_script(script)
    assert [seconds for seconds, _ in heard] == pytest.approx([SECONDS] * 4, abs=1e-3)
    levels = [loudness(torch.tensor([samples]), 16_000) for _, samples in heard]
    assert levels == pytest.approx([levels[0]] * 4, abs=0.05)
    assert -30 < levels[0] <= -19.9


def test_it_stops_at_the_end(page: Any) -> None:
    page.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))",
        one(page, "#position"),
        SECONDS - 1.0,
    )
    assert position(page) == pytest.approx(SECONDS - 1.0, abs=0.02)
    one(page, "#play").click()
    assert one(page, "#play").text == "Pause"
    wait(page, lambda _: one(page, "#play").text == "Play")
    assert position(page) == 0


def test_a_blind_test_to_its_end(page: Any) -> None:
    one(page, '#mode input[value="blind"]').click()
    assert not one(page, "#compare").is_displayed()  # its pictures would tell
    verdict = one(page, "#verdict")
    assert verdict.text == "Trial 1 of 10. Hear X to guess."
    guess = one(page, '[data-guess="a"]')
    assert not guess.is_enabled()
    one(page, '[data-hear="a"]').click()
    wait(page, lambda _: position(page) > 0.05)
    for trial in range(10):
        assert verdict.text.startswith(f"Trial {trial + 1} of 10.")
        one(page, '[data-hear="x"]').click()
        wait(page, lambda _: guess.is_enabled())
        guess.click()
    found = re.match(r"(\d+) of 10 right; guessing does as well with p = (\S+)\. ", verdict.text)
    assert found
    ways = sum(math.comb(10, k) for k in range(int(found[1]), 11))
    assert float(found[2]) == pytest.approx(ways / 2**10, abs=0.0005)
    assert not guess.is_enabled()
    one(page, "#again").click()
    assert verdict.text == "Trial 1 of 10. Hear X to guess."
    webdriver.support.ui.Select(one(page, "#blind-b")).select_by_visible_text("Original")
    assert verdict.text == "A and B are the same; choose two versions."
    assert not one(page, '[data-hear="x"]').is_enabled()


def test_by_keyboard_alone(page: Any) -> None:
    tab_to(page, "#filter")
    press(page, "opus")
    assert models(page) == ["Ground Truth", "opus, 6 kbit/s"]
    press(page, Keys.CONTROL, "a")
    webdriver.ActionChains(page).key_up(Keys.CONTROL).send_keys(Keys.DELETE).perform()
    tab_to(page, 'th[data-name="STOI"] button')
    press(page, Keys.ENTER)
    values = [float(text) for text in column(page, "STOI")]
    assert values == sorted(values, reverse=True)
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    tab_to(page, "#voices input")
    assert focused(page).get_attribute("value") == "1"
    press(page, Keys.SPACE)
    wait(page, lambda _: position(page) > 0.05)
    press(page, Keys.ARROW_RIGHT)
    assert focused(page).get_attribute("value") == "2"
    assert one(page, "#spectrograms .heard figcaption").text == "noise 0.01"
    assert one(page, "#play").text == "Pause"
    press(page, Keys.SPACE)
    assert one(page, "#play").text == "Play"
    page.refresh()
    tab_to(page, "#mode input")
    press(page, Keys.ARROW_RIGHT)
    tab_to(page, '[data-hear="x"]')
    for _ in range(2):
        press(page, Keys.ENTER)
        wait(page, lambda _: one(page, '[data-guess="b"]').is_enabled())
        tab_to(page, '[data-guess="b"]')
        press(page, Keys.SPACE)  # and the focus is on "Hear X" again
    assert one(page, "#verdict").text == "Trial 3 of 10. Hear X to guess."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(page: Any, scheme: str) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        wait(page, lambda _: one(page, "#by-bits svg").size["width"] <= 360)
        for mode in ("compare", "blind"):
            page.execute_script(f"document.querySelector('#mode input[value={mode}]').click()")
            assert page.execute_script("return document.documentElement.scrollWidth") == 360
        box = one(page, ".scroll.table")
        assert page.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth", box)
        page.execute_script("arguments[0].scrollLeft = 300", box)
        assert (
            one(page, '[data-model="xcodec2"] th').rect["x"]
            == one(page, '[data-model="mimi, 8/8"] th').rect["x"]
        )
        left = page.execute_script(
            "return document.querySelector('[data-model=xcodec2] th').getBoundingClientRect().left"
        )
        assert left == pytest.approx(box.rect["x"], abs=1)  # the first column stays
        ink, paper = page.execute_script(
            "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        )
        assert (luminance(ink) > luminance(paper)) == (scheme == "dark")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def luminance(colour: str) -> int:
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])
