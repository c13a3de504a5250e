"""A ledger of any size: numbers kept as rows change, plans by index, checkpoints, migration."""

from __future__ import annotations

import random

import pytest
from ledger_data import finish_all, make_old_ledger, outcome, received
from query_plans import walks_of
from sqlalchemy import create_engine, func, inspect, select, text

from monai_cxr.screening.archive.results_table import export_results
from monai_cxr.screening.arriving import retention
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import (
    Ledger,
    arrivals,
    audit,
    jobs,
    open_ledger,
    outbox,
    quarantine,
    studies,
)
from monai_cxr.screening.ledger.records import Outcome
from monai_cxr.screening.ledger.schema import arrivals as arrivals_table
from monai_cxr.screening.ledger.schema import audit as audit_table
from monai_cxr.screening.ledger.schema import films, metadata, results
from monai_cxr.screening.ledger.schema import outbox as outbox_table
from monai_cxr.screening.ledger.schema import quarantine as quarantine_table
from monai_cxr.screening.ledger.schema import studies as studies_table
from monai_cxr.screening.ledger.watching import counts, tallies


def counted(ledger: Ledger) -> dict[str, dict]:
    """The numbers by walking through the rows, as they were counted before."""

    def grouped(column, *conditions) -> dict:
        query = select(column, func.count()).where(*conditions).group_by(column)
        return {key: n for key, n in connection.execute(query)}  # noqa: C416

    with ledger.read() as connection:
        deliveries = select(
            outbox_table.c.kind, outbox_table.c.destination, outbox_table.c.state, func.count()
        ).group_by(outbox_table.c.kind, outbox_table.c.destination, outbox_table.c.state)
        retries = select(func.sum(films.c.attempts - 1)).where(films.c.attempts > 1)
        return {
            "films": grouped(films.c.state),
            "arrivals": grouped(arrivals_table.c.outcome),
            "quarantine": grouped(
                quarantine_table.c.reason, quarantine_table.c.resolved_at.is_(None)
            ),
            "deliveries": {(k, d, s): n for k, d, s, n in connection.execute(deliveries)},
            "n_results": connection.execute(select(func.count()).select_from(results)).scalar(),
            "n_studies": connection.execute(
                select(func.count()).select_from(studies_table)
            ).scalar(),
            "n_retries": connection.execute(retries).scalar() or 0,
        }


def said(ledger: Ledger) -> dict[str, dict]:
    now = counts.count(ledger)
    return {
        "films": {state: n for state, n in now.films.items() if n},
        "arrivals": dict(now.arrivals),
        "quarantine": dict(now.quarantine),
        "deliveries": dict(now.deliveries),
        "n_results": now.n_results,
        "n_studies": now.n_studies,
        "n_retries": now.n_retries,
    }


