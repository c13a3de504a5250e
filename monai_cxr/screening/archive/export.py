"""Export: the results of a ledger as a table."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
from sqlalchemy import select

from monai_cxr.errors import SettingsError
from monai_cxr.screening.archive.results_table import write_results
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.schema import results
from monai_cxr.tables import write_atomically


def export_results(ledger: Ledger, path: Path) -> int:
    """Write every film with its result or its reason.

    Args:
        ledger: The ledger.
        path: A ``.parquet`` or ``.csv`` file.

    Returns:
        The number of rows.

    Raises:
        SettingsError: If the suffix is neither, or the file cannot be written.
    """
    findings = _findings(ledger)
    if path.suffix == ".parquet":
        return write_results(ledger, path, findings)
    if path.suffix != ".csv":
        raise SettingsError(f"Expected an output ending in .parquet or .csv, got '{path.name}'.")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "results.parquet"
        n_rows = write_results(ledger, table, findings)

        def write(part: Path) -> None:
            source = pq.ParquetFile(table)
            with pyarrow.csv.CSVWriter(part, source.schema_arrow) as writer:
                for batch in source.iter_batches():
                    writer.write_batch(batch)

        write_atomically(path, write)
    return n_rows


def _findings(ledger: Ledger) -> list[str]:
    newest = select(results.c.findings).order_by(results.c.id.desc()).limit(1)
    with ledger.read() as connection:
        found = connection.execute(newest).scalar_one_or_none()
    return list(found or ())
