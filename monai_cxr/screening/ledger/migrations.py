"""Migrations: bring a ledger to the schema of this version, in one transaction, once."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Double, LargeBinary, func, inspect, select, text

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger.schema import metadata, schema_version
from monai_cxr.screening.ledger.watching import tallies

Migration = Callable[[Connection], None]


def _reviews_say_what_they_mean(connection: Connection) -> None:
    """Version 2: "uncertain" and "finished" of a review in columns of their own, and what it saw.

    "uncertain" was the note of a finding's row, "finished" a film's ``label_agrees`` that is set.
    """
    for column in (
        *("uncertain INTEGER", "finished INTEGER", "score_seen INTEGER"),
        *("probability DOUBLE PRECISION", "seen TEXT DEFAULT '' NOT NULL"),
        "marks TEXT DEFAULT '' NOT NULL",
    ):
        connection.execute(text(f"ALTER TABLE reviews ADD COLUMN {column}"))
    connection.execute(
        text(
            "UPDATE reviews SET uncertain = 1, note = '' WHERE finding <> '' AND note = 'uncertain'"
        )
    )
    connection.execute(
        text(
            "UPDATE reviews SET finished = CASE WHEN label_agrees IS NULL THEN 0 ELSE 1 END "
            "WHERE finding = ''"
        )
    )


def _deliveries_for_days(connection: Connection) -> None:
    """Version 3: a delivery remembers since when it fails, and its leases without an answer."""
    double = Double().compile(connection.dialect)
    for column in ("unanswered INTEGER DEFAULT '0' NOT NULL", f"tried_since {double}"):
        connection.exec_driver_sql(f"ALTER TABLE outbox ADD COLUMN {column}")


_SCALE_TABLES = """
    CREATE TABLE audit_checkpoints (
        entry_id BIGINT NOT NULL PRIMARY KEY, hash TEXT DEFAULT '' NOT NULL,
        verified_at {double} NOT NULL
    );
    CREATE TABLE tallies (
        id {serial} PRIMARY KEY, what VARCHAR(16) NOT NULL, key TEXT DEFAULT '' NOT NULL,
        n BIGINT NOT NULL
    );
    CREATE INDEX ix_films_age ON films (state, received_at);
    CREATE INDEX ix_films_model ON films (state, model_digest);
    CREATE INDEX ix_films_spooled ON films (finished_at) WHERE path <> '';
    CREATE INDEX ix_arrivals_sop_uid ON arrivals (sop_uid);
    CREATE INDEX ix_arrivals_arrived_at ON arrivals (arrived_at);
    CREATE INDEX ix_outbox_due ON outbox (destination, state, available_at);
    CREATE INDEX ix_outbox_age ON outbox (state, created_at);
    CREATE INDEX ix_outbox_sop_uid ON outbox (sop_uid);
    CREATE INDEX ix_outbox_leased ON outbox (lease_owner) WHERE lease_owner <> '';
    CREATE INDEX ix_quarantine_sop_uid ON quarantine (sop_uid);
    CREATE INDEX ix_quarantine_open ON quarantine (id) WHERE resolved_at IS NULL
"""


def _numbers_by_lookup(connection: Connection) -> None:
    """Version 4: indexes and tallies, so that no question walks through all films; checkpoints."""
    _run(connection, _SCALE_TABLES)
    later = (tallies.DROPS, tallies.REPORTS)
    tallies.install(connection, [one for one in tallies.TALLIES if one not in later])


def _files_of_refused_films_are_deleted(connection: Connection) -> None:
    """Version 5: a quarantine entry remembers that its file was deleted."""
    double = Double().compile(connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE quarantine ADD COLUMN file_deleted_at {double}")
    connection.exec_driver_sql(
        "CREATE INDEX ix_quarantine_files ON quarantine (id) "
        "WHERE file_deleted_at IS NULL AND path <> ''"
    )


_MONITORING_TABLES = """
    CREATE TABLE chart_sums (
        id {serial} PRIMARY KEY, chart TEXT NOT NULL, day VARCHAR(10) NOT NULL, n BIGINT NOT NULL,
        total {double} NOT NULL, squares {double} NOT NULL
    );
    CREATE INDEX ix_chart_sums_day ON chart_sums (day);
    CREATE TABLE alarms (
        id {serial} PRIMARY KEY, first_day VARCHAR(10) NOT NULL, last_day VARCHAR(10) NOT NULL,
        charts TEXT DEFAULT '' NOT NULL, raised_at {double} NOT NULL, acknowledged_at {double},
        actor TEXT DEFAULT '' NOT NULL, action TEXT DEFAULT '' NOT NULL,
        note TEXT DEFAULT '' NOT NULL, new_baseline INTEGER DEFAULT '0' NOT NULL
    )
