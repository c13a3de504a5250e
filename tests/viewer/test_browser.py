"""Browser: the viewer as a reader meets it, on a running server, by keyboard."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from browser import Browser, Viewer, require_chromium

from monai_cxr.bundle.digests import WEIGHTS_NAME, write_digests
from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.display import Preset, levels
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.evaluation.results import EvaluationIdentity
from monai_cxr.reading.files import read_display
from monai_cxr.report.files import write_report
from monai_cxr.review.local_store import LocalStore

ENTER, ESCAPE, DOWN = "\ue007", "\ue00c", "\ue015"


@pytest.fixture(scope="module")
def films(phantom_index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser_films")
    table = phantom_index.table.drop_duplicates("patient_id")
    for number, path in enumerate(table["path"].head(4)):
        shutil.copy(path, folder / f"{number}.dcm")
    (folder / "letter.dcm").write_bytes(b"This is no film. " * 50)
    return folder


POINTING = {"estimate": 0.7, "low": 0.6, "high": 0.8}
NO_BETTER_THAN_CHANCE = ("Effusion", "Edema", "Mass")


@pytest.fixture(scope="module")
def bundle(packaged_bundle, tmp_path_factory):
    """A bundle with a report beside it that says of which findings its maps point to the place."""
    folder = tmp_path_factory.mktemp("reported")
    shutil.copytree(packaged_bundle, folder / "bundle")
    make_it_point(folder / "bundle")
    model = BundleModel.load(folder / "bundle", device="cpu")
    identity = EvaluationIdentity(model={"name": "x", "digest": model.identity.digest})
    table = load_predictions(predictions(model.findings))
    write_report(evaluate(table, n_bootstrap=2, identity=identity), folder / "report")
    measured = [
        {"finding": name, "n": 40, "pointing": POINTING,
         "by_chance": 0.9 if name in NO_BETTER_THAN_CHANCE else 0.1}
        for name in model.findings
    ]  # fmt: skip
    content = {"format": "monai_cxr inspection", "localization": measured}
    (folder / "report" / "inspection.json").write_text(json.dumps(content))
    return folder / "bundle"


def make_it_point(bundle) -> None:
    """Give maps a hottest place: at 32 pixels they are one cell, and a short training is cold."""
    config = bundle / "configs" / "inference.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps(content | {"image_size": 128}), encoding="utf-8")
    weights = torch.load(bundle / WEIGHTS_NAME, weights_only=True)
    weights["class_layers.out.weight"].abs_()
    torch.save(weights, bundle / WEIGHTS_NAME)
    write_digests(bundle)


def predictions(findings) -> pd.DataFrame:
    made = np.random.default_rng(0)
    names = [f"P{i}" for i in range(40)]
    table = pd.DataFrame({"patient_id": names, "image_id": names})
    for name in findings:
        table[f"label_{name}"] = (np.arange(40) % 2).astype(float)
        table[f"probability_{name}"] = made.random(40)
    return table


@pytest.fixture(scope="module")
def viewer(films, bundle, tmp_path_factory):
    require_chromium()
    folder = tmp_path_factory.mktemp("viewer")
    with Viewer([str(bundle), "--files", str(films)], folder) as running:
        yield running


@pytest.fixture(scope="module")
def tab(viewer):
    with Browser(viewer.url) as page:
        yield page


@pytest.fixture
def browser(tab):
    """The tab as a new one: nothing kept, its own size, no other tab beside it."""
    tab.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    if tab.driver.current_url.startswith("http"):
        tab.driver.execute_script("sessionStorage.clear()")
    yield tab
    first, *others = tab.driver.window_handles
    for one in others:
        tab.driver.switch_to.window(one)
        tab.driver.close()
    tab.driver.switch_to.window(first)


def store_of(viewer) -> LocalStore:
    return LocalStore(viewer.log.with_name("reviews.sqlite"))


def opened_film(browser, films):
    """The film on the screen: the one whose first window its pane has."""
    window = browser.attribute(".pane", "data-window").split("/")
    read = [read_display(path.read_bytes()) for path in sorted(films.glob("[0-9].dcm"))]
    first = [(film.presets[0].center, film.presets[0].width) for film in read]
    (which,) = [i for i, one in enumerate(first) if one == pytest.approx([*map(float, window)])]
    return read[which]


def shown(canvas, film):
    """Gray values of the canvas where the film is at one pixel a pixel, and of which film cells."""
    gray = np.array(canvas["gray"], dtype=int).reshape(canvas["height"], canvas["width"])
    rows, columns = film.shape
    top = canvas["height"] // 2 - (rows + 1) // 2 + ((rows + 1) // 2 - round(rows / 2))
    left = canvas["width"] // 2 - (columns + 1) // 2 + ((columns + 1) // 2 - round(columns / 2))
    assert top >= 0
    assert left >= 0
    return gray[top : top + rows, left : left + columns]


def test_pixels_are_the_window_of_the_stored_values(viewer, browser, films):
    browser.open()
    browser.until_rows(5)
    browser.keys(ENTER)
    browser.until_painted()
    film = opened_film(browser, films)
    browser.keys("o")
    for number, preset in enumerate(film.presets, start=1):
        browser.keys(str(number))
        expected = np.rint(levels(film, preset) * 255)
        assert np.abs(shown(browser.canvas(), film) - expected).max() <= 1, preset.name
    browser.keys("1", "i")
    expected = 255 - np.rint(levels(film, film.presets[0]) * 255)
    if film.padding is None:
        assert np.abs(shown(browser.canvas(), film) - expected).max() <= 1
    browser.keys("i")
    _drag(browser, 60, 40)
    center, width = map(float, browser.attribute(".pane", "data-window").split("/"))
    assert (center, width) != (film.presets[0].center, film.presets[0].width)
    by_hand = Preset("", center, width, film.presets[0].function)
    drawn = np.rint(levels(film, by_hand) * 255)
    assert np.abs(shown(browser.canvas(), film) - drawn).max() <= 1


def _drag(browser, dx, dy):
    from selenium.webdriver.common.action_chains import ActionChains

    pane = browser.run("return found;", ".pane")
    chain = ActionChains(browser.driver).move_to_element(pane).click_and_hold()
    chain.move_by_offset(dx, dy).release().perform()


def test_a_reader_works_by_keyboard_alone(viewer, browser):
    browser.open()
    browser.until_analysed(5)
    browser.keys(DOWN, DOWN, ENTER)
    browser.until_painted()
    first = browser.case()
    browser.keys("2")
    browser.until(lambda: "Automatic" in browser.text(".corner"), "the second window")
    assert browser.attribute(".pane", "data-shown") == ""
    browser.until(lambda: browser.attribute(".pane", "data-heat") == "ready", "the heatmap")
    browser.keys("h")
    browser.until(lambda: browser.attribute(".pane", "data-shown"), "the heatmap drawn")
    browser.keys("d", "t")
    browser.keys("Not there.", ESCAPE)
    browser.until(
        lambda: (browser.attribute(".desk", "data-saved") or "").startswith(first), "the saved word"
    )
    browser.keys(ENTER)
    browser.until(lambda: browser.case() not in (None, first), "the next study")
    browser.until(
        lambda: any(
            review.finished and review.note == "Not there." for review in store_of(viewer).reviews()
        ),
        "the finished review",
    )
    (review,) = [r for r in store_of(viewer).reviews() if r.note == "Not there."]
    (said,) = review.findings.values()
    assert said.opinion == "disagree"
    assert said.label in ("present", "absent")
    browser.keys("w")
    browser.until(lambda: "read" in browser.text(".worklist .row.read"), "the study as read")
    browser.open("/monitoring")
    browser.until(lambda: "How often readers agree" in browser.text("body"), "the agreement")


def test_boxes_are_drawn_where_the_model_localizes(browser):
    browser.open()
    browser.until_analysed(5)
    browser.keys(DOWN, DOWN, ENTER)
    browser.until_painted()
    browser.until(lambda: browser.attribute(".pane", "data-heat") == "ready", "the heatmap")
    assert not browser.attribute(".pane", "data-boxes")
    assert browser.n_of_color(".pane canvas.over", 0x56B4E9) == 0
    browser.keys("b")
    findings = browser.run(
        "return [...found.children].map((row) => row.dataset.finding);", ".findings"
    )
    drawn = set()
    for finding in filter(None, findings):
        browser.until(lambda now=finding: chosen(browser) == now, finding)
        boxes = (browser.attribute(".pane", "data-boxes") or "").split()
        assert not set(boxes) & set(NO_BETTER_THAN_CHANCE)
        assert (browser.n_of_color(".pane canvas.over", 0x56B4E9) > 100) is bool(boxes)
        drawn |= set(boxes) & {finding}
        browser.keys(DOWN)
    assert drawn
    browser.keys("b")
    assert browser.attribute(".pane", "data-boxes") == ""
    assert browser.n_of_color(".pane canvas.over", 0x56B4E9) == 0


def chosen(browser) -> str | None:
    return browser.attribute(".finding[aria-selected=true]", "data-finding")


def test_the_report_of_a_study_opens_beside_it_and_prints(browser):
    browser.open()
    browser.until_analysed(5)
    browser.keys(DOWN, DOWN, ENTER)
    browser.until_painted()
    headline, study = browser.text(".panel h2"), browser.text(".where strong")
    browser.run("found.querySelector('a[target=_blank]').click();", ".panel .foot")
    browser.until(lambda: len(browser.driver.window_handles) == 2, "the report's own tab")
    browser.driver.switch_to.window(browser.driver.window_handles[-1])
    browser.until(lambda: "Print or save as PDF" in browser.text("body"), "the report")
    assert headline in browser.text("h1")
    assert study in browser.driver.title
    assert "Research use only" in browser.text("body")
    assert browser.run("return found.naturalWidth;", "img") > 100
    browser.driver.execute_script("window.print = () => { document.title = 'Printed'; };")
    browser.driver.find_element("css selector", "button").click()
    assert browser.driver.title == "Printed"


def test_small_and_upright_screens_are_used_well(browser):
    browser.resize(1280, 860)
    browser.open()
    browser.until_analysed(5)
    browser.until(lambda: "UNKNOWN" in browser.text(".worklist"), "the file that is no film")
    assert not browser.run(CUT_OFF, ".worklist", ".row span:not(.flagged)")
    browser.resize(2160, 3840)
    browser.until(lambda: root_type(browser) == 24, "the type of a 4K screen")
    browser.until(lambda: browser.rect(".row[role=option]")["height"] == 65, "rows of that type")
    browser.keys(DOWN, DOWN, ENTER)
    browser.until_painted()
    _upright(browser)
    assert "%" in browser.text(".explain")
    assert not browser.run(BROKEN, ".explain")
    for *screen, type_px in ((2560, 1440, 16), (1920, 1200, 14), (1280, 860, 14)):
        browser.resize(*screen)
        browser.until(lambda px=type_px: root_type(browser) == px, "the type of that screen")
        assert not browser.run(CUT_OFF, ".desk", UNCUT)


@pytest.mark.parametrize(("screen", "type_px"), [((1280, 860), 14), ((2160, 3840), 24)])
def test_charts_are_as_high_as_the_type_of_the_screen(browser, screen, type_px):
    browser.resize(*screen)
    browser.open("/monitoring")
    browser.until(lambda: root_type(browser) == type_px, "the type of the screen")
    chart = "[data-testid=stVegaLiteChart]:has(svg)"
    high = pytest.approx(14.3 * type_px, abs=1)
    browser.until(lambda: browser.rect(chart)["height"] == high, "a chart of that height")
    browser.resize(1280, 860)


def _upright(browser) -> None:
    """The film is large, the panel as high as its findings, and nothing moves."""
    pane, panel = browser.rect(".pane"), browser.rect(".panel")
    last = browser.rect(".finding:last-child")
    assert pane["width"] > 2100
    assert pane["height"] > 0.6 * 3840
    assert 0 < panel["top"] - pane["bottom"] < 24
    assert 0 < 3840 - panel["bottom"] < 72
    assert 0 < panel["bottom"] - last["bottom"] < 120
    browser.keys(DOWN, DOWN)
    assert browser.rect(".pane") == pane


BROKEN = r"""
return [...found.querySelectorAll('p.soft')].some((one) => /\d %|> \d/.test(one.textContent));
"""
UNCUT = ".name, .number, .tool, .buttons button, .where span"
CUT_OFF = """
return [...found.querySelectorAll(arguments[1])]
  .filter((one) => one.scrollWidth > one.clientWidth && one.clientWidth)
  .map((one) => one.textContent);
