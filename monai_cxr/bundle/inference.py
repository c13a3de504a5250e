"""Inference: many files or an index to the predictions table; bad inputs get a reason code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cxr.bundle.model import BundleModel
from monai_cxr.data.folder import film_paths
from monai_cxr.errors import InputError, InvalidTable
from monai_cxr.radiograph import Radiograph
from monai_cxr.tables import (
    FACT_COLUMNS,
    KEY_COLUMNS,
    QUALITY_COLUMNS,
    label_column,
    logit_column,
    normalise_index,
    probability_column,
    quality_values,
    read_table,
)

_TABLE_SUFFIXES = (".parquet", ".csv")


def input_table(inputs: Sequence[Path], findings: Sequence[str]) -> pd.DataFrame:
    """What a user named, as rows with a ``path``: files, folders, or index tables.

    Args:
        inputs: Files, folders (searched with their subfolders) or index tables.
        findings: Labels to keep from an index.

    Raises:
        InvalidTable: If a named input is absent, or there is no film at all.
    """
    parts: list[pd.DataFrame] = []
    for entry in inputs:
        if entry.suffix in _TABLE_SUFFIXES and entry.is_file():
            parts.append(normalise_index(read_table(entry), findings))
        elif entry.is_dir():
            parts.append(pd.DataFrame({"path": [str(path) for path in film_paths(entry)]}))
        elif entry.is_file():
            parts.append(pd.DataFrame({"path": [str(entry)]}))
        else:
            raise InvalidTable(
                f"The input '{entry.name}' does not exist. Name films, folders or an index.",
                reason="missing_file",
            )
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"path": []})
    if table.empty:
        raise InvalidTable(
            "No film found in the inputs. Expected DICOM, PNG, JPEG, TIFF or NIfTI files.",
            reason="no_images",
        )
    return table.drop_duplicates("path", ignore_index=True)


def predict_table(
    model: BundleModel,
    inputs: pd.DataFrame,
    *,
    batch_size: int = 8,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Predict every input; one row each, in order.

    Args:
        model: The model.
        inputs: Rows with a ``path``, and whatever an index adds.
        batch_size: Films at a time.
        workers: Threads that read ahead.
        progress: Called with (done, total).

    Returns:
        ``path``, the key and facts, ``reason`` (empty where the film was read, else a stable
        code), ``message``, ``flags``, ``quality_*`` (NaN where it was not read), ``logit_*``,
        ``probability_*`` (only when calibrated), ``label_*`` (only from an index),
        ``model_digest``.
    """
    rows: list[dict[str, object]] = []
    read = _read_ahead(model.read, [Path(path) for path in inputs["path"]], workers)
    while batch := list(islice(read, batch_size)):
        films = [film for film in batch if isinstance(film, Radiograph)]
        logits = iter(
            model.logits(np.stack([model.prepare(film) for film in films])) if films else ()
        )
        for film in batch:
            if isinstance(film, Radiograph):
                rows.append(_facts(film) | _scores(model, next(logits)))
            else:
                rows.append({"reason": film.reason, "message": str(film)})
        if progress is not None:
            progress(len(rows), len(inputs))
    return _assemble(model, inputs, pd.DataFrame(rows))


def _read_ahead(
    read: Callable[[Path], Radiograph], paths: Sequence[Path], workers: int
) -> Iterator[Radiograph | InputError]:
    """Read in threads, at most four films a worker ahead of the model."""

    def attempt(path: Path) -> Radiograph | InputError:
        try:
            return read(path)
        except InputError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        waiting: list[Future[Radiograph | InputError]] = []
        for path in paths:
            waiting.append(pool.submit(attempt, path))
            if len(waiting) >= 4 * workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _facts(film: Radiograph) -> dict[str, object]:
    return {
        "patient_id": film.key.patient_id,
        "study_uid": film.key.study_uid,
        "series_uid": film.key.series_uid,
        "sop_uid": film.key.sop_uid,
        "view": film.view.value,
        "age": film.patient_age_years,
        "sex": film.patient_sex,
        "manufacturer": film.manufacturer,
        "reason": "",
        "message": "",
        "flags": ";".join(film.flags),
        **quality_values(film.quality),
    }


def _scores(
    model: BundleModel, logits: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> dict[str, object]:
    names = [logit_column(finding) for finding in model.findings]
    row: dict[str, object] = dict(zip(names, logits.tolist(), strict=True))
    if model.calibrator is not None:
        names = [probability_column(finding) for finding in model.findings]
        row |= dict(zip(names, model.probabilities(logits[None])[0].tolist(), strict=True))
    return row


def _assemble(model: BundleModel, inputs: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Columns in order; what an index states of identity and facts goes before the header's."""
    columns: dict[str, object] = {"path": inputs["path"]}
    for name in (*KEY_COLUMNS, *FACT_COLUMNS, "split"):
        own = inputs[name].where(inputs[name] != "") if name in inputs else None
        read = found[name] if name in found else pd.Series([None] * len(found), dtype=object)
        value = read if own is None else own.where(own.notna(), read)
        numeric = name in ("age", "follow_up")
        columns[name] = pd.to_numeric(value) if numeric else value.fillna("").astype(str)
    for name in ("reason", "message", "flags"):
        columns[name] = found[name].fillna("") if name in found else ""
    for name in QUALITY_COLUMNS:
        columns[name] = found.get(name, np.nan)
    kinds = [logit_column] + ([probability_column] if model.calibrator is not None else [])
    for column in kinds:
        for finding in model.findings:
            name = column(finding)
            columns[name] = found.get(name, np.nan)
    for finding in model.findings:
        if finding in inputs and inputs[finding].notna().any():
            columns[label_column(finding)] = inputs[finding]
    columns["model_digest"] = model.identity.digest
    return pd.DataFrame(columns)
