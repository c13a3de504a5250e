"""Desk under way: a viewer that starts again under an open page, and scores after the word."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

import pytest
from browser import Browser, Viewer, is_black, open_new, require_chromium
from desk_films import seven_studies
from dicom_peers import free_port

from monai_cxr.review.local_store import LocalStore

ENTER, DOWN = "\ue007", "\ue015"
PROBABILITY = re.compile(r'probability\\*":\s*(\d[\d.eE+-]*)')


@pytest.fixture(scope="module")
def films(phantom_index, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("under_way_films")
    sources = phantom_index.table.drop_duplicates("patient_id")["path"]
    seven_studies([Path(path) for path in sources], folder)
    return folder


def test_restart_loses_the_review_and_dialog_over_the_film(films, packaged_bundle, tmp_path):
    """An open page saves again by itself after a restart, and says meanwhile what is true."""
    require_chromium()
    arguments, port = [str(packaged_bundle), "--files", str(films)], free_port()
    running = Viewer(arguments, tmp_path, port)
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: running.stop())
        page = stack.enter_context(Browser(running.url))
        page.open()
        page.until_analysed(7)
        open_new(page)
        running.stop()
        page.keys("a")
        page.until(lambda: "kept in this tab" in page.text(".status"), "a true sentence")
        time.sleep(4)
        dialogs = "return [...document.querySelectorAll('[data-baseweb=modal]')]"
        dialogs += ".filter((one) => one.getClientRects().length).length;"
        assert page.driver.execute_script(dialogs) == 0
        assert not is_black(page)
        running = Viewer(arguments, tmp_path, port)
        store = LocalStore(tmp_path / "reviews.sqlite")
        page.until(lambda: any(r.findings for r in store.reviews()), "the review")
        page.keys(DOWN, "d")
        page.until(lambda: any(len(r.findings) == 2 for r in store.reviews()), "the next word")


def test_read_first_then_reveal(films, packaged_bundle, tmp_path):
    """No score reaches the browser before the reader's word is stored; then all of it does."""
    require_chromium()
    settings = tmp_path / "viewer.toml"
    settings.write_text("[viewer.read_first]\nadmin = 1.0\n")
    arguments = ["--files", str(films), "--settings", str(settings)]
    with (
        Viewer([str(packaged_bundle), *arguments], tmp_path) as running,
        Browser(running.url, log=True) as page,
    ):
        page.open()
        page.until_analysed(7)
        assert "Nothing flagged" not in page.text(".worklist")
        open_new(page)
        assert "Your own reading first" in page.text(".panel")
        page.keys("h", "a")
        assert "%" not in page.text(".panel")
        assert page.attribute(".pane", "data-heat") == ""
        time.sleep(1)
        store = LocalStore(tmp_path / "reviews.sqlite")
        assert list(store.reviews()) == []
        first = page.case()
        before = page.received()  # by the network log
        page.driver.refresh()
        page.until_painted()
        time.sleep(1.1)
        before += page.received()
        page.keys(ENTER)
        page.until(lambda: page.attribute(".desk", "data-hidden") == "false", "the model's word")
        assert page.case() == first
        page.until(lambda: "%" in page.text(".panel"), "the scores")
        page.until(lambda: page.attribute(".pane", "data-heat") == "ready", "the heatmap")
        scores = set(PROBABILITY.findall(page.received()))
        assert scores
        assert not scores & set(PROBABILITY.findall(before))
        assert first in before  # the log did see the study
        (review,) = store.reviews()
        assert (review.score_seen, review.finished) == (False, False)
        assert {item.label for item in review.findings.values()} == {"present"}
        page.keys(DOWN, "d", ENTER)
        page.until(lambda: page.case() not in (None, first), "the next study")
        page.until(lambda: store.reviews()[0].finished, "the finished study")
        assert store.reviews()[0].score_seen is True
