"""The page that asks readers, by keyboard only, as a reader has it: a file in a browser."""

from __future__ import annotations

import csv

import pytest
from browser import Browser, require_chromium

from monai_cxr.report.questions import Question, question_page

LEFT, RIGHT, ENTER = "\ue012", "\ue014", "\ue007"
ITEMS = [
    Question(f"r{i}", "Effusion", "Does the report state an effusion?", text=f"Report {i}.")
    for i in range(3)
]


@pytest.fixture
def page():
    require_chromium()
    browser = Browser("")
    yield browser
    browser.close()


def test_a_reader_needs_no_mouse(page, tmp_path):
    path = tmp_path / "questions.html"
    path.write_text(question_page("Reports", "Say what they state.", ITEMS), encoding="utf-8")
    saved = {"behavior": "allow", "downloadPath": str(tmp_path)}
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", saved)
    page.resize(390, 844)  # a phone
    page.open(path.as_uri())
    page.keys("anna", ENTER)  # the name's field has the focus from the start
    page.until(lambda: page.text("#count") == "Question 1 of 3, 0 answered", "the first question")
    bottom = page.run("return found.getBoundingClientRect().bottom;", ".answers")
    assert bottom < 844  # all answers are on the screen with the report
    page.keys("p", "A")  # capital letters lock
    page.until(lambda: page.text("#count") == "Question 3 of 3, 2 answered", "the third question")
    page.keys(LEFT, LEFT, RIGHT)
    page.until(lambda: page.text("#count") == "Question 2 of 3, 2 answered", "the second question")
    page.keys("x", "u")
    page.until(lambda: page.text("#count").startswith("All questions are answered"), "the end")
    page.keys("s")
    file = tmp_path / "answers-anna.csv"
    page.until(lambda: file.exists() and file.read_text("utf-8").count("\n") == 4, "the file")
    with file.open(encoding="utf-8", newline="") as lines:
        said = [(row["sop_uid"], row["reader"], row["answer"]) for row in csv.DictReader(lines)]
    assert said == [
        ("r0", "anna", "present"),
        ("r1", "anna", "unreadable"),
        ("r2", "anna", "uncertain"),
    ]
