"""Monitoring page in the browser: four questions, charts with their limits, an alarm closed."""

from __future__ import annotations

import time

import numpy as np
import pytest
from browser import Browser, looking_at_ledger, require_chromium
from ledger_data import many_results

from monai_cxr.screening.ledger import open_ledger
from monai_cxr.screening.ledger.watching import alarms, chart_sums

DAY = 86_400.0
QUESTIONS = [
    "Is it still the same films?",
    "Is it still as good?",
    "Who disagrees?",
    "What was done?",
]
SCREENS = {"wide": (1280, 860), "phone": (390, 844)}


def seen_days(ledger, today: float) -> None:
    """Sixty days as usual, a few quiet ones, and a week of brighter films."""
    generator = np.random.default_rng(0)
    levels = [0.5] * 68 + [0.62] * 7
    with ledger.write() as connection:
        for back, level in zip(range(len(levels), 0, -1), levels, strict=True):
            for gray in generator.normal(level, 0.1, 20):
                values = {"picture mean": gray, "picture entropy": generator.normal(6.0, 0.3)}
                chart_sums.add(connection, values, now=today - back * DAY)


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "ledger.sqlite") as opened:
        seen_days(opened, time.time())
        many_results(opened, 1000)
        yield opened


@pytest.fixture
def page(ledger, packaged_bundle, tmp_path):
    require_chromium()
    with looking_at_ledger(f"sqlite:///{ledger.path}", packaged_bundle, tmp_path) as page:
        yield page


def headings(page: Browser) -> list[str]:
    return page.run("return [...found.querySelectorAll('h2')].map((h) => h.innerText);", ".stApp")


def charts(page: Browser) -> list[list[float]]:
    """Width and height of every chart that was drawn."""
    script = (
        "return [...found.querySelectorAll('[data-testid=stVegaLiteChart] canvas, "
        "[data-testid=stVegaLiteChart] svg')].map((c) => c.getBoundingClientRect())"
        ".filter((b) => b.width > 50).map((b) => [b.left, b.right, b.height]);"
    )
    return page.run(script, ".stApp")


def test_four_questions_with_charts_on_both_screens(page, ledger, tmp_path):
    page.open("/monitoring")
    page.until(lambda: headings(page) == QUESTIONS, "the four questions")
    page.until(lambda: len(charts(page)) >= 2, "the charts")
    cells = "return found ? found.querySelectorAll('.mark-rect path').length : 0;"
    page.until(lambda: page.run(cells, ".st-key-chart_near") >= 2 * 15, "a cell a chart and day")
    assert "Mean brightness" in page.text(".st-key-chart_near")
    limits = "return found ? found.querySelectorAll('.mark-rule line').length : 0;"
    assert page.run(limits, ".st-key-chart_control") >= 2
    said = page.text(".stApp")
    assert "1 alarm is open" in said
    assert "Mean brightness is too high" in said
    assert "one false alarm a year over all charts" in said
    assert "Estimates, not measurements" in said
    for name, (width, height) in SCREENS.items():
        page.resize(width, height)
        page.until(lambda w=width: _fits(page, w), f"a page {width} pixels wide")
        page.resize(width, 5000)  # the whole page, for people to look at
        time.sleep(1.0)
        page.driver.save_screenshot(str(tmp_path / f"{name}.png"))
    page.resize(*SCREENS["wide"])
    _close_the_alarm(page, ledger)


def _fits(page: Browser, width: int) -> bool:
    """Nothing lies beyond the right edge, and every chart is on the screen and high enough."""
    wide = page.run("return found.scrollWidth;", "[data-testid=stMain]")
    seen = charts(page)
    return wide <= width and len(seen) >= 2 and all(b[1] <= width and b[2] > 100 for b in seen)


def _close_the_alarm(page: Browser, ledger) -> None:
    """By name, with what was done; it is kept, and the page says so."""
    place = page.driver.find_element("css selector", "input[type=text]")
    place.send_keys("grid changed")
    place.send_keys("\ue007")  # Enter sends the form
    page.until(lambda: not alarms.kept(ledger)[0].is_open, "the alarm in the ledger")
    page.until(lambda: "1 of 1 alarms were dealt with" in page.text(".stApp"), "the answer")
    assert alarms.kept(ledger)[0].action == "grid changed"
