"""Desk in the browser: the film that the header names or black, and a record made on purpose."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, Viewer, is_black, open_new, require_chromium
from desk_films import ACROSS, film_of, person, seven_studies

from monai_cxr.dicom.display import levels
from monai_cxr.reading.files import read_display
from monai_cxr.review.local_store import LocalStore

ENTER, ESCAPE, DOWN = "\ue007", "\ue00c", "\ue015"
RULER = 0xFFD75E
SLOW = {"offline": False, "latency": 40, "downloadThroughput": 2_500, "uploadThroughput": 9_000}
FAST = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


@pytest.fixture(scope="module")
def sources(phantom_index) -> list[Path]:
    return [Path(path) for path in phantom_index.table.drop_duplicates("patient_id")["path"]]


@pytest.fixture(scope="module")
def films(sources, tmp_path_factory) -> Path:
    """Seven studies of as many people, one of them with a prior of an inverse film."""
    folder = tmp_path_factory.mktemp("desk_films")
    seven_studies(sources, folder)
    return folder


@pytest.fixture(scope="module")
def viewer(films, packaged_bundle, tmp_path_factory):
    require_chromium()
    folder = tmp_path_factory.mktemp("desk")
    with Viewer([str(packaged_bundle), "--files", str(films)], folder) as running:
        yield running


@pytest.fixture(scope="module")
def tab(viewer):
    with Browser(viewer.url) as page:
        yield page


@pytest.fixture
def browser(tab):
    tab.driver.execute_cdp_cmd("Network.emulateNetworkConditions", FAST)
    if tab.driver.current_url.startswith("http"):
        tab.driver.execute_script("sessionStorage.clear()")
    tab.resize(1500, 1000)
    tab.open()
    tab.until_analysed(7)
    return tab


def store_of(viewer) -> LocalStore:
    return LocalStore(viewer.log.with_name("reviews.sqlite"))


def finished(viewer) -> int:
    return sum(review.finished for review in store_of(viewer).reviews())


def painted_of(browser, film) -> bool:
    """Whether the pane shows a film at one pixel a pixel, in the window it opens with."""
    browser.keys("0", "o")
    canvas = browser.canvas()
    gray = np.array(canvas["gray"], dtype=int).reshape(canvas["height"], canvas["width"])
    rows, columns = film.shape
    top, left = canvas["height"] // 2 - round(rows / 2), canvas["width"] // 2 - round(columns / 2)
    expected = np.rint(levels(film, film.presets[0]) * 255)
    return any(
        np.abs(gray[top + y : top + y + rows, left + x : left + x + columns] - expected).max() <= 1
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
    )


def hold(browser, key: str, code: int, times: int) -> None:
    """A key that is held down: one press, then the repeats that the system makes."""
    for number in range(times):
        browser.driver.execute_cdp_cmd(
            "Input.dispatchKeyEvent",
            {"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code,
             "autoRepeat": number > 0, "text": "\r" if key == "Enter" else ""},
        )  # fmt: skip
    browser.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", "key": key})


def test_old_film_under_new_name(browser, viewer):
    """While the next film is on its way the canvas is black, and nothing is stored."""
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", SLOW)
    before = len(store_of(viewer).reviews())
    browser.keys(ENTER)
    browser.until(lambda: browser.case(), "a study")
    first = browser.case()
    if not browser.attribute(".pane", "data-painted"):  # else the list had fetched it ahead
        was_black = is_black(browser)
        assert was_black or browser.attribute(".pane", "data-painted")
    browser.until_painted()
    browser.keys("n")
    browser.until(lambda: browser.case() not in (None, first), "the next study")
    seen = []
    for _ in range(20):
        shown = browser.attribute(".pane", "data-painted")
        seen.append(bool(shown) or is_black(browser))
        if shown:
            break
        time.sleep(0.1)
    assert all(seen)
    assert len(store_of(viewer).reviews()) == before
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", FAST)


def test_wrong_film_by_number(browser, films, sources):
    """A frontal film that comes after its lateral one is drawn as itself, and so is the other."""
    study = {"StudyInstanceUID": f"{ACROSS}.9", **person("LATE", "M", "19700101", "20240401")}
    lateral = film_of(sources[8], **study, SOPInstanceUID=f"{ACROSS}.9.1", ViewPosition="LL")
    frontal = film_of(sources[9], **study, SOPInstanceUID=f"{ACROSS}.9.2", ViewPosition="PA")
    (films / "z_lateral.dcm").write_bytes(lateral)
    browser.until_analysed(8)
    browser.keys("/", "lateral", ENTER, ENTER)
    browser.until_painted()
    case = browser.case()
    assert painted_of(browser, read_display(lateral))
    (films / "a_frontal.dcm").write_bytes(frontal)
    browser.keys("w")
    browser.until_rows(8)
    browser.until(lambda: "PA +1" in browser.text(f"#row-{case}"), "the second film")
    browser.until_analysed(8)
    for opened in range(2):
        browser.open(f"/?case={case}")
        browser.until_painted()
        assert "PA · film 1 of 2" in browser.text(".where"), opened
        assert painted_of(browser, read_display(frontal))
        browser.keys("v")
        browser.until(lambda: "LATERAL · film 2" in browser.text(".where"), "the second film")
        browser.until_painted()
        assert painted_of(browser, read_display(lateral))
    (films / "z_lateral.dcm").unlink()
    (films / "a_frontal.dcm").unlink()


def test_enter_closes_unseen_studies(browser, viewer):
    """A held key closes one study; a key before the film was looked at closes none."""
    before = finished(viewer)
    browser.keys(ENTER)
    browser.until_painted()
    browser.keys(ENTER)
    assert "less than a second" in browser.text(".status")
    time.sleep(1.1)
    first = browser.case()
    browser.keys("?", "i", "a", ENTER)
    assert browser.run("return found.hidden;", ".sheet") is False
    assert browser.attribute(".pane", "data-window")
    assert ", inverted" not in browser.text(".corner")
    assert browser.case() == first
    browser.keys("?")
    hold(browser, "Enter", 13, 12)
    browser.until(lambda: browser.case() not in (None, first), "the next study")
    browser.until(lambda: finished(viewer) == before + 1, "one finished study")
    time.sleep(1.5)
    assert finished(viewer) == before + 1
    lines = [line.action for line in store_of(viewer).accesses(40)]
    assert lines.count("finished") == finished(viewer)
    browser.open(f"/?case={first}")
    browser.until_painted()
    browser.until(lambda: "Finished" in browser.text(".closed"), "that it is finished")
    browser.keys("z")
    browser.until(lambda: finished(viewer) == before, "the study opened again")
    assert browser.text(".closed") == ""


def test_enter_presses_the_last_button(browser, viewer):
    before, first = finished(viewer), open_new(browser)
    click(browser, ".tools button:first-child")
    browser.until(lambda: ", inverted" in browser.text(".corner"), "the inverted film")
    browser.keys("2", ENTER)
    browser.until(lambda: browser.case() not in (None, first), "the next study")
    browser.until(lambda: finished(viewer) == before + 1, "the finished study")


def test_preset_undoes_invert_and_keyboard_window_runs_backwards(browser):
    open_new(browser)
    browser.keys("i", "3")
    assert ", inverted" in browser.text(".corner")
    for keys in ((), ("i",)):
        browser.keys(*keys)
        before = brightness(browser)
        shifted(browser, "\ue013")
        assert brightness(browser) > before, keys
    browser.keys("0")
    assert ", inverted" not in browser.text(".corner")


def test_mirrored_without_a_sign(browser):
    open_new(browser)
    assert browser.text(".warning") == ""
    browser.keys("r", "x")
    assert browser.text(".warning") == "MIRRORED"
    assert browser.attribute(".tools button[aria-label^=Mirror], .tools button:nth-child(5)",
                             "aria-pressed") == "true"  # fmt: skip
    browser.keys("x")
    assert browser.text(".warning") == ""


def test_note_keeps_the_keys(browser, viewer):
    case = open_new(browser)
    browser.keys("t")
    browser.keys("effusion left")
    click(browser, ".pane canvas.over")
    browser.keys("i")
    assert ", inverted" in browser.text(".corner")
    kept = lambda: [r.note for r in store_of(viewer).reviews() if r.note]  # noqa: E731
    browser.until(lambda: "effusion left" in kept(), "the note")
    assert case == browser.case()


def test_rulers_and_the_queue_are_kept(browser, viewer):
    """rulers-are-not-kept, refresh-loses-the-queue: neither a step nor F5 loses anything."""
    first = open_new(browser)
    browser.keys("3", "+", "m")
    draw(browser, 80, 40)
    browser.until(lambda: marks(viewer) == 1, "the measurement in the store")
    window, corner = browser.attribute(".pane", "data-window"), browser.text(".corner")
    browser.driver.refresh()
    browser.until_painted()
    assert browser.case() == first
    assert (browser.attribute(".pane", "data-window"), browser.text(".corner")) == (window, corner)
    browser.until(lambda: browser.attribute(".walk button:nth-child(3)", "disabled") is None,
                  "the way to the next study")  # fmt: skip
    browser.keys("n")
    browser.until(lambda: browser.case() not in (None, first), "the next study")
    browser.keys("p")
    browser.until(lambda: browser.case() == first, "the first study again")
    browser.until(lambda: browser.n_of_color(".pane canvas.over", RULER) > 50, "the measurement")
    browser.keys("\ue017")
    browser.until(lambda: marks(viewer) == 0, "the measurement taken away")


def test_linked_window_and_inverse_prior(browser):
    """The prior goes the way of the film, has windows of its own name, and moves with it."""
    browser.keys("/", "2024-03-01", ENTER, ENTER)
    browser.until_painted()
    browser.keys("s")
    beside = ".stage > .pane:nth-child(2)"
    browser.until(lambda: browser.attribute(beside, "data-painted"), "the prior")
    assert "Prior 2023-01-01 08:00 · F" in browser.text(f"{beside} .title")
    for preset in ("2", "3", "4", "5", "1"):
        browser.keys(preset)
        mine, theirs = browser.text(".corner"), browser.text(f"{beside} .corner")
        name = mine.split(" · ")[0]
        assert theirs.split(" · ")[0] in (name, "As beside")
    browser.keys("2")
    before = brightness(browser), brightness(browser, beside)
    shifted(browser, "\ue013")
    assert brightness(browser) > before[0]
    assert brightness(browser, beside) > before[1]
    browser.keys("+")
    assert browser.text(".corner").split()[-2] != browser.text(f"{beside} .corner").split()[-3]
    assert browser.run("return found.scrollWidth;", beside) > 100
    errors = [e for e in browser.driver.get_log("browser") if "TypeError" in e["message"]]
    assert errors == []


def test_small_screens_and_opening_jumps(browser):
    browser.keys(ENTER)
    browser.until(lambda: browser.case(), "a study")
    top = browser.rect(".pane")["top"]
    browser.until_painted()
    assert browser.rect(".pane")["top"] == top
    for width, height in ((1280, 800), (1024, 768), (768, 1024)):
        browser.resize(width, height)
        browser.until(lambda w=width: browser.rect(".desk")["width"] < w, "that screen")
        done, pane = browser.rect("button.primary"), browser.rect(".pane")
        assert done["bottom"] <= height, (width, height)
        assert pane["height"] >= 0.48 * height, (width, height)
        browser.keys("e")
        alone = browser.rect(".pane")
        assert alone["width"] * alone["height"] > pane["width"] * pane["height"]
        browser.keys("e")


APART = """
const canvas = found.querySelector('canvas.film');
return canvas.width - arguments[1] * found.getBoundingClientRect().width;
"""


def test_screen_scale_change(browser):
    open_new(browser)
    browser.keys("o")
    cdp = browser.driver.execute_cdp_cmd

    def follows(scale):
        cdp("Page.captureScreenshot", {})  # a frame: nobody looks at a headless page
        return abs(browser.run(APART, ".pane", scale)) <= 1

    size = {"width": 1500, "height": 1000, "deviceScaleFactor": 2, "mobile": False}
    cdp("Emulation.setDeviceMetricsOverride", size)
    browser.until(lambda: follows(2), "the canvas of a fine screen")
    cdp("Emulation.clearDeviceMetricsOverride", {})
    browser.until(lambda: follows(1), "the canvas of the first screen")


def test_lock_page_contrast(browser):
    browser.open("/account")
    browser.until(lambda: "Lock now" in browser.text("body"), "the button")
    browser.driver.find_element("xpath", "//button[contains(., 'Lock now')]").click()
    browser.until(lambda: "You locked this session" in browser.text("body"), "the lock")
    selector = "[data-testid=stBaseButton-primary]"
    dark, light = browser.run(
        "const s = getComputedStyle(found.querySelector('p') || found);"
        "return [s.color, getComputedStyle(found).backgroundColor];", selector
    )  # fmt: skip
    assert contrast(dark, light) >= 4.5
    browser.driver.find_element("css selector", selector).click()
    browser.until(lambda: "Lock now" in browser.text("body"), "the account")


# ---- hands and eyes


def click(browser, selector: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    found = browser.run("return found;", selector)
    ActionChains(browser.driver).move_to_element(found).click().perform()


def draw(browser, dx: int, dy: int) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    pane = browser.run("return found;", ".pane")
    chain = ActionChains(browser.driver).move_to_element(pane).click_and_hold()
    chain.move_by_offset(dx, dy).release().perform()


def shifted(browser, key: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    chain = ActionChains(browser.driver).key_down("\ue008").send_keys(key, key)
    chain.key_up("\ue008").perform()


def brightness(browser, selector: str = ".pane") -> float:
    return browser.run(
        "const c = found.querySelector('canvas.film'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; let sum = 0;"
        "for (let i = 0; i < d.length; i += 4) sum += d[i]; return sum / d.length;",
        selector,
    )


def marks(viewer) -> int:
    return sum(len(review.marks) for review in store_of(viewer).reviews())


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two CSS colours (WCAG 2.2)."""

    def luminance(css: str) -> float:
        values = [float(v) for v in css.partition("(")[2].rstrip(")").split(",")[:3]]
        linear = [v / 12.92 if (v := c / 255) <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
                  for c in values]  # fmt: skip
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
