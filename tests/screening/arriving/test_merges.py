"""Merges: what is here and what comes under an old patient ID goes to the new one."""

from __future__ import annotations

import io

import pydicom
import pytest
from hl7_feed import LEXICON, merge, oru, told
from ledger_data import finish_all
from pacs_films import film_bytes

from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.hl7_intake import Hl7Intake
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.delivering.builders import report_builder
from monai_cxr.screening.ledger import audit, jobs, outbox, patients, studies
from monai_cxr.screening.ledger.people import signed_reports

ROOT = "1.2.826.0.1.3680043.10.1479.77"


class TestMerges:
    @pytest.fixture
    def film(self, ledger, tmp_path):
        spool = Spool(tmp_path / "spool", reserve_bytes=0)
        return lambda number, **values: (
            intake.receive(ledger, spool, film_bytes(number, **values), source="t").outcome
        )

    def test_what_is_here_and_what_comes_goes_to_the_other(self, ledger, taking, film):
        film(1, PatientID="OLD")
        finish_all(ledger, deliveries=[("sr", "pacs")], positive=("Mass",))
        told(taking, oru("A1", patient="OLD"))
        assert told(taking, merge()) == ("AA", "")
        assert jobs.film(ledger, f"{ROOT}.1.1").key.patient_id == "NEW"
        assert studies.study(ledger, f"{ROOT}.2.1").patient_id == "NEW"
        (delivery,) = outbox.lease(ledger, "d", 1)
        made = report_builder({})(outbox.content(ledger, delivery))
        report = pydicom.dcmread(io.BytesIO(made.data))
        assert (report.PatientID, report.StudyInstanceUID) == ("NEW", f"{ROOT}.2.1")
        assert film(1, PatientID="OLD") == "duplicate"
        assert film(2, PatientID="OLD") == "new"
        assert jobs.film(ledger, f"{ROOT}.1.2").key.patient_id == "NEW"
        assert told(taking, oru("A2", patient="OLD")) == ("AA", "")
        assert [match.fit for match in signed_reports.matches(ledger)] == ["matched"] * 2
        actions = [entry for entry in audit.entries(ledger) if entry.action == "patients merged"]
        assert actions
        assert "OLD" not in str(actions)

    def test_chains_and_the_way_back(self, ledger, taking, film):
        told(taking, merge("A", "B"))
        told(taking, merge("B", "C"))
        film(1, PatientID="A")
        assert jobs.film(ledger, f"{ROOT}.1.1").key.patient_id == "C"
        assert told(taking, merge("C", "A")) == ("AA", "")
        assert jobs.film(ledger, f"{ROOT}.1.1").key.patient_id == "A"
        with ledger.read() as connection:
            assert [patients.current(connection, p) for p in "ABC"] == ["A"] * 3

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            (merge(), ("AA", "")),
            (merge(trigger="A34"), ("AA", "")),
            (merge("", "NEW"), ("AE", "101")),
            (merge("X", "X"), ("AE", "101")),
            (merge(by="ELSEWHERE"), ("AE", "101")),
            (merge(kept_by="ELSEWHERE"), ("AE", "101")),
            (merge().replace(b"MRG", b"ZZZ"), ("AE", "100")),
        ],
    )
    def test_of_our_own_authority_only(self, ledger, message, said):
        assert told(Hl7Intake(ledger, LEXICON, "HOSP"), message) == said

    def test_of_two_authorities_without_ours(self, taking):
        assert told(taking, merge()) == ("AA", "")
        assert told(taking, merge(kept_by="ELSEWHERE")) == ("AE", "204")