"""


def _charts_and_alarms(connection: Connection) -> None:
    """Version 6: daily sums of charts, and alarms with the person who dealt with them."""
    _run(connection, _MONITORING_TABLES)


_REPORT_TABLES = """
    CREATE TABLE reports (
        id {serial} PRIMARY KEY, accession_number TEXT DEFAULT '' NOT NULL,
        study_uid TEXT DEFAULT '' NOT NULL, patient_id TEXT DEFAULT '' NOT NULL,
        status TEXT DEFAULT '' NOT NULL, observed TEXT DEFAULT '' NOT NULL,
        digest VARCHAR(64) NOT NULL, problem TEXT DEFAULT '' NOT NULL,
        states TEXT DEFAULT '' NOT NULL, spans TEXT DEFAULT '' NOT NULL,
        arrived_at {double} NOT NULL, UNIQUE (digest)
    );
    CREATE INDEX ix_reports_accession_number ON reports (accession_number);
    CREATE INDEX ix_reports_study_uid ON reports (study_uid);
    CREATE INDEX ix_reports_arrived_at ON reports (arrived_at);
    CREATE TABLE second_looks (
        id {serial} PRIMARY KEY, study_uid TEXT NOT NULL, finding TEXT NOT NULL,
        outcome VARCHAR(16) NOT NULL, actor TEXT DEFAULT '' NOT NULL,
        note TEXT DEFAULT '' NOT NULL, looked_at {double} NOT NULL,
        CONSTRAINT uq_second_looks_key UNIQUE (study_uid, finding)
    )
"""


def _signed_reports(connection: Connection) -> None:
    """Version 7: labels of signed reports, and second looks at what they do not say."""
    _run(connection, _REPORT_TABLES)


_LABEL_ANSWERS_TABLE = """
    CREATE TABLE label_answers (
        id {serial} PRIMARY KEY, audit VARCHAR(16) NOT NULL, sop_uid TEXT NOT NULL,
        finding TEXT NOT NULL, reader TEXT NOT NULL, turn INTEGER NOT NULL,
        role VARCHAR(16) NOT NULL, answer TEXT DEFAULT '' NOT NULL,
        film_sha256 TEXT DEFAULT '' NOT NULL, seconds {double}, answered_at {double} NOT NULL,
        CONSTRAINT uq_label_answers_key UNIQUE (audit, sop_uid, finding, reader, turn)
    )
"""


def _answers_of_label_audits(connection: Connection) -> None:
    """Version 8: what readers of a label audit said of its films."""
    _run(connection, _LABEL_ANSWERS_TABLE)


_OTHER_SYSTEMS_TABLES = """
    CREATE TABLE patient_merges (
        prior_id TEXT NOT NULL PRIMARY KEY, surviving_id TEXT NOT NULL, merged_at {double} NOT NULL
    );
    CREATE INDEX ix_patient_merges_surviving_id ON patient_merges (surviving_id);
    CREATE TABLE rejections (
        sop_uid TEXT NOT NULL PRIMARY KEY, reason VARCHAR(16) NOT NULL,
        note_uid TEXT DEFAULT '' NOT NULL, rejected_at {double} NOT NULL
    );
    CREATE INDEX ix_films_patient_id ON films (patient_id);
    CREATE INDEX ix_reports_patient_id ON reports (patient_id)
