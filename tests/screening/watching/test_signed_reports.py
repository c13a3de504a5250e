"""Signed reports: early, late, double, corrected, withdrawn, of nobody and of somebody else."""

from __future__ import annotations

import itertools
import json
from datetime import date

import pandas as pd
import pytest
from ledger_data import finish_all, received
from query_plans import walks_of
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.labels.lexicon import read_lexicon
from monai_cxr.review.watching import second_look
from monai_cxr.screening.ledger import arrivals, open_ledger
from monai_cxr.screening.ledger.people import report_texts, second_looks, signed_reports
from monai_cxr.screening.watching import agreement, service_charts
from monai_cxr.screening.watching.surveillance import surveillance

NO = "IMPRESSION: No pneumothorax. No pleural effusion."
YES = "IMPRESSION: Large right pneumothorax."


def oru(accession, text, *, patient="", status="F", at="20260301120000"):
    said = text.replace("\n", "~")
    return "\r".join(
        (
            "MSH|^~\\&|RIS|H|||20260301||ORU^R01|1|P|2.5.1",
            f"PID|1||{patient}^^^H||Mustermann^Max",
            f"OBR|1||{accession}|36554-4^XR|||{at}||||||||||||||{at}|||{status}",
            f"OBX|1|TX|18748-4^Report||{said}||||||{status}",
        )
    )


@pytest.fixture
def take(ledger, tmp_path):
    numbers = itertools.count()

    def take(message):
        path = tmp_path / f"{next(numbers)}.hl7"
        path.write_text(message)
        return agreement.import_reports(ledger, path, read_lexicon("en"))

    return take


def films(ledger, *numbers):
    for number in numbers:
        arrivals.enqueue(ledger, received(number))
    finish_all(ledger, positive=("Pneumothorax",))


def seen(ledger, finding="Pneumothorax"):
    table, fits = agreement.side_by_side(ledger)
    return table[table["finding"] == finding].reset_index(drop=True), fits


def test_a_report_before_its_film_waits_for_it(ledger, take):
    assert take(oru("A1", YES, patient="P1")) == {"stored": 1, "known": 0, "refused": 0}
    assert seen(ledger)[1] == {"no_film": 1}
    films(ledger, 1)
    table, fits = seen(ledger)
    assert fits == {"matched": 1}
    assert list(table["state"]) == [1]
    assert list(table["span"]) == ["pneumothorax"]
    assert bool(table["flagged"][0])


@pytest.mark.parametrize("is_first", [True, False])
def test_another_patient_s_report_is_never_counted(ledger, take, is_first):
    """Refused where the film is known, and not matched where the film comes later."""
    if is_first:
        take(oru("A1", YES, patient="P999"))
    films(ledger, 1)
    if not is_first:
        assert take(oru("A1", YES, patient="P999"))["refused"] == 1
    table, fits = seen(ledger)
    assert len(table) == 0
    assert fits == ({"other_patient": 1} if is_first else {})


def test_an_unknown_number_and_an_empty_one(ledger, take):
    films(ledger, 1)
    take(oru("A77", YES))
    take(oru("A1", "", patient="P1"))
    assert seen(ledger)[1] == {"no_film": 1, "unread": 1}


def test_a_double_report_is_one(ledger, take):
    films(ledger, 1)
    take(oru("A1", YES, patient="P1"))
    assert take(oru("A1", YES, patient="P1"))["known"] == 1
    assert seen(ledger)[1] == {"matched": 1}


LATE = "20260302090000"


@pytest.mark.parametrize(
    ("messages", "state"),
    [
        ([("P", YES, LATE)], None),
        ([("F", NO, LATE), ("P", YES, "20260302100000")], 0),
        ([("P", NO, "20260301"), ("F", YES, LATE)], 1),
        ([("F", NO, "20260301"), ("C", YES, LATE)], 1),
        ([("C", YES, LATE), ("F", NO, "20260301")], 1),  # the original comes after its correction
        ([("C", YES, LATE), ("F", NO, LATE)], 1),
        ([("F", YES, "20260301"), ("X", "", LATE)], None),
        ([("F", YES, "20260301"), ("X", "", LATE), ("F", NO, "20260303")], 0),
        ([("F", NO, "20260301"), ("F", YES, LATE)], 1),
    ],
)
def test_which_of_several_reports_counts(ledger, take, messages, state):
    films(ledger, 1)
    for status, text, at in messages:
        take(oru("A1", text, patient="P1", status=status, at=at))
    table, _ = seen(ledger)
    assert list(table["state"]) == ([] if state is None else [state])


def test_two_studies_under_one_number_are_not_guessed(ledger, take):
    arrivals.enqueue(ledger, received(1, accession_number="A"))
    arrivals.enqueue(ledger, received(2, accession_number="A"))
    finish_all(ledger)
    take(oru("A", YES))
    take(oru("A", NO, patient="P2", at=LATE))
    table, fits = seen(ledger)
    assert fits == {"matched": 1}  # the patient tells them apart
    assert list(table["study_uid"]) == ["1.2.2"]
    take(oru("A", YES, at="20260303"))
    assert seen(ledger)[1] == {"ambiguous": 1}


def test_no_text_stays(ledger, take):
    take(oru("A1", "IMPRESSION: Secret words. Large right pneumothorax.", patient="P1"))
    with ledger.read() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM reports").all()
    assert "Secret" not in str(rows)
    assert "Large" not in str(rows)


