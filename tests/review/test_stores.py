"""Stores: what earlier versions kept is brought over, and tabs and readers add up."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_data import make_old_ledger
from sqlalchemy import create_engine, event, inspect, text

from monai_cxr.errors import DeliveryError
from monai_cxr.review.ledger_store import LedgerStore
from monai_cxr.review.local_store import LocalStore
from monai_cxr.review.reviews import Change, FindingReview, Mark, Review, merged
from monai_cxr.screening.ledger import open_ledger
from monai_cxr.screening.ledger.migrations import MIGRATIONS

OLD_LOCAL = """
create table review (id integer primary key autoincrement, study_uid text not null,
 reader text not null, model_digest text not null, at real not null, body text not null);
create table access (id integer primary key autoincrement, at real not null, user text not null,
 role text not null, action text not null, study_uid text not null);
create table secret (name text primary key, value blob not null);
"""


def old_review(number: int, **values) -> dict:
    said = {"opinion": "disagree", "location": "", "label": "absent", "probability": 0.7}
    unsure = {"opinion": "", "location": "", "label": "uncertain", "probability": 0.2}
    return {
        "study_uid": f"1.2.{number}", "sop_uid": f"1.2.{number}.1", "reader": "anna",
        "model_digest": "d", "findings": {"Effusion": said, "Mass": unsure}, "note": "n",
        "seconds": 4.5, "finished": True, "at": 100.0 + number, **values,
    }  # fmt: skip


class TestEarlierVersions:
    def test_a_local_store_is_brought_over(self, tmp_path):
        path = tmp_path / "reviews.sqlite"
        with sqlite3.connect(path) as old:
            old.executescript(OLD_LOCAL)
            old.execute("insert into secret values ('names', ?)", (b"s" * 32,))
            for body in (old_review(1, finished=False), old_review(1), old_review(2)):
                old.execute(
                    "insert into review (study_uid, reader, model_digest, at, body) "
                    "values (?, ?, ?, ?, ?)",
                    (body["study_uid"], "anna", "d", body["at"], json.dumps(body)),
                )
            old.execute("insert into access values (null, 99, 'anna', 'reader', 'opened', '1.2.1')")
        old.close()
        store = LocalStore(path)
        assert list(store.reviews()) == [
            Review.from_json(old_review(1)), Review.from_json(old_review(2)),
        ]  # fmt: skip
        opened = [line for line in store.accesses(50) if line.action == "opened"]
        assert [(line.at, line.role, line.study_uid) for line in opened] == [
            (99, "reader", "1.2.1")
        ]
        assert store.secret("names") == b"s" * 32
        again = LocalStore(path)
        assert list(again.reviews()) == list(store.reviews())
        assert len(again.accesses(500)) == len(store.accesses(500))

    def test_a_ledger_s_uncertain_leaves_the_note(self, tmp_path):
        path = tmp_path / "ledger.sqlite"
        make_old_ledger(f"sqlite:///{path}")
        engine = create_engine(f"sqlite:///{path}")
        columns = (
            "sop_uid, study_uid, finding, model_digest, label_agrees, note, reader, reviewed_at"
        )
        with engine.begin() as connection:  # as version 1 left it
            for finding, agrees, note in (
                ("Mass", "null", "uncertain"), ("Hernia", "0", ""), ("", "0", "uncertain"),
            ):  # fmt: skip
                connection.execute(
                    text(
                        f"insert into reviews ({columns}) values "
                        f"('1.1', '1', '{finding}', 'd', {agrees}, '{note}', 'anna', 5)"
                    )
                )
        engine.dispose()
        with open_ledger(path) as ledger:
            (review,) = LedgerStore(ledger).reviews()
        assert review.findings == {
            "Mass": FindingReview("", "", "uncertain"), "Hernia": FindingReview("disagree"),
        }  # fmt: skip
        assert (review.note, review.finished) == ("uncertain", True)

    def test_an_upgraded_ledger_has_the_columns_of_a_new_one(self, tmp_path):
        open_ledger(tmp_path / "new.sqlite").close()
        engine = create_engine(f"sqlite:///{tmp_path / 'new.sqlite'}")
        known = {column["name"] for column in inspect(engine).get_columns("reviews")}
        engine.dispose()
        assert {"uncertain", "finished", "score_seen", "probability", "seen", "marks"} <= known
        assert MIGRATIONS


WORDS = st.sampled_from(["", "agree", "disagree"])
CHANGES = st.lists(
    st.tuples(st.sampled_from(["Mass", "Hernia"]), WORDS, st.booleans(), st.sampled_from("ab")),
    max_size=12,
)


def test_a_store_that_goes_away_and_comes_back_is_missed_and_found_again(tmp_path):
    """A review is never written into a file that nobody will find again."""
    path, aside = tmp_path / "r.sqlite", tmp_path / "aside"
    aside.mkdir()
    store = LocalStore(path)
    first = Change("1", "1.1", "anna", "d", note="first", at=1.0)
    store.merge(first)
    for one in sorted(tmp_path.glob("r.sqlite*")):
        one.rename(aside / one.name)
    path.mkdir()
    with pytest.raises(DeliveryError, match="Nothing was lost"):
        store.merge(replace(first, note="second"))
    path.rmdir()
    for one in aside.iterdir():
        one.rename(tmp_path / one.name)
    store.merge(replace(first, note="second", note_before="first"))
    assert [review.note for review in LocalStore(path).reviews()] == ["second"]


def test_a_full_disk_is_told_and_loses_nothing(tmp_path):
    store = LocalStore(tmp_path / "r.sqlite")
    store.merge(Change("1", "1.1", "anna", "d", note="kept", at=1.0))
    limit = "PRAGMA max_page_count = {}"
    with store._ledger.read() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()

    @event.listens_for(store._ledger._engine, "connect")
    def full(connection, _record):
        connection.execute(limit.format(pages))

    with pytest.raises(DeliveryError, match="try again"):
        store.merge(Change("1", "1.1", "anna", "d", note="x" * 400_000, at=2.0))
    event.remove(store._ledger._engine, "connect", full)
    assert [review.note for review in store.reviews()] == ["kept"]


class TestAddingUp:
    @given(changes=CHANGES)
    def test_the_last_word_of_each_finding_counts_whoever_said_it(self, changes):
        review, last = None, {}
        for number, (finding, opinion, closes, _tab) in enumerate(changes):
            change = Change("1", "1.1", "anna", "d", {finding: FindingReview(opinion)},
                            finished=closes or None, at=number)  # fmt: skip
            review = merged(review, change)
            last[finding] = opinion
        said = {} if review is None else {n: i.opinion for n, i in review.findings.items()}
        assert said == {name: opinion for name, opinion in last.items() if opinion}
        assert (review is not None and review.finished) == any(c[2] for c in changes)

    def test_fifty_readers_at_once_lose_and_double_nothing(self, tmp_path):
        with open_ledger(tmp_path / "ledger.sqlite") as ledger:
            store = LedgerStore(ledger)

            def read(number: int) -> None:
                for finding in ("Mass", "Hernia"):
                    said = {finding: FindingReview("agree", "", "present")}
                    store.merge(Change("1", "1.1", f"r{number}", "d", said, at=1.0))
                store.merge(Change("1", "1.1", f"r{number}", "d", finished=True, at=2.0))

            threads = [threading.Thread(target=read, args=(number,)) for number in range(50)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            reviews = store.of_study("1")
            with ledger.read() as connection:
                rows = connection.execute(text("select count(*) from reviews")).scalar()
        assert len(reviews) == 50
        assert all(review.finished and set(review.findings) == {"Mass", "Hernia"}
                   for review in reviews)  # fmt: skip
        assert rows == 50 * 4  # the first word opens the review of the study too

    def test_what_a_study_held_comes_back(self, tmp_path):
        store = LocalStore(tmp_path / "r.sqlite")
        mark = Mark("1.1", "ratio", ((0.0, 1.0), (2.0, 1.0), (0.0, 3.0), (4.0, 3.0)), "CTR 0.50")
        change = Change("1", "1.1", "anna", "d", marks={"a": mark}, finished=True,
                        films=("1.1", "1.2"), flagged=("Mass",), score_seen=False,
                        at=5.0)  # fmt: skip
        after = store.merge(change)
        assert list(store.of_study("1")) == [after]
        assert (after.films, after.flagged, after.score_seen) == (("1.1", "1.2"), ("Mass",), False)
        assert after.marks == {"a": mark}

    def test_another_model_s_review_is_no_opinion_on_this_one_s(self, tmp_path):
        store = LocalStore(tmp_path / "r.sqlite")
        said = {"Mass": FindingReview("agree", "", "present")}
        store.merge(Change("1", "1.1", "anna", "old", said, note="kept", finished=True, at=1.0))
        after = store.merge(replace(Change("1", "1.1", "anna", "new", at=2.0), finished=None))
        assert (after.findings, after.note, after.finished) == ({}, "kept", False)
        assert len(store.of_study("1")) == 2


@pytest.mark.parametrize("seed", range(3))
def test_what_two_processes_add_is_read_as_if_it_were_read_at_once(tmp_path, seed):
    """Each store reads new rows only; both know what a store knows that reads all of them."""
    chance = np.random.default_rng(seed)
    path = tmp_path / "reviews.sqlite"
    stores = [LocalStore(path), LocalStore(path)]
    for number in range(25):
        study = f"1.2.{chance.integers(4)}"
        reader = ("anna", "bob")[chance.integers(2)]
        said = {
            ("Effusion", "Mass")[chance.integers(2)]: FindingReview("agree", "", "present", 0.5)
        }
        change = Change(
            study, f"{study}.1", reader, "d", said, finished=bool(number % 3), at=number
        )
        stores[chance.integers(2)].merge(change)
        if chance.random() < 0.6:
            stores[chance.integers(2)].reviews()
    expected = list(LocalStore(path).reviews())
    assert [list(store.reviews()) for store in stores] == [expected, expected]


def test_a_row_whose_number_is_lower_and_that_comes_later_is_seen(tmp_path):
    """PostgreSQL gives a number when a transaction begins; another may end before it."""
    store = LocalStore(tmp_path / "reviews.sqlite")
    for number in range(3):
        change = Change(f"1.2.{number}", "1", "anna", "d", finished=True, at=float(number))
        store.merge(change)
    with store._ledger.write() as connection:
        early = connection.execute(text("select * from reviews where id = 2")).mappings().one()
        connection.execute(text("delete from reviews where id = 2"))
    assert len(store.reviews()) == 2
    names = ", ".join(early)
    with store._ledger.write() as connection:
        values = ", ".join(f":{name}" for name in early)
        connection.execute(text(f"insert into reviews ({names}) values ({values})"), dict(early))
    assert len(store.reviews()) == 3
