"""Tables of people: what readers, radiologists and second looks say."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Integer, String, Table, Text, UniqueConstraint

from monai_cxr.screening.ledger.columns import ID_TYPE, metadata, row_id, text_column, time_column

reviews = Table(
    "reviews",
    metadata,
    row_id(),
    Column("sop_uid", Text, nullable=False),
    text_column("study_uid", index=True),
    Column("finding", Text, nullable=False),
    Column("model_digest", Text, nullable=False),
    Column("label_agrees", Integer),
    Column("location_agrees", Integer),
    Column("corrected_label", Integer),
    text_column("note"),
    Column("reader", Text, nullable=False),
    Column("seconds_to_read", Double),
    time_column("reviewed_at", nullable=False),
    Column("uncertain", Integer),
    Column("finished", Integer),
    Column("score_seen", Integer),
    Column("probability", Double),
    text_column("seen"),
    text_column("marks"),
    Index("ix_reviews_film", "sop_uid", "finding"),
)


label_answers = Table(
    "label_answers",
    metadata,
    row_id(),
    Column("audit", String(16), nullable=False),
    Column("sop_uid", Text, nullable=False),
    Column("finding", Text, nullable=False),
    Column("reader", Text, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    text_column("answer"),
    text_column("film_sha256"),
    Column("seconds", Double),
    time_column("answered_at", nullable=False),
    UniqueConstraint(
        *("audit", "sop_uid", "finding", "reader", "turn"), name="uq_label_answers_key"
    ),
)


reports = Table(
    "reports",
    metadata,
    row_id(),
    text_column("accession_number", index=True),
    text_column("study_uid", index=True),
    text_column("patient_id", index=True),
    text_column("status"),
    text_column("observed"),
    Column("digest", String(64), nullable=False, unique=True),
    text_column("problem"),
    text_column("states"),
    text_column("spans"),
    time_column("arrived_at", nullable=False),
    Index("ix_reports_arrived_at", "arrived_at"),
)


second_looks = Table(
    "second_looks",
    metadata,
    row_id(),
    Column("study_uid", Text, nullable=False),
    Column("finding", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    text_column("actor"),
    text_column("note"),
    time_column("looked_at", nullable=False),
    UniqueConstraint("study_uid", "finding", name="uq_second_looks_key"),
    Index("ix_second_looks_looked_at", "looked_at"),
)


report_texts = Table(
    "report_texts",
    metadata,
    Column("report_id", ID_TYPE, primary_key=True, autoincrement=False),
    Column("sealed", Text, nullable=False),
    time_column("kept_at", nullable=False),
    Index("ix_report_texts_kept_at", "kept_at"),
)