"""


def root_type(browser) -> float:
    """Pixels of the root's type, which all other type follows."""
    return browser.run("return parseFloat(getComputedStyle(found).fontSize);", "html")


def test_a_step_back_before_the_server_answers_is_not_lost(viewer, browser):
    browser.open()
    browser.until_rows(5)
    browser.keys(DOWN, DOWN, ENTER)
    browser.until_painted()
    first = browser.case()
    for _ in range(2):
        browser.keys("n")
        browser.until(lambda: browser.case() not in (None, first), "the next study")
        browser.keys("p")
        browser.until(lambda: browser.case() == first, "the first study again")


def test_a_hostile_upload_is_a_sentence_and_a_film_is_read(browser, films, tmp_path):
    hostile = tmp_path / "hostile.dcm"
    hostile.write_bytes((films / "0.dcm").read_bytes()[:2000])
    browser.open("/upload")
    _choose(browser, hostile)
    browser.until(lambda: "cannot be read as a film" in browser.text("body"), "the refusal")
    assert "Traceback" not in browser.text("body")
    browser.open("/upload")
    zone = "[data-testid=stFileUploaderDropzone]"
    height = "return found ? found.getBoundingClientRect().height / innerHeight : 0"
    browser.until(lambda: browser.run(height, zone) > 0.4, "a wide place to drop a film")
    _choose(browser, films / "0.dcm")
    browser.until_painted()
    assert browser.run(height, zone) < 0.2
    browser.until(lambda: "An upload is not kept" in browser.text(".panel"), "the panel")


