"""Browser: the viewer as a reader meets it, on a running server, by keyboard."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from browser import Browser, Viewer, require_chromium

from monai_cxr.dicom.display import Preset, levels
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.files import read_display
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


@pytest.fixture(scope="module")
def viewer(films, packaged_bundle, tmp_path_factory):
    require_chromium()
    folder = tmp_path_factory.mktemp("viewer")
    running = Viewer([str(packaged_bundle), "--files", str(films)], folder)
    yield running
    running.stop()


@pytest.fixture
def browser(viewer):
    page = Browser(viewer.url)
    yield page
    page.close()


def store_of(viewer) -> LocalStore:
    return LocalStore(viewer.log.with_name("reviews.sqlite"))


def opened_film(viewer, films):
    """The film on the screen: the last one that the audit says was opened."""
    study = next(line for line in store_of(viewer).accesses(50) if line.action == "opened")
    for path in sorted(films.glob("[0-9].dcm")):
        data = path.read_bytes()
        if open_dicom(data).facts.key.study_uid == study.study_uid:
            return read_display(data)
    raise AssertionError("The opened study is not in the folder.")


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
    film = opened_film(viewer, films)
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
    browser.until_rows(5)
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
    _choose(browser, films / "0.dcm")
    browser.until_painted()
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
