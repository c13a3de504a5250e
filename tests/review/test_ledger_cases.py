"""Ledger cases: the studies of a real ledger, and only what changed is read again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_data import finish_all, received

from monai_cxr.errors import DeliveryError, UnreadableImage
from monai_cxr.review.cases import CaseStatus
from monai_cxr.review.ledger_cases import LedgerCases
from monai_cxr.screening.ledger import arrivals, jobs, open_ledger, quarantine
from monai_cxr.screening.ledger.records import Outcome


@pytest.fixture
def ledger(tmp_path):
    with open_ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def source(ledger):
    return LedgerCases(ledger, secret=b"test")


def refuse_all(ledger, reason: str, message: str) -> None:
    films = jobs.lease(ledger, "w", 8)
    outcomes = [Outcome(film.id, reason=reason, message=message) for film in films]
    jobs.finish(ledger, "w", outcomes)


def test_an_empty_ledger_has_no_cases(source):
    assert list(source.cases()) == []
    assert source.case("f" * 20) is None
    assert not source.retry("f" * 20, actor="anna")


def test_a_study_goes_from_waiting_to_analysed(ledger, source):
    arrivals.enqueue(ledger, received(1))
    before = source.version()
    (waiting,) = source.cases()
    assert waiting.status is CaseStatus.WAITING
    finish_all(ledger, positive=("Pneumothorax",))
    assert source.version() > before
    (case,) = source.cases()
    assert case.status is CaseStatus.ANALYSED
    assert case.flagged == ("Pneumothorax",)
    assert case.urgency == 1
    assert (case.patient_sex, case.patient_age_years) == ("F", 61.0)
    assert source.case(case.case_id) == case
    assert case.images[0].flags == ("secondary_capture",)
    assert "1.2.1" not in case.case_id


def test_films_of_a_study_are_one_case(ledger, source):
    arrivals.enqueue_many(ledger, [received(1, study=7), received(2, study=7)])
    finish_all(ledger)
    (case,) = source.cases()
    assert len(case.images) == 2


def test_many_studies_are_read_at_once(ledger, source):
    arrivals.enqueue_many(ledger, [received(i) for i in range(60)])
    finish_all(ledger)
    cases = source.cases()
    assert len(cases) == 60
    assert all(case.prediction is not None for case in cases)


@pytest.mark.parametrize(
    ("reason", "status"),
    [("lateral", CaseStatus.NOT_ANALYSED), ("damaged_pixels", CaseStatus.FAILED)],
)
def test_a_refused_film_says_why_and_can_be_tried_again(ledger, source, reason, status):
    arrivals.enqueue(ledger, received(1))
    refuse_all(ledger, reason, "Because of this.")
    (case,) = source.cases()
    assert case.status is status
    assert (case.refusal.reason, case.refusal.sentence) == (reason, "Because of this.")
    assert source.retry(case.case_id, actor="anna")
    (again,) = source.cases()
    assert again.status is CaseStatus.WAITING


def test_files_that_are_no_film_are_strays(ledger, source):
    quarantine.refuse(ledger, "/spool/x", "not_dicom", "Not DICOM.", source="c-store")
    (stray,) = source.strays()
    assert (stray.reason, stray.sentence, stray.door) == ("not_dicom", "Not DICOM.", "c-store")


def test_a_file_that_is_gone_is_a_sentence(ledger, source):
    arrivals.enqueue(ledger, received(1))
    (case,) = source.cases()
    with pytest.raises(UnreadableImage):
        source.data(case.images[0])
    other = replace(case.images[0], key=replace(case.images[0].key, sop_uid="9"))
    with pytest.raises(UnreadableImage):
        source.data(other)


def test_a_ledger_that_is_gone_asks_to_try_again(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = open_ledger(path)
    source = LedgerCases(ledger, secret=b"test")
    ledger.close()
    for one in tmp_path.iterdir():
        one.unlink()
    path.mkdir()
    with pytest.raises(DeliveryError, match="Nothing was lost"):
        source.cases()
