"""Tables of watching: counts, sums by day, and alarms."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, Index, String, Table, Text

from monai_cxr.screening.ledger.columns import (
    count_column,
    metadata,
    row_id,
    text_column,
    time_column,
)

tallies = Table(
    "tallies",
    metadata,
    row_id(),
    Column("what", String(16), nullable=False),
    text_column("key"),
    Column("n", BigInteger, nullable=False),
)


chart_sums = Table(
    "chart_sums",
    metadata,
    row_id(),
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
    row_id(),
    Column("first_day", String(10), nullable=False),
    Column("last_day", String(10), nullable=False),
    text_column("charts"),
    time_column("raised_at", nullable=False),
    time_column("acknowledged_at"),
    text_column("actor"),
    text_column("action"),
    text_column("note"),
    count_column("new_baseline"),
)
