"""Desk on the screen: words one can read, what the file draws itself, lens, touch, first page."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from browser import Browser, Viewer, require_chromium
from desk_films import film_of, person

ENTER = "\ue007"
STUDY = "1.2.826.0.1.3680043.8.498.31"
OVERLAY = 0x60003000


@pytest.fixture(scope="module")
def films(phantom_index, tmp_path_factory) -> Path:
    """A white film with an overlay and a shutter, as a CR system sends its side markers."""
    folder = tmp_path_factory.mktemp("screen_films")
    source = Path(phantom_index.table["path"].iloc[0])
    dataset = pydicom.dcmread(source)
    bits = np.zeros((dataset.Rows, dataset.Columns), dtype=bool)
    bits[60:70, 50:70] = True
    packed = np.packbits(bits, bitorder="little").tobytes()
    for element, kind, value in (
        (0x60000010, "US", dataset.Rows), (0x60000011, "US", dataset.Columns),
        (0x60000040, "CS", "G"), (0x60000050, "SS", [1, 1]), (0x60000100, "US", 1),
        (0x60000102, "US", 0), (OVERLAY, "OW", packed),
    ):  # fmt: skip
        dataset.add_new(element, kind, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    whole = folder / "source.dcm"
    whole.write_bytes(stream.getvalue())
    data = film_of(
        whole, **person("SCREEN", "F", "19600101", "20240301"), StudyInstanceUID=STUDY,
        SOPInstanceUID=f"{STUDY}.1", ShutterShape="RECTANGULAR", ShutterLeftVerticalEdge=9,
        ShutterRightVerticalEdge=dataset.Columns, ShutterUpperHorizontalEdge=1,
        ShutterLowerHorizontalEdge=dataset.Rows,
    )  # fmt: skip
    whole.write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def page(films, tmp_path_factory):
    require_chromium()
    folder = tmp_path_factory.mktemp("screens")
    with Viewer(["--files", str(films)], folder) as running, Browser(running.url) as opened:
        yield opened


@pytest.fixture
def browser(page):
    if page.driver.current_url.startswith("http"):
        page.driver.execute_script("sessionStorage.clear()")
    page.open()
    page.until_rows(1)
    page.keys(ENTER)
    page.until_painted()
    return page


PLATES = """
const dark = (css) => css.match(/[\\d.]+/g).map(Number);
return [...found.querySelectorAll('.corner, .title, .warning, .message span')].map((one) => {
  const style = getComputedStyle(one);
  return [one.className || 'message', dark(style.color), dark(style.backgroundColor)];
});
"""


def test_corner_words_unreadable(browser):
    """Each word over a film stands on a plate of its own, so that a white film hides none."""
    browser.keys("x")
    plates = browser.run(PLATES, ".pane")
    assert {name for name, *_ in plates} >= {"corner", "warning", "title", "message"}
    for name, letters, plate in plates:
        share = plate[3] if len(plate) > 3 else 1.0
        over_white = [share * value + (1 - share) * 255 for value in plate[:3]]
        assert contrast(letters[:3], over_white) >= 4.5, name
    browser.keys("x")


def test_overlay_and_shutter_not_shown(browser):
    """What the file draws over its film, or covers, is drawn and named, and g takes it off."""
    assert "overlay, shutter" in browser.text(".corner")
    assert count(browser, [0xFF, 0xD7, 0x5E]) > 100
    covered = count(browser, [0, 0, 0])
    assert covered > 1000
    browser.keys("g")
    assert "overlay hidden (g), shutter open (g)" in browser.text(".corner")
    assert count(browser, [0xFF, 0xD7, 0x5E]) == 0
    assert count(browser, [0, 0, 0]) < covered / 10
    browser.keys("g", "x")
    assert count(browser, [0xFF, 0xD7, 0x5E]) > 100, "turned with the film"
    browser.keys("x")


def test_the_lens_shows_the_film_under_the_pointer_three_times_as_large(browser):
    from selenium.webdriver.common.action_chains import ActionChains

    browser.keys("o", "q")
    pane = browser.run("return found;", ".pane")
    ActionChains(browser.driver).move_to_element(pane).move_by_offset(7, -11).perform()
    under, within = browser.run(LENS, ".pane")
    assert min(under) - 2 <= within <= max(under) + 2
    assert max(under) - min(under) < 120, "one place of the film"
    assert browser.run("return found.hidden;", "canvas.lens") is False
    browser.keys("\ue00c")
    assert browser.run("return found.hidden;", "canvas.lens") is True


LENS = """
const film = found.querySelector('canvas.film'), lens = found.querySelector('canvas.lens');
const [x, y] = [film.width / 2 + 7, film.height / 2 - 11].map(Math.floor);
const grays = (canvas, a, b, n) => [...canvas.getContext('2d').getImageData(a, b, n, n).data]
  .filter((_, i) => i % 4 === 0);