def test_looks_at_studies_that_are_not_asked_about_teach_the_rank(ledger, take):
    films(ledger, 1, 2)
    take(oru("A1", NO, patient="P1"))
    take(oru("A2", NO, patient="P2"))
    before = agreement.queue(ledger)
    assert len(before) == 2
    second_looks.add(ledger, "1.9.9", "Pneumothorax", "confirmed", actor="Weber")
    second_looks.add(ledger, before["study_uid"][0], "Pneumothorax", "confirmed", actor="Weber")
    (after,) = agreement.queue(ledger).to_dict("records")
    assert after["study_uid"] == before["study_uid"][1]
    assert after["rank_score"] == pytest.approx(after["probability"] * 3 / 12)
    assert second_looks.counts(ledger) == {("Pneumothorax", "confirmed"): 2}


DAY = 86_400.0


def test_each_study_belongs_to_one_period(ledger, take, clock):
    """The one in which film and report were both there; what came later changes nothing in it."""
    begin = clock.now
    films(ledger, 1, 2)
    take(oru("A1", YES, patient="P1"))
    take(oru("A3", YES, patient="P3"))  # before its film
    clock.advance(40 * DAY)
    take(oru("A2", NO, patient="P2"))  # long after it
    take(oru("A1", NO, patient="P1", status="C", at=LATE))
    films(ledger, 3)
    clock.advance(DAY)

    def told(*days):
        since, until = (begin + day * DAY for day in days)
        table, fits = agreement.side_by_side(ledger, since=since, until=until)
        table = table[table["finding"] == "Pneumothorax"]
        return dict(zip(table["study_uid"], table["state"], strict=True)), fits

    assert told(0, 10) == ({"1.2.1": 1}, {"matched": 1, "no_film": 1})
    assert told(10, 40) == ({}, {})
    assert told(40, 41) == ({"1.2.2": 0, "1.2.3": 1}, {"matched": 3})
    assert set(agreement.queue(ledger, since=begin + 10 * DAY)["study_uid"]) == {"1.2.2"}
    everything, _ = seen(ledger)
    assert set(everything["study_uid"]) == {"1.2.1", "1.2.2", "1.2.3"}


def test_a_page_of_reports_at_a_time_gives_the_same_queue(ledger, take, monkeypatch):
    films(ledger, *range(1, 8))
    for number in range(1, 8):
        take(oru(f"A{number}", NO, patient=f"P{number}"))
    second_looks.add(ledger, "1.2.3", "Pneumothorax", "confirmed", actor="Weber")
    whole = agreement.queue(ledger, limit=4)
    monkeypatch.setattr(signed_reports, "_PAGE", 2)
    pd.testing.assert_frame_equal(agreement.queue(ledger, limit=4), whole)
    assert list(whole["study_uid"]) == ["1.2.1", "1.2.2", "1.2.4", "1.2.5"]


def test_questions_of_years_go_by_indexes(ledger, take, clock):
    """A period's reports and films, the page's newest, charts, and the file for an audit."""
    films(ledger, 1, 2)
    take(oru("A1", YES, patient="P1"))
    clock.advance(40 * DAY)
    day = date.fromtimestamp(clock.now - 2 * DAY)
    with walks_of(ledger) as walks:
        agreement.side_by_side(ledger, since=clock.now - 50 * DAY, until=clock.now)
        agreement.queue(ledger, newest=10)
        second_look.n_reports(ledger)
        report_texts.prune(ledger, keep_days=90)
        service_charts.draw(ledger, since=day)
        surveillance(ledger, day, day)
    assert not walks


class TestVerbs:
    def call(self, *arguments):
        done = CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "220"})
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    def test_from_reports_to_a_second_look(self, tmp_path):
        url, table = tmp_path / "l.sqlite", tmp_path / "r.csv"
        with open_ledger(url) as ledger:
            films(ledger, *range(1, 13))
        lines = [f"A{n},P{n},{YES if n % 2 else NO}" for n in range(1, 13)]
        table.write_text("accession_number,patient_id,report\n" + "\n".join(lines))
        done = json.loads(
            self.call("screen", "reports", "import", table, "--ledger", url, "--json")
        )
        assert done == {"stored": 12, "known": 0, "refused": 0}
        told = json.loads(self.call("monitor", "concordance", url, "--json"))
        rows = {(r["finding"], r["group"]): r for r in told["concordance"]}
        assert told["reports"] == {"matched": 12}
        assert rows["Pneumothorax", "all"]["ppv"]["estimate"] == 0.5
        assert rows["Pneumothorax", "view PA"]["n"] == 12
        days = ("--from", "2026-01-01", "--to", "2026-01-31")
        assert (
            json.loads(self.call("monitor", "concordance", url, *days, "--json"))["reports"] == {}
        )
        with pytest.raises(Exception, match="--from before --to"):
            self.call("monitor", "second-look", url, "--from", "2026-02-01", *days[2:])
        assert "Pneumothorax" in self.call("monitor", "concordance", url)
        queue = json.loads(self.call("monitor", "second-look", url, "--json"))["queue"]
        assert [q["finding"] for q in queue] == ["Pneumothorax"] * 6
        study = queue[0]["study_uid"]
        words = ("--outcome", "confirmed", "--by", "Dr. Weber")
        self.call("monitor", "looked", url, study, "Pneumothorax", *words)
        with pytest.raises(Exception, match="recorded before"):
            self.call("monitor", "looked", url, study, "Pneumothorax", *words)
        with pytest.raises(Exception, match="Expected an outcome"):
            self.call("monitor", "looked", url, study, "Mass", "--outcome", "yes", "--by", "x")
        queue = json.loads(self.call("monitor", "second-look", url, "--json"))["queue"]
        assert study not in [q["study_uid"] for q in queue]
        assert "days_since_film" in self.call("monitor", "second-look", url)
        with open_ledger(url) as ledger:
            (one,) = second_looks.all_of(ledger)
            assert one["actor"] == "Dr. Weber"
            assert len(list(signed_reports.matches(ledger))) == 12
