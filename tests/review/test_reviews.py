"""Reviews: what a browser sends is checked, what a reader said is kept, in both stores."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.errors import DeliveryError, InputError, SettingsError
from monai_cxr.review.ledger_store import LedgerStore
from monai_cxr.review.local_store import LocalStore
from monai_cxr.review.parsing import parse_findings, parse_note, parse_seconds
from monai_cxr.review.reviews import FindingReview, Review, reviews_csv, reviews_table
from monai_cxr.review.stores import Access
from monai_cxr.screening.ledger import open_ledger

REVIEW = Review(
    "1.2.3",
    "1.2.3.4",
    "anna",
    "d" * 64,
    {
        "Effusion": FindingReview("disagree", "", "absent"),
        "Mass": FindingReview("agree", "disagree", "present"),
        "Hernia": FindingReview("", "", "uncertain"),
    },
    note="Left costophrenic angle is sharp.",
    seconds=12.5,
    at=100.0,
)


@pytest.fixture(params=["local", "ledger"])
def store(request, tmp_path):
    if request.param == "local":
        yield LocalStore(tmp_path / "deep" / "reviews.sqlite")
        return
    with open_ledger(tmp_path / "ledger.sqlite", clock=lambda: 100.0) as ledger:
        yield LedgerStore(ledger)


class TestStores:
    def test_give_back_what_was_said(self, store):
        store.save(REVIEW)
        assert list(store.of_study("1.2.3")) == [REVIEW]
        assert list(store.reviews()) == [REVIEW]
        assert list(store.of_study("9")) == []

    def test_the_last_word_counts(self, store):
        store.save(REVIEW)
        later = replace(
            REVIEW, findings={"Mass": FindingReview("disagree", "", "absent")}, finished=True
        )
        store.save(later)
        assert list(store.reviews()) == [later]

    def test_two_readers_of_one_study_keep_their_own(self, store):
        other = replace(REVIEW, reader="bob", note="", findings={})
        store.save(REVIEW)
        store.save(other)
        store.save(replace(REVIEW, finished=True))
        assert {review.reader: review.finished for review in store.of_study("1.2.3")} == {
            "anna": True,
            "bob": False,
        }

    def test_audit_is_newest_first(self, store):
        for i, action in enumerate(("opened", "finished")):
            store.record(Access(100.0 + i, "anna", "reader", action, "1.2.3"))
        assert [line.action for line in store.accesses(10)][:2] == ["finished", "opened"]
        assert len(store.accesses(1)) == 1
        assert store.accesses(1)[0].role == "reader"


def _save_for_ever(path: str, started) -> None:
    store = LocalStore(Path(path))
    for number in range(100_000):
        store.save(replace(REVIEW, study_uid=str(number)))
        started.put(number)


class TestLocalStore:
    def test_keeps_every_version(self, tmp_path):
        store = LocalStore(tmp_path / "r.sqlite")
        store.save(REVIEW)
        store.save(replace(REVIEW, finished=True))
        with sqlite3.connect(tmp_path / "r.sqlite") as connection:
            assert connection.execute(
                "select count(*) from reviews where finding = ''"
            ).fetchone() == (2,)
        connection.close()

    def test_a_kill_loses_nothing_that_was_saved(self, tmp_path):
        context = multiprocessing.get_context("spawn")
        said = context.Queue()
        path = tmp_path / "r.sqlite"
        process = context.Process(target=_save_for_ever, args=(str(path), said))
        process.start()
        last = -1
        while last < 20:
            last = said.get(timeout=120)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        kept = {int(review.study_uid) for review in LocalStore(path).reviews()}
        assert set(range(last + 1)) <= kept

    def test_only_its_owner_reads_the_file(self, tmp_path):
        LocalStore(tmp_path / "r.sqlite")
        assert (tmp_path / "r.sqlite").stat().st_mode & 0o077 == 0

    def test_a_locked_file_is_a_calm_sentence(self, tmp_path):
        store = LocalStore(tmp_path / "r.sqlite")
        with sqlite3.connect(tmp_path / "r.sqlite") as other:
            other.execute("begin exclusive")
            with pytest.raises(DeliveryError, match="Nothing was lost"):
                store.save(REVIEW)
        other.close()
        store.save(REVIEW)
        assert list(store.reviews()) == [REVIEW]

    def test_secrets_stay(self, tmp_path):
        one = LocalStore(tmp_path / "r.sqlite").secret("names")
        assert LocalStore(tmp_path / "r.sqlite").secret("names") == one
        assert len(one) == 32

    def test_another_kind_of_file_is_refused(self, tmp_path):
        (tmp_path / "r.sqlite").write_text("no database, not at all" * 100)
        with pytest.raises(SettingsError, match="--store"):
            LocalStore(tmp_path / "r.sqlite")


class TestParsing:
    def test_keeps_what_was_said_with_the_probability(self):
        parsed = parse_findings({"Effusion": {"opinion": "agree"}, "Mass": {}}, {"Effusion": 0.7})
        assert parsed == {"Effusion": FindingReview("agree", "", "", 0.7), "Mass": FindingReview()}

    @pytest.mark.parametrize(
        "value",
        [
            [],
            "agree",
            {"Effusion": "agree"},
            {"Effusion": {"opinion": "perhaps"}},
            {"Effusion": {"label": 1}},
            {"Effusion": {"opinion": []}},
            {"<script>": {"opinion": "agree"}},
        ],
    )
    def test_refuses_another_shape(self, value):
        with pytest.raises(InputError):
            parse_findings(value, {})

    @given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner:
           st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
           max_leaves=8))  # fmt: skip
    def test_anything_is_parsed_or_refused(self, value):
        for parse in (lambda v: parse_findings(v, {}), parse_note, parse_seconds):
            try:
                parse(value)
            except InputError:
                continue

    def test_notes_are_bounded_text(self):
        assert parse_note("a\x00b\nc") == "ab\nc"
        assert len(parse_note("x" * 10_000)) == 4000

    @pytest.mark.parametrize("value", [True, "3", None, float("nan"), float("inf")])
    def test_seconds_are_numbers(self, value):
        with pytest.raises(InputError):
            parse_seconds(value)


class TestExport:
    def test_has_a_row_a_finding_with_labels_as_numbers(self):
        table = reviews_table([REVIEW]).set_index("finding")
        assert table.loc["Effusion", "label"] == 0.0
        assert table.loc["Mass", "label"] == 1.0
        assert pd.isna(table.loc["Hernia", "label"])

    def test_csv_runs_no_formula(self):
        review = replace(REVIEW, note="=cmd|' /C calc'!A0", reader="@anna")
        table = pd.read_csv(io.BytesIO(reviews_csv([review])))
        assert set(table["note"].str[0]) == {"'"}
        assert set(table["reader"].str[0]) == {"'"}

    def test_nothing_to_export_is_an_empty_table(self):
        assert list(reviews_table([]).columns)[:2] == ["sop_uid", "study_uid"]
        assert reviews_csv([]).startswith(b"sop_uid")

    def test_repr_names_no_reader(self):
        assert "anna" not in repr(REVIEW)
        assert "anna" not in repr(Access(0.0, "anna", "reader", "opened", "1.2.3"))