return [grays(film, x - 1, y - 1, 3), grays(lens, lens.width / 2, lens.height / 2, 1)[0]];
"""


def test_one_key_and_one_button_each_for_reset_and_the_film_alone(browser):
    as_opened = browser.attribute(".pane", "data-window"), browser.text(".corner")
    browser.keys("2", "i", "r", "x", "+")
    press(browser, "Reset")
    assert (browser.attribute(".pane", "data-window"), browser.text(".corner")) == as_opened
    assert browser.text(".warning") == ""
    wide = browser.run("return found.clientWidth;", ".pane")
    press(browser, "Film alone, without the panel")
    assert browser.run("return found.clientWidth;", ".pane") > wide
    browser.keys("e")
    assert browser.run("return found.clientWidth;", ".pane") == wide


def test_pinch_destroys_the_window_and_one_finger_changes_it(browser):
    """Two fingers zoom and move the film, one sets the window, and none does both."""
    box = browser.rect(".pane")
    x, y = box["left"] + box["width"] / 2, box["top"] + box["height"] / 2
    cdp = browser.driver.execute_cdp_cmd
    cdp("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})

    def touch(kind, *points):
        spots = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        cdp("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    window, zoom = browser.attribute(".pane", "data-window"), scale(browser)
    touch("touchStart", (x - 20, y), (x + 20, y))
    for apart in (40, 80):
        touch("touchMove", (x - apart, y), (x + apart, y))
    touch("touchEnd")
    assert browser.attribute(".pane", "data-window") == window
    assert scale(browser) > 2 * zoom
    touch("touchStart", (x, y))
    touch("touchMove", (x + 30, y + 20))
    touch("touchEnd")
    cdp("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert browser.attribute(".pane", "data-window") != window
    assert scale(browser) > 2 * zoom


def test_upload_desk(films, tmp_path):
    """Without films the viewer begins at the upload; its desk has a film and no dead button."""
    require_chromium()
    with Viewer([], tmp_path) as running, Browser(running.url, (1280, 860)) as page:
        page.open()
        page.until(lambda: "Read one film now" in page.text("body"), "the upload page")
        page.until(lambda: page.driver.find_elements("css selector", "input[type=file]"), "a field")
        field = page.driver.find_element("css selector", "input[type=file]")
        field.send_keys(str(films / "source.dcm"))
        page.until_painted()
        pane = page.rect(".pane")
        assert pane["bottom"] <= 860
        assert pane["height"] > 400
        assert page.run(SHOWN, ".walk") == ["Film alone, without the panel", "Keys"]


SHOWN = """
return [...found.querySelectorAll('button')].filter((one) => one.getClientRects().length)
  .map((one) => one.getAttribute('aria-label') || one.firstChild.textContent);
"""


def press(browser, words: str) -> None:
    script = "[...found.querySelectorAll('button')].find((one) => one.title.startsWith("
    browser.run(script + "arguments[1])).click();", ".bar", words)


def scale(browser) -> float:
    return float(browser.text(".corner").split(" %")[0].split()[-1])


def count(browser, color: list[int]) -> int:
    """Opaque pixels of a colour in the middle of what lies over the film."""
    return browser.run(
        "const d = found.getContext('2d').getImageData(0, 0, found.width, found.height).data;"
        "const [r, g, b] = arguments[1]; let n = 0;"
        "for (let i = 0; i < d.length; i += 4)"
        " n += d[i] === r && d[i + 1] === g && d[i + 2] === b && d[i + 3] === 255;"
        "return n;",
        ".pane canvas.over", color,
    )  # fmt: skip


def contrast(one: list[float], other: list[float]) -> float:
    """Contrast ratio of two colours (WCAG 2.2)."""

    def luminance(color: list[float]) -> float:
        linear = [v / 12.92 if (v := c / 255) <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
                  for c in color]  # fmt: skip
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