def _choose(browser, path):
    def field():
        return browser.driver.find_elements("css selector", "input[type=file]")

    browser.until(field, "the upload")[0].send_keys(str(path))


def test_a_study_that_vanished_is_a_sentence(viewer, browser, films, tmp_path):
    browser.open()
    browser.until_rows(5)
    browser.keys(DOWN, DOWN, DOWN)
    chosen = browser.attribute(".worklist [aria-selected=true]", "data-id")
    aside = tmp_path / "aside"
    films.rename(aside)
    try:
        browser.open(f"/?case={chosen}")
        browser.until(lambda: "does not exist" in browser.text(".message"), "the sentence")
    finally:
        aside.rename(films)


def test_empty_and_odd_states_a_failed_film_says_why_once(browser):
    browser.open()
    browser.until_analysed(5)
    browser.keys("5", ENTER)
    why = browser.until(lambda: browser.text(".pane .message"), "why there is no film")
    assert browser.text(".panel h2") == "The film could not be read"
    assert browser.text(".refusal")
    assert why not in browser.text(".panel")
    finish = browser.run("return found.disabled;", ".panel .primary")
    assert finish


LETTER = """
const c = found, pane = c.parentElement, half = c.height / 2;
const words = pane.querySelector('.corner').getBoundingClientRect();
const d = c.getContext('2d').getImageData(c.width / 2 - 8, half, 16, half).data;
let last = 0;
for (let i = 0; i < d.length; i += 4) {
  if (d[i] === 0xe8 && d[i + 1] === 0xed && d[i + 2] === 0xf2) last = half + Math.floor(i / 64);
}
const top = words.top - pane.getBoundingClientRect().top;
return {letter: last, words: top, right: words.right, middle: c.width / 2};
"""


def test_letters_of_the_directions_stand_clear_of_the_words(browser):
    browser.resize(440, 900)
    browser.open()
    browser.until_rows(5)
    browser.keys(DOWN, DOWN, ENTER)
    browser.until_painted()
    seen = browser.until(lambda: clear_letter(browser), "the letter above the words")
    assert seen["right"] > seen["middle"] - 8  # they would lie over it


def clear_letter(browser):
    seen = browser.run(LETTER, ".pane canvas.over")
    return 0 < seen["letter"] < seen["words"] and seen