"""


def _what_other_systems_take_back(connection: Connection) -> None:
    """Version 9: patients that were merged, and instances that their source rejected."""
    _run(connection, _OTHER_SYSTEMS_TABLES)


def _reports_of_studies(connection: Connection) -> None:
    """Version 10: a delivery says of what class and series its object was; drops by reason."""
    for column in ("object_class", "object_series"):
        connection.exec_driver_sql(
            f"ALTER TABLE outbox ADD COLUMN {column} TEXT DEFAULT '' NOT NULL"
        )
    tallies.install(connection, [tallies.DROPS])


_PERIOD_TABLES = """
    CREATE TABLE report_texts (
        report_id {number} PRIMARY KEY, sealed TEXT NOT NULL, kept_at {double} NOT NULL
    );
    CREATE INDEX ix_report_texts_kept_at ON report_texts (kept_at);
    CREATE INDEX ix_results_model ON results (model_digest, predicted_at);
    CREATE INDEX ix_audit_at ON audit (at, id);
    CREATE INDEX ix_chart_sums_chart ON chart_sums (chart, day);
    CREATE INDEX ix_second_looks_looked_at ON second_looks (looked_at)
"""


def _periods_by_lookup(connection: Connection) -> None:
    """Version 11: a period is asked for by indexes; sealed texts of reports, and their number."""
    _run(connection, _PERIOD_TABLES)
    tallies.install(connection, [tallies.REPORTS])


def _messages_are_taken_back(connection: Connection) -> None:
    """Version 12: a delivery keeps the message that was sent, so that it can be taken back."""
    kind = LargeBinary().compile(connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE outbox ADD COLUMN message {kind}")


def _run(connection: Connection, script: str) -> None:
    is_sqlite = connection.dialect.name == "sqlite"
    kinds = {
        "double": "DOUBLE" if is_sqlite else "DOUBLE PRECISION",
        "serial": "INTEGER NOT NULL" if is_sqlite else "BIGSERIAL NOT NULL",
        "number": "INTEGER NOT NULL" if is_sqlite else "BIGINT NOT NULL",
    }
    for statement in script.format(**kinds).split(";"):
        connection.exec_driver_sql(statement)


MIGRATIONS: tuple[Migration, ...] = (
    _reviews_say_what_they_mean,
    _deliveries_for_days,
    _numbers_by_lookup,
    _files_of_refused_films_are_deleted,
    _charts_and_alarms,
    _signed_reports,
    _answers_of_label_audits,
    _what_other_systems_take_back,
    _reports_of_studies,
    _periods_by_lookup,
    _messages_are_taken_back,
)
"""Step i brings a ledger of version i + 1 to version i + 2. A step, once released, never changes;
each change of :mod:`~monai_cxr.screening.ledger.schema` adds one, and a test compares both ways."""

SCHEMA_VERSION = 1 + len(MIGRATIONS)


def version_of(connection: Connection) -> int:
    """Schema version of a ledger, 0 when it is empty."""
    if not inspect(connection).has_table(schema_version.name):
        return 0
    return int(connection.execute(select(func.max(schema_version.c.version))).scalar() or 0)


def migrate(
    connection: Connection, *, now: float, migrations: tuple[Migration, ...] = MIGRATIONS
) -> int:
    """Create or upgrade the tables.

    Args:
        connection: In a transaction that excludes other writers.
        now: Recorded with each version.
        migrations: The steps.

    Returns:
        The version the ledger had before.

    Raises:
        SettingsError: If the ledger was written by a newer monai_cxr.
    """
    target = 1 + len(migrations)
    before = version_of(connection)
    if before > target:
        raise SettingsError(
            f"The ledger has schema version {before}; this monai_cxr knows up to {target}. "
            "Install the version that wrote it."
        )
    if before == target:
        return before
    if before == 0:
        metadata.create_all(connection)
        tallies.install(connection)
        done = [target]
    else:
        done = []
        for version, step in enumerate(migrations[before - 1 :], start=before + 1):
            step(connection)
            done.append(version)
    connection.execute(
        schema_version.insert(), [{"version": version, "applied_at": now} for version in done]
    )
    return before
