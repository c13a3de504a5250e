"""Ledger: the settings of a screening service in the browser: live, reviewed, out of luck."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import looking_at_ledger, require_chromium

from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.display import levels
from monai_cxr.errors import InputError
from monai_cxr.reading.files import read_display
from monai_cxr.review.ledger_store import LedgerStore
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import jobs, open_ledger
from monai_cxr.screening.ledger.records import Outcome

ENTER = "\ue007"
REAL_FILMS = ("dwv_gdcm-CR-MONO1-10-chest.dcm", "udacity_test1.dcm")
"""MONOCHROME1 of 10 bits, and MONOCHROME2 of 8."""


class Hospital:
    """A ledger that films arrive in and are read from, as the service does it."""

    def __init__(self, folder, bundle) -> None:
        self.spool = Spool(folder / "spool", reserve_bytes=0)
        self.address = f"sqlite:///{folder / 'ledger.sqlite'}"
        self.ledger = open_ledger(self.address)
        self.model = BundleModel.load(bundle, device="cpu")

    def arrive(self, data: bytes) -> None:
        """A film comes, and is read or refused."""
        intake.receive(self.ledger, self.spool, data, source="test")
        for film in jobs.lease(self.ledger, "test", 8):
            jobs.finish(self.ledger, "test", [self._read(film)])

    def _read(self, film) -> Outcome:
        try:
            read = self.model.read(film.path)
        except InputError as error:
            return Outcome(film.id, None, reason=error.reason, message=str(error))
        prediction = self.model.predict([read])[0]
        return Outcome(film.id, prediction, facts=read.facts)


@pytest.fixture
def hospital(packaged_bundle, tmp_path):
    made = Hospital(tmp_path, packaged_bundle)
    yield made
    made.ledger.close()


@pytest.fixture
def browser(hospital, packaged_bundle, tmp_path):
    """A browser on the viewer of the service's own settings."""
    require_chromium()
    with looking_at_ledger(hospital.address, packaged_bundle, tmp_path) as page:
        yield page


def test_studies_arrive_are_read_and_their_reviews_kept(hospital, browser, phantom_index):
    table = phantom_index.table.drop_duplicates("patient_id")
    first, second, third = (Path(path).read_bytes() for path in table["path"].head(3))
    hospital.arrive(first)
    browser.open()
    browser.until_rows(1)
    hospital.arrive(second)
    browser.until_rows(2)  # nobody reloaded
    browser.keys(ENTER)
    browser.until_painted()
    browser.until(lambda: browser.attribute(".pane", "data-heat") == "ready", "the heatmap")
    browser.keys("d", ENTER)
    store = LedgerStore(hospital.ledger)
    browser.until(lambda: any(r.finished for r in store.reviews()), "the review in the ledger")
    (review,) = (r for r in store.reviews() if r.finished)
    assert review.model_digest == hospital.model.identity.digest
    assert [item.opinion for item in review.findings.values()] == ["disagree"]
    opened = [line.action for line in store.accesses(50)]
    assert {"opened", "finished"} <= set(opened)
    _loses_a_file(hospital, browser, third)


def _loses_a_file(hospital, browser, film: bytes) -> None:
    browser.keys("w")
    browser.until_rows(2)
    known = _listed(browser)
    hospital.arrive(film)
    browser.until_rows(3)
    for path in hospital.spool.files():
        path.unlink()
    (lost,) = _listed(browser) - known
    browser.open(f"/?case={lost}")
    browser.until(lambda: "does not exist" in browser.text(".message"), "the sentence")


def _listed(browser) -> set[str]:
    script = "return [...found.querySelectorAll('[data-id]')].map((row) => row.dataset.id);"
    return set(browser.run(script, ".worklist"))


def test_real_films_are_drawn_as_they_were_stored(hospital, browser, data_directory):
    """Films of several makers at one film pixel a screen pixel, by the file's own window."""
    drawn = 0
    for name in REAL_FILMS:
        hospital.arrive((data_directory / "dicom" / name).read_bytes())
    browser.open()
    browser.until_rows(len(REAL_FILMS))
    browser.keys(ENTER)
    before = None
    for _ in REAL_FILMS:
        browser.until(lambda old=before: browser.case() not in (None, old), "a study")
        browser.until_painted()
        drawn += _as_stored(hospital, browser)
        before = browser.case()
        browser.keys("n")
    assert drawn == len(REAL_FILMS)


def _as_stored(hospital, browser) -> bool:
    browser.keys("o")
    canvas = browser.canvas()
    gray = np.array(canvas["gray"], dtype=int).reshape(canvas["height"], canvas["width"])
    found = []
    for path in hospital.spool.files():
        film = read_display(path.read_bytes())
        expected = np.rint(levels(film, film.presets[0]) * 255)
        found.append(_differ_little(gray, expected))
    return any(found)


def _differ_little(gray, expected) -> bool:
    """Whether sampled points of the middle of the canvas are those of the middle of the film."""
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = gray.shape[0] // 2 + dy, gray.shape[1] // 2 + dx
            v, u = round(expected.shape[0] / 2), round(expected.shape[1] / 2)
            half = min(y, x, v, u, gray.shape[0] - y, gray.shape[1] - x) - 2
            seen = gray[y - half : y + half : 7, x - half : x + half : 7]
            stored = expected[v - half : v + half : 7, u - half : u + half : 7]
            if seen.shape == stored.shape and np.abs(seen - stored).max() <= 1:
                return True
    return False