@pytest.mark.parametrize("seed", range(3))
def test_tallies_are_what_counting_gives(ledger, clock, seed):
    chance = random.Random(seed)
    for _ in range(60):
        clock.advance(chance.choice((1, 30, 700)))
        what = chance.randrange(8)
        number = chance.randrange(12)
        if what < 3:
            arrivals.enqueue(ledger, received(number, study=number // 3))
        elif what == 3:
            quarantine.refuse(ledger, "", chance.choice(("not_dicom", "odd | reason")), "No.")
        elif what == 4:
            for film in jobs.lease(ledger, "w", 3, seconds=20):
                if chance.random() < 0.4:
                    jobs.retry_later(ledger, "w", film.id, "OSError")
                elif chance.random() < 0.5:
                    ended = Outcome(film.id, reason="lateral", message="No.")
                    jobs.finish(ledger, "w", [ended])
                else:
                    to = [("sr", "a | b"), ("sc", "pacs")]
                    jobs.finish(ledger, "w", [outcome(film)], deliveries=to)
        elif what == 5:
            for delivery in outbox.lease(ledger, "d", 2):
                if chance.random() < 0.5:
                    outbox.delivered(ledger, "d", delivery.id)
                else:
                    outbox.failed(ledger, "d", delivery.id, permanent=True)
        elif what == 6:
            open_ids = [entry.id for entry in quarantine.entries(ledger)][:2]
            quarantine.release(ledger, open_ids, actor="me")
        else:
            with ledger.write() as connection:
                tallies.compact(connection)
        assert said(ledger) == counted(ledger)
    assert jobs.n_unfinished(ledger) == sum(
        n for state, n in counted(ledger)["films"].items() if state in ("scheduled", "in_progress")
    )


def test_a_change_that_is_undone_is_not_counted(ledger):
    arrivals.enqueue(ledger, received(1))

    def fails() -> None:
        with ledger.write() as connection:
            connection.execute(films.update().values(state="completed"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert said(ledger) == counted(ledger)


def test_lines_are_added_up(ledger):
    for number in range(200):
        arrivals.enqueue(ledger, received(number))
    with ledger.read() as connection:
        lines = select(func.count()).select_from(tallies.tallies)
        assert connection.execute(lines).scalar_one() < 300  # of 600 changes
    assert counts.count(ledger).films["scheduled"] == 200


class TestCheckpoints:
    def test_a_stretch_is_verified_once(self, ledger):
        for number in range(25):
            audit.append(ledger, "me", "did", str(number))
        for _ in range(3):
            assert audit.advance(ledger, most=10).is_intact
        trail = audit.verify(ledger, from_checkpoint=True)
        assert (trail.n_entries, trail.head) == (25, audit.verify(ledger).head)
        with ledger.write() as connection:
            connection.execute(audit_table.update().where(audit_table.c.id == 3).values(actor="x"))
        assert audit.verify(ledger, from_checkpoint=True).is_intact  # verified before
        assert audit.verify(ledger).broken_at == 3
        with ledger.write() as connection:
            connection.execute(audit_table.update().where(audit_table.c.id == 23).values(actor="x"))
        assert audit.verify(ledger, from_checkpoint=True).broken_at == 23

    def test_a_broken_stretch_makes_no_checkpoint(self, ledger):
        for number in range(12):
            audit.append(ledger, "me", "did", str(number))
        with ledger.write() as connection:
            connection.execute(audit_table.delete().where(audit_table.c.id == 5))
        for _ in range(2):
            assert audit.advance(ledger, most=10).broken_at == 5
        assert not audit.verify(ledger, from_checkpoint=True).is_intact


class TestPrune:
    def test_what_is_over_goes_and_the_rest_stays(self, ledger, clock, tmp_path):
        spool = Spool(tmp_path / "spool", reserve_bytes=0)
        for number in range(4):
            path = spool.store(str(number).encode())
            arrivals.enqueue(ledger, received(number, path=str(path)))
        finish_all(ledger, deliveries=[("sr", "pacs")])
        first, *_ = outbox.lease(ledger, "d", 1)
        outbox.delivered(ledger, "d", first.id)
        clock.advance(100)
        studies.close_quiet(ledger)
        clock.advance(100 * 86_400)
        assert retention.prune(ledger, spool, keep_days=200) == 0
        assert retention.prune(ledger, spool, keep_days=50) == 1  # the others' reports are due
        assert jobs.film(ledger, first.sop_uid) is None
        assert len(list(spool.files())) == 3
        assert said(ledger)["films"] == {"completed": 3}
        assert counts.count(ledger).arrivals == {"new": 4}  # a counter never falls
        assert audit.verify(ledger).is_intact
        for delivery in outbox.lease(ledger, "d", 9):
            outbox.delivered(ledger, "d", delivery.id)
        assert retention.prune(ledger, spool, keep_days=50) == 3
        arrivals.enqueue(ledger, received(1))  # sent again, it is a new film
        assert counts.count(ledger).films["scheduled"] == 1


def test_a_day_is_exported_alone(ledger, clock, tmp_path):
    for number in range(3):
        arrivals.enqueue(ledger, received(number))
        clock.advance(86_400)
    start = clock.now - 2 * 86_400
    n = export_results(ledger, tmp_path / "day.csv", since=start, until=start + 86_400)
    assert n == 1
    assert "1.2.1.1.1" in (tmp_path / "day.csv").read_text()
    assert export_results(ledger, tmp_path / "all.parquet") == 3
    assert export_results(ledger, tmp_path / "none.csv", since=clock.now + 1) == 0


def old_ledger(url: str) -> None:
    """A ledger of version 1 with a film of each kind, made by that version's own SQL."""
    make_old_ledger(url)
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    columns = "sop_uid, study_uid, path, priority, rank, state, available_at, received_at, attempts"
    rows = [
        f"INSERT INTO films ({columns}) VALUES ('1.{n}', '1', '/f/{n}', 'ROUTINE', {n}, '{state}', "
        f"0, {n}, {n})"
        for n, state in enumerate(("scheduled", "completed", "quarantined", "scheduled"))
    ]
    rows += [
        "INSERT INTO arrivals (sop_uid, outcome, arrived_at) VALUES ('1.0', 'new', 0)",
        "INSERT INTO arrivals (sop_uid, outcome, arrived_at) VALUES ('1.0', 'duplicate', 0)",
        "INSERT INTO outbox (kind, destination, sop_uid, model_digest, state, available_at, "
        "created_at) VALUES ('sr', 'pacs', '1.1', 'd', 'pending', 0, 0)",
        "INSERT INTO quarantine (reason, quarantined_at) VALUES ('lateral', 0)",
        "INSERT INTO quarantine (reason, quarantined_at, resolved_at) VALUES ('lateral', 0, 1)",
        "INSERT INTO studies (study_uid) VALUES ('1')",
    ]
    with engine.begin() as connection:
        for row in rows:
            connection.execute(text(row))
    engine.dispose()


def kind(column_type: object) -> str:
    """SQLite has one floating-point type of several names."""
    name = str(column_type).split()[0]
    return "DOUBLE" if name == "REAL" else name


def shape(ledger: Ledger) -> dict[str, object]:
    """Columns and indexes of every table."""
    with ledger.read() as connection:
        seen = inspect(connection)
        return {
            table: (
                sorted(
                    (c["name"], kind(c["type"]), c["nullable"]) for c in seen.get_columns(table)
                ),
                sorted(index["name"] for index in seen.get_indexes(table)),
            )
            for table in metadata.tables
        }


class TestMigration:
    def test_an_old_ledger_is_brought_up_to_date(self, ledger_url):
        old_ledger(ledger_url)
        with open_ledger(ledger_url) as ledger:
            assert said(ledger) == counted(ledger)
            assert said(ledger)["films"] == {"scheduled": 2, "completed": 1, "quarantined": 1}
            assert said(ledger)["n_retries"] == 3
            arrivals.enqueue(ledger, received(9))
            assert {film.key.sop_uid for film in jobs.lease(ledger, "w", 9)} >= {"1.0"}
            assert said(ledger) == counted(ledger)
        with open_ledger(ledger_url) as again:  # once is enough
            assert said(again) == counted(again)

    def test_both_ways_lead_to_the_same_tables(self, ledger, request, tmp_path):
        if ledger.is_sqlite:
            url = f"sqlite:///{tmp_path}/old.sqlite"
        else:
            url = request.getfixturevalue("postgres_server").new_ledger()
        old_ledger(url)
        with open_ledger(url) as migrated:
            assert shape(migrated) == shape(ledger)


class TestPlans:
    """No question of a running service walks through the films."""

    def test_no_walk_through_the_rows(self, ledger, tmp_path):
        spool = Spool(tmp_path / "spool", reserve_bytes=0)
        with walks_of(ledger) as walks:
            for number in range(20):
                arrivals.enqueue(ledger, received(number))
            jobs.lease(ledger, "w", 4)
            jobs.release(ledger, "w")
            finish_all(ledger, deliveries=[("sr", "pacs")])
            outbox.lease(ledger, "d", 2, kinds=["sr"], destinations=["pacs"])
            counts.count(ledger)
            jobs.n_unfinished(ledger)
            jobs.reopen(ledger, "d" * 64)
            studies.close_quiet(ledger)
            retention.clean_spool(ledger, spool, keep_days=1)
            retention.prune(ledger, spool, keep_days=1)
            audit.advance(ledger)
            audit.verify(ledger, from_checkpoint=True)
            arrivals.settled(ledger, ["1.2.1.1.1"])
        assert not walks
