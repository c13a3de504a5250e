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
    String,
    Table,
    Text,
    UniqueConstraint,
)

from monai_cxr.screening.ledger.columns import (
    ID_TYPE,
    count_column,
    partial_index,
    row_id,
    text_column,
    time_column,
)
from monai_cxr.screening.ledger.columns import metadata as metadata
from monai_cxr.screening.ledger.people.tables import label_answers as label_answers
from monai_cxr.screening.ledger.people.tables import report_texts as report_texts
from monai_cxr.screening.ledger.people.tables import reports as reports
from monai_cxr.screening.ledger.people.tables import reviews as reviews
from monai_cxr.screening.ledger.people.tables import second_looks as second_looks
from monai_cxr.screening.ledger.watching.tables import alarms as alarms
from monai_cxr.screening.ledger.watching.tables import chart_sums as chart_sums
from monai_cxr.screening.ledger.watching.tables import tallies as tallies

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


def values_of(row: Any, names: Iterable[str]) -> dict[str, Any]:
    """Columns of a row, or attributes of a value, by their names."""
    return {name: getattr(row, name) for name in names}


films = Table(
    "films",
    metadata,
    row_id(),
    Column("sop_uid", Text, nullable=False, unique=True),
    text_column("study_uid", index=True),
    text_column("series_uid"),
    text_column("patient_id", index=True),
    text_column("path", index=True),
    text_column("pixel_sha256"),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    text_column("sop_class_uid"),
    text_column("modality"),
    text_column("study_date"),
    text_column("accession_number"),
    text_column("source"),
    text_column("calling_ae"),
    Column("priority", String(16), nullable=False),
    time_column("rank", nullable=False),
    Column("state", String(16), nullable=False),
    text_column("reason"),
    count_column("attempts"),
    time_column("available_at", nullable=False),
    text_column("lease_owner", index=True),
    time_column("lease_until"),
    time_column("received_at", nullable=False),
    time_column("finished_at"),
    text_column("model_digest"),
    Index("ix_films_queue", "state", "rank"),
    Index("ix_films_age", "state", "received_at"),
    Index("ix_films_model", "state", "model_digest"),
    partial_index("ix_films_spooled", "finished_at", "path <> ''"),
)

arrivals = Table(
    "arrivals",
    metadata,
    row_id(),
    text_column("sop_uid"),
    text_column("path", index=True),
    text_column("source"),
    text_column("calling_ae"),
    Column("outcome", String(16), nullable=False, index=True),
    text_column("reason"),
    time_column("arrived_at", nullable=False),
    Index("ix_arrivals_sop_uid", "sop_uid"),
    Index("ix_arrivals_arrived_at", "arrived_at"),
)

results = Table(
    "results",
    metadata,
    row_id(),
    Column("sop_uid", Text, nullable=False),
    text_column("study_uid", index=True),
    Column("model_digest", Text, nullable=False),
    text_column("model_name"),
    text_column("model_version"),
    text_column("runtime"),
    Column("findings", JSON, nullable=False),
    Column("logits", JSON, nullable=False),
    Column("probabilities", JSON, nullable=False),
    Column("positive", JSON, nullable=False),
    Column("flags", JSON, nullable=False),
    Column("quality", JSON, nullable=False),
    text_column("view"),
    text_column("sex"),
    Column("age", Double),
    text_column("manufacturer"),
    time_column("predicted_at", nullable=False),
    UniqueConstraint("sop_uid", "model_digest", name="uq_results_key"),
    Index("ix_results_model", "model_digest", "predicted_at"),
)

outbox = Table(
    "outbox",
    metadata,
    row_id(),
    Column("kind", String(16), nullable=False),
    Column("destination", Text, nullable=False),
    Column("sop_uid", Text, nullable=False),
    text_column("study_uid", index=True),
    Column("model_digest", Text, nullable=False),
    Column("state", String(16), nullable=False),
    count_column("attempts"),
    time_column("available_at", nullable=False),
    text_column("lease_owner"),
    time_column("lease_until"),
    text_column("last_status"),
    text_column("last_error"),
    text_column("object_uid", index=True),
    time_column("created_at", nullable=False),
    time_column("delivered_at"),
    count_column("unanswered"),
    time_column("tried_since"),
    text_column("object_class"),
    text_column("object_series"),
    Column("message", LargeBinary),
    UniqueConstraint("kind", "destination", "sop_uid", "model_digest", name="uq_outbox_key"),
    Index("ix_outbox_queue", "state", "available_at"),
    Index("ix_outbox_due", "destination", "state", "available_at"),
    Index("ix_outbox_age", "state", "created_at"),
    Index("ix_outbox_sop_uid", "sop_uid"),
    partial_index("ix_outbox_leased", "lease_owner", "lease_owner <> ''"),
)

quarantine = Table(
    "quarantine",
    metadata,
    row_id(),
    Column("film_id", ID_TYPE, index=True),
    text_column("sop_uid"),
    text_column("study_uid", index=True),
    text_column("path", index=True),
    Column("reason", String(64), nullable=False, index=True),
    text_column("message"),
    text_column("source"),
    text_column("calling_ae"),
    time_column("quarantined_at", nullable=False),
    time_column("resolved_at"),
    text_column("resolution"),
    time_column("file_deleted_at"),
    Index("ix_quarantine_sop_uid", "sop_uid"),
    partial_index("ix_quarantine_open", "id", "resolved_at IS NULL"),
    partial_index("ix_quarantine_files", "id", "file_deleted_at IS NULL AND path <> ''"),
)

studies = Table(
    "studies",
    metadata,
    Column("study_uid", Text, primary_key=True),
    text_column("patient_id", index=True),
    text_column("accession_number", index=True),
    text_column("study_date"),
    Column("status", String(16), nullable=False, server_default="waiting"),
    count_column("n_films"),
    count_column("n_scored"),
    count_column("n_quarantined"),
    count_column("n_open"),
    text_column("positive"),
    Column("urgency", Integer, nullable=False, server_default="4"),
    Column("max_probability", Double),
    time_column("rank"),
    time_column("first_received_at"),
    time_column("last_received_at"),
    time_column("finished_at"),
    Column("is_open", Integer, nullable=False, server_default="1"),
    time_column("opened_at"),
    count_column("version"),
    count_column("n_reviews"),
    time_column("last_review_at"),
    Index("ix_studies_list", "status", "urgency", "rank"),
    Index("ix_studies_open", "is_open", "last_received_at"),
    Index("ix_studies_received", "last_received_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    time_column("at", nullable=False),
    text_column("actor"),
    text_column("action"),
    text_column("subject", index=True),
    text_column("detail"),
    text_column("previous"),
    text_column("hash"),
    Index("ix_audit_at", "at", "id"),
)

cursors = Table(
    "cursors",
    metadata,
    Column("name", Text, primary_key=True),
    text_column("value"),
    time_column("updated_at", nullable=False),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("entry_id", BigInteger, primary_key=True, autoincrement=False),
    text_column("hash"),
    time_column("verified_at", nullable=False),
)


patient_merges = Table(
    "patient_merges",
    metadata,
    Column("prior_id", Text, primary_key=True),
    Column("surviving_id", Text, nullable=False, index=True),
    time_column("merged_at", nullable=False),
)

rejections = Table(
    "rejections",
    metadata,
    Column("sop_uid", Text, primary_key=True),
    Column("reason", String(16), nullable=False),
    text_column("note_uid"),
    time_column("rejected_at", nullable=False),
)

schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    time_column("applied_at", nullable=False),
)
