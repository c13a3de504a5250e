"""Schema: the tables of the ledger, the same on SQLite and PostgreSQL.

Times are seconds since 1970 in UTC. Identity (patient, study, path) is stored here and nowhere
else; nothing of it goes into a log, a metric or a message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEDULED, IN_PROGRESS, COMPLETED, QUARANTINED = (
    "scheduled",
    "in_progress",
    "completed",
    "quarantined",
)
"""States of a film, after those of a Unified Procedure Step (PS3.4 CC)."""

FILM_STATES = (SCHEDULED, IN_PROGRESS, COMPLETED, QUARANTINED)

PENDING, DELIVERED, FAILED, DISMISSED = "pending", "delivered", "failed", "dismissed"
"""States of a delivery; a failed one waits for a person, a dismissed one has had its person."""

CORRECTED, REPLACED = "corrected", "replaced"
UNLEASED = {"lease_owner": "", "lease_until": None}
"""Columns of a film or a delivery that nobody has leased."""

TAKES_PLACE = frozenset({CORRECTED, REPLACED})
"""Outcomes of an arrival after which the newcomer is the film, and is read and reported again."""

metadata = MetaData()


def values_of(row: Any, names: Iterable[str]) -> dict[str, Any]:
    """Columns of a row, or attributes of a value, by their names."""
    return {name: getattr(row, name) for name in names}


_ID = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER numbers its rows on SQLite


def _id() -> Column[int]:
    return Column("id", _ID, primary_key=True, autoincrement=True)


def _text(name: str, *, index: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="", index=index)


def _count(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def _time(name: str, *, nullable: bool = True) -> Column[float]:
    return Column(name, Double, nullable=nullable)


def _partial(name: str, column: str, condition: str) -> Index:
    """An index of the rows that a condition holds for."""
    return Index(name, column, sqlite_where=text(condition), postgresql_where=text(condition))


films = Table(
    "films",
    metadata,
    _id(),
    Column("sop_uid", Text, nullable=False, unique=True),
    _text("study_uid", index=True),
    _text("series_uid"),
    _text("patient_id", index=True),
    _text("path", index=True),
    _text("pixel_sha256"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    _text("sop_class_uid"),
    _text("modality"),
    _text("study_date"),
    _text("accession_number"),
    _text("source"),
    _text("calling_ae"),
    Column("priority", String(16), nullable=False),
    _time("rank", nullable=False),
    Column("state", String(16), nullable=False),
    _text("reason"),
    _count("attempts"),
    _time("available_at", nullable=False),
    _text("lease_owner", index=True),
    _time("lease_until"),
    _time("received_at", nullable=False),
    _time("finished_at"),
    _text("model_digest"),
    Index("ix_films_queue", "state", "rank"),
    Index("ix_films_age", "state", "received_at"),
    Index("ix_films_model", "state", "model_digest"),
    _partial("ix_films_spooled", "finished_at", "path <> ''"),
)

arrivals = Table(
    "arrivals",
    metadata,
    _id(),
    _text("sop_uid"),
    _text("path", index=True),
    _text("source"),
    _text("calling_ae"),
    Column("outcome", String(16), nullable=False, index=True),
    _text("reason"),
    _time("arrived_at", nullable=False),
    Index("ix_arrivals_sop_uid", "sop_uid"),
    Index("ix_arrivals_arrived_at", "arrived_at"),
)

results = Table(
    "results",
    metadata,
    _id(),
    Column("sop_uid", Text, nullable=False),
    _text("study_uid", index=True),
    Column("model_digest", Text, nullable=False),
    _text("model_name"),
    _text("model_version"),
    _text("runtime"),
    Column("findings", JSON, nullable=False),
    Column("logits", JSON, nullable=False),
    Column("probabilities", JSON, nullable=False),
    Column("positive", JSON, nullable=False),
    Column("flags", JSON, nullable=False),
    Column("quality", JSON, nullable=False),
    _text("view"),
    _text("sex"),
    Column("age", Double),
    _text("manufacturer"),
    _time("predicted_at", nullable=False),
    UniqueConstraint("sop_uid", "model_digest", name="uq_results_key"),
    Index("ix_results_model", "model_digest", "predicted_at"),
)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    Column("kind", String(16), nullable=False),
    Column("destination", Text, nullable=False),
    Column("sop_uid", Text, nullable=False),
    _text("study_uid", index=True),
    Column("model_digest", Text, nullable=False),
    Column("state", String(16), nullable=False),
    _count("attempts"),
    _time("available_at", nullable=False),
    _text("lease_owner"),
    _time("lease_until"),
    _text("last_status"),
    _text("last_error"),
    _text("object_uid", index=True),
    _time("created_at", nullable=False),
    _time("delivered_at"),
    _count("unanswered"),
    _time("tried_since"),
    _text("object_class"),
    _text("object_series"),
    Column("message", LargeBinary),
    UniqueConstraint("kind", "destination", "sop_uid", "model_digest", name="uq_outbox_key"),
    Index("ix_outbox_queue", "state", "available_at"),
    Index("ix_outbox_due", "destination", "state", "available_at"),
    Index("ix_outbox_age", "state", "created_at"),
    Index("ix_outbox_sop_uid", "sop_uid"),
    _partial("ix_outbox_leased", "lease_owner", "lease_owner <> ''"),
)

quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    Column("film_id", _ID, index=True),
    _text("sop_uid"),
    _text("study_uid", index=True),
    _text("path", index=True),
    Column("reason", String(64), nullable=False, index=True),
    _text("message"),
    _text("source"),
    _text("calling_ae"),
    _time("quarantined_at", nullable=False),
    _time("resolved_at"),
    _text("resolution"),
    _time("file_deleted_at"),
    Index("ix_quarantine_sop_uid", "sop_uid"),
    _partial("ix_quarantine_open", "id", "resolved_at IS NULL"),
    _partial("ix_quarantine_files", "id", "file_deleted_at IS NULL AND path <> ''"),
)

studies = Table(
    "studies",
    metadata,
    Column("study_uid", Text, primary_key=True),
    _text("patient_id", index=True),
    _text("accession_number", index=True),
    _text("study_date"),
    Column("status", String(16), nullable=False, server_default="waiting"),
    _count("n_films"),
    _count("n_scored"),
    _count("n_quarantined"),
    _count("n_open"),
    _text("positive"),
    Column("urgency", Integer, nullable=False, server_default="4"),
    Column("max_probability", Double),
    _time("rank"),
    _time("first_received_at"),
    _time("last_received_at"),
    _time("finished_at"),
    Column("is_open", Integer, nullable=False, server_default="1"),
    _time("opened_at"),
    _count("version"),
    _count("n_reviews"),
    _time("last_review_at"),
    Index("ix_studies_list", "status", "urgency", "rank"),
    Index("ix_studies_open", "is_open", "last_received_at"),
    Index("ix_studies_received", "last_received_at"),
)

reviews = Table(
    "reviews",
    metadata,
    _id(),
    Column("sop_uid", Text, nullable=False),
    _text("study_uid", index=True),
    Column("finding", Text, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("label_agrees", Integer),
    Column("location_agrees", Integer),
    Column("corrected_label", Integer),
    _text("note"),
    Column("reader", Text, nullable=False),
    Column("seconds_to_read", Double),
    _time("reviewed_at", nullable=False),
    Column("uncertain", Integer),
    Column("finished", Integer),
    Column("score_seen", Integer),
    Column("probability", Double),
    _text("seen"),
    _text("marks"),
    Index("ix_reviews_film", "sop_uid", "finding"),
)

label_answers = Table(
    "label_answers",
    metadata,
    _id(),
    Column("audit", String(16), nullable=False),
    Column("sop_uid", Text, nullable=False),
    Column("finding", Text, nullable=False),
    Column("reader", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    _text("answer"),
    _text("film_sha256"),
    Column("seconds", Double),
    _time("answered_at", nullable=False),
    UniqueConstraint(
        *("audit", "sop_uid", "finding", "reader", "turn"), name="uq_label_answers_key"
    ),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    _time("at", nullable=False),
    _text("actor"),
    _text("action"),
    _text("subject", index=True),
    _text("detail"),
    _text("previous"),
    _text("hash"),
    Index("ix_audit_at", "at", "id"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    _text("value"),
    _time("updated_at", nullable=False),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("entry_id", BigInteger, primary_key=True, autoincrement=False),
    _text("hash"),
    _time("verified_at", nullable=False),
)

tallies = Table(
    "tallies",
    metadata,
    _id(),
    Column("what", String(16), nullable=False),
    _text("key"),
    Column("n", BigInteger, nullable=False),
)

chart_sums = Table(
    "chart_sums",
    metadata,
    _id(),
    Column("chart", Text, nullable=False),
    Column("day", String(10), nullable=False, index=True),
    Column("n", BigInteger, nullable=False),
    Column("total", Double, nullable=False),
    Column("squares", Double, nullable=False),
    Index("ix_chart_sums_chart", "chart", "day"),
)

alarms = Table(
    "alarms",
    metadata,
    _id(),
    Column("first_day", String(10), nullable=False),
    Column("last_day", String(10), nullable=False),
    _text("charts"),
    _time("raised_at", nullable=False),
    _time("acknowledged_at"),
    _text("actor"),
    _text("action"),
    _text("note"),
    _count("new_baseline"),
)

reports = Table(
    "reports",
    metadata,
    _id(),
    _text("accession_number", index=True),
    _text("study_uid", index=True),
    _text("patient_id", index=True),
    _text("status"),
    _text("observed"),
    Column("digest", String(64), nullable=False, unique=True),
    _text("problem"),
    _text("states"),
    _text("spans"),
    _time("arrived_at", nullable=False),
    Index("ix_reports_arrived_at", "arrived_at"),
)

report_texts = Table(
    "report_texts",
    metadata,
    Column("report_id", _ID, primary_key=True, autoincrement=False),
    Column("sealed", Text, nullable=False),
    _time("kept_at", nullable=False),
    Index("ix_report_texts_kept_at", "kept_at"),
)

patient_merges = Table(
    "patient_merges",
    metadata,
    Column("prior_id", Text, primary_key=True),
    Column("surviving_id", Text, nullable=False, index=True),
    _time("merged_at", nullable=False),
)

rejections = Table(
    "rejections",
    metadata,
    Column("sop_uid", Text, primary_key=True),
    Column("reason", String(16), nullable=False),
    _text("note_uid"),
    _time("rejected_at", nullable=False),
)

second_looks = Table(
    "second_looks",
    metadata,
    _id(),
    Column("study_uid", Text, nullable=False),
    Column("finding", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    _text("actor"),
    _text("note"),
    _time("looked_at", nullable=False),
    UniqueConstraint("study_uid", "finding", name="uq_second_looks_key"),
    Index("ix_second_looks_looked_at", "looked_at"),
)

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    _time("applied_at", nullable=False),
)
