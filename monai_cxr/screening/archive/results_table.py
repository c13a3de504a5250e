"""Results table: a ledger as one parquet table with a row for each film, written in pages."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from sqlalchemy import select

from monai_cxr.atomic import write_atomically
from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.records import Film, Result, film_of, number_or_null, result_of
from monai_cxr.screening.ledger.schema import QUARANTINED, arrivals, films, quarantine, results
from monai_cxr.tables import fact_values, logit_column, probability_column, without_formula

_PAGE = 2_000
_TEXTS = (
    *("path", "patient_id", "study_uid", "series_uid", "sop_uid"),
    *("view", "sex", "manufacturer", "reason", "message", "flags"),
)


def positive_column(finding: str) -> str:
    """Name of a finding's decision at its operating point; empty without one."""
    return f"positive_{finding}"


Arrived = tuple[float, float]
"""(from, before): seconds since 1970 of the arrival."""


def write_results(
    ledger: Ledger,
    path: Path,
    findings: Sequence[str],
    *,
    with_probabilities: bool = True,
    arrived: Arrived | None = None,
) -> int:
    """Write every film and refused file once, in the order of arrival.

    Args:
        ledger: The ledger.
        path: A parquet file, made whole or not at all.
        findings: Columns; the model's findings.
        with_probabilities: Whether the model is calibrated.
        arrived: Only what came then; default: everything.

    Returns:
        The number of rows.
    """
    schema = _schema(findings, with_probabilities)
    n_rows = 0

    def write(part: Path) -> None:
        nonlocal n_rows
        with pq.ParquetWriter(part, schema) as writer:
            for rows in _pages(ledger, schema.names, arrived):
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                n_rows += len(rows)

    write_atomically(path, write, private=True)
    return n_rows


def export_results(
    ledger: Ledger, path: Path, *, since: float | None = None, until: float | None = None
) -> int:
    """Write every film with its result or its reason.

    Args:
        ledger: The ledger.
        path: A ``.parquet`` or ``.csv`` file. A spreadsheet opens a CSV file and runs what looks
            like a formula, so a text that begins like one gets an apostrophe.
        since: Only what came then or later, in seconds since 1970.
        until: Only what came before.

    Returns:
        The number of rows.

    Raises:
        SettingsError: If the suffix is neither, or the file cannot be written.
    """
    findings = _findings(ledger)
    arrived: Arrived | None = None
    if since is not None or until is not None:
        arrived = (since or 0.0, math.inf if until is None else until)
    if path.suffix == ".parquet":
        return write_results(ledger, path, findings, arrived=arrived)
    if path.suffix != ".csv":
        raise SettingsError(f"Expected an output ending in .parquet or .csv, got '{path.name}'.")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "results.parquet"
        n_rows = write_results(ledger, table, findings, arrived=arrived)

        def write(part: Path) -> None:
            source = pq.ParquetFile(table)
            with pyarrow.csv.CSVWriter(part, source.schema_arrow) as writer:
                for batch in source.iter_batches():
                    writer.write_batch(_without_formulas(batch))

        write_atomically(path, write, private=True)
    return n_rows


def _without_formulas(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [
        pa.array([None if v is None else without_formula(v) for v in column.to_pylist()])
        if pa.types.is_string(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(
        [column.cast(kept.type) for column, kept in zip(columns, batch.columns, strict=True)],
        schema=batch.schema,
    )


def _schema(findings: Sequence[str], with_probabilities: bool) -> pa.Schema:
    fields = [pa.field(name, pa.string()) for name in _TEXTS]
    fields.insert(6, pa.field("age", pa.float64()))
    fields += [pa.field(logit_column(name), pa.float64()) for name in findings]
    if with_probabilities:
        fields += [pa.field(probability_column(name), pa.float64()) for name in findings]
    fields += [pa.field(positive_column(name), pa.bool_()) for name in findings]
    return pa.schema([*fields, pa.field("model_digest", pa.string())])


def _pages(
    ledger: Ledger, columns: Collection[str], arrived: Arrived | None
) -> Iterator[list[dict[str, Any]]]:
    """New films with their results, and refused files with their reasons."""
    last = 0
    kept = arrivals.c.outcome.in_(("new", "refused", "conflict"))
    if arrived is not None:
        span = arrivals.c.arrived_at.between(*arrived) & (arrivals.c.arrived_at < arrived[1])
        with ledger.read() as connection:
            ids = list(connection.execute(select(arrivals.c.id).where(span)).scalars())
        if not ids:
            return
        last, kept = min(ids) - 1, kept & span & (arrivals.c.id <= max(ids))
    while True:
        with ledger.read() as connection:
            came = connection.execute(
                select(arrivals)
                .where(arrivals.c.id > last, kept)
                .order_by(arrivals.c.id)
                .limit(_PAGE)
            ).all()
            if not came:
                return
            last = came[-1].id
            uids = [row.sop_uid for row in came if row.outcome == "new"]
            paths = [row.path for row in came]
            query = select(films).where(films.c.sop_uid.in_(uids))
            by_uid = {row.sop_uid: film_of(row) for row in connection.execute(query)}
            query = select(results).where(results.c.sop_uid.in_(uids))
            stored = {(r.sop_uid, r.model_digest): r for r in connection.execute(query)}
            query = select(quarantine).where(quarantine.c.path.in_(paths))
            refusals = {row.path: row for row in connection.execute(query)}
        rows = []
        for row in came:
            film = by_uid.get(row.sop_uid) if row.outcome == "new" else None
            values = _arrived(row, film, refusals.get(row.path))
            if film is not None and (found := stored.get((film.key.sop_uid, film.model_digest))):
                values |= _scored(result_of(found, film), columns)
            rows.append(values)
        yield rows


def _arrived(arrival: Any, film: Film | None, refusal: Any) -> dict[str, Any]:
    """The columns of a film or file that hold without a result."""
    row: dict[str, Any] = {**dict.fromkeys(_TEXTS, ""), "model_digest": ""}
    row |= {"path": arrival.path, "sop_uid": arrival.sop_uid, "reason": arrival.reason}
    if refusal is not None and (film is None or film.state == QUARANTINED):
        row |= {"reason": refusal.reason, "message": refusal.message}
        row |= {"study_uid": refusal.study_uid, "sop_uid": refusal.sop_uid}
    if film is not None:
        row |= {**asdict(film.key), "path": film.path or arrival.path}
    return row


def _scored(result: Result, columns: Collection[str]) -> dict[str, Any]:
    """Those of ``columns`` that a result has; a number that is not known is null."""
    row = {**fact_values(result.facts), "model_digest": result.prediction.model.digest}
    for score in result.prediction.scores:
        row[logit_column(score.finding)] = number_or_null(score.logit)
        row[probability_column(score.finding)] = number_or_null(score.probability)
        row[positive_column(score.finding)] = score.positive
    return {name: value for name, value in row.items() if name in columns}


def _findings(ledger: Ledger) -> list[str]:
    newest = select(results.c.findings).order_by(results.c.id.desc()).limit(1)
    with ledger.read() as connection:
        found = connection.execute(newest).scalar_one_or_none()
    return list(found or ())
