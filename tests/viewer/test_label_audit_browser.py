"""Label audit in the browser: keys alone, one answer a press, and nothing lost by a refresh."""

from __future__ import annotations

import json

import pytest
from browser import Browser, Viewer, require_chromium
from label_audits import FINDINGS, N_FILMS, write_audit

from monai_cxr.labels.audit_folder import read_audit
from monai_cxr.review.local_store import LocalStore

N = N_FILMS * len(FINDINGS)
LEFT = "\ue012"
ANSWERED = "const sent = window.fetch; window.sent = []; window.fetch = (url, options) => {"
ANSWERED += " if (options && options.body && String(url).includes('label-answer'))"
ANSWERED += " window.sent.push(JSON.parse(options.body)); return sent(url, options); };"


@pytest.fixture(scope="module")
def folder(phantom_index, tmp_path_factory):
    return write_audit(tmp_path_factory.mktemp("audited"), phantom_index.table)


@pytest.fixture(scope="module")
def viewer(folder, tmp_path_factory):
    require_chromium()
    own = tmp_path_factory.mktemp("label_viewer")
    with Viewer(["--label-audit", str(folder)], own) as running:
        yield running


@pytest.fixture
def browser(viewer):
    with Browser(viewer.url) as page:
        yield page


def item(browser) -> str | None:
    return browser.attribute(".questions", "data-item")


def until_ready(browser, other: str | None = "") -> str:
    """Wait until a question other than this one can be answered."""
    browser.until(
        lambda: item(browser) != other and browser.attribute(".asking", "data-ready") == "true",
        "a question",
    )
    return item(browser)


def kept(viewer, folder) -> list[str]:
    answers = LocalStore(viewer.log.with_name("reviews.sqlite")).answers(read_audit(folder).name)
    return [one.answer for one in answers]


def test_keys_alone(viewer, folder, browser):
    browser.open()
    first = until_ready(browser)
    assert browser.text(".words").startswith("Is there ")
    browser.driver.execute_script(ANSWERED)
    browser.keys("pp")  # the second press means this film, and has come too late for it
    second = until_ready(browser, first)
    browser.keys("a")
    third = until_ready(browser, second)
    browser.keys(LEFT)
    assert until_ready(browser, third) == second
    browser.keys("u")
    until_ready(browser, second)
    assert kept(viewer, folder) == ["present", "absent", "", "uncertain"]
    sent = browser.driver.execute_script("return window.sent")
    assert [one.get("answer") for one in sent] == ["present", "absent", None, "uncertain"]

    browser.open()  # as a refresh does
    assert until_ready(browser) == third
    assert browser.attribute(".questions", "data-done") == "2"
    for number in range(2, N):
        now = item(browser)
        browser.keys("pax"[number % 3])
        if number < N - 1:
            until_ready(browser, now)
    browser.until(lambda: browser.attribute(".standing", "data-shown") == "true", "the end")
    assert "Every question is answered" in browser.text(".card h1")
    assert f"{N} of {N}" in browser.text(".people")
    assert len([one for one in kept(viewer, folder) if one]) == N + 1
    secrets = ("given", "probability", "suspicion", "queue")
    page = json.dumps(browser.driver.page_source).casefold()
    assert not any(word in page for word in secrets)
    assert not [e for e in browser.driver.get_log("browser") if "Error" in e["message"]]


def test_a_film_that_is_gone_says_so_and_can_be_passed(folder, tmp_path):
    """Nobody has answered for this store yet, and no film of the audit is where it was."""
    queue = (folder / "queue.csv").read_text().replace("/films/", "/nowhere/")
    (tmp_path / "queue.csv").write_text(queue)
    arguments = ["--label-audit", str(tmp_path)]
    with Viewer(arguments, tmp_path) as running, Browser(running.url) as page:
        page.open()
        until_ready(page)
        assert "does not exist" in page.text(".message") or "missing" in page.text(".message")
        page.keys("p")
        assert page.attribute(".questions", "data-done") == "0"
        before = item(page)
        page.keys("x")
        page.until(lambda: item(page) != before, "the next question")
