"""Dated predictions: daily sums, drift and estimates from a predictions table with dates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.predictions.column_names import logit_columns, probability_columns
from monai_cxr.evaluation.statistics.logits import sigmoid
from monai_cxr.monitoring import chart_names
from monai_cxr.monitoring.charts import DaySums
from monai_cxr.monitoring.drift import Drift, Reference, drift, references_of
from monai_cxr.monitoring.estimated import EstimatedPerformance, estimate
from monai_cxr.tables import QUALITY_COLUMNS

DATE_COLUMNS = ("date", "day", "study_date", "acquisition_date", "predicted_at", "finished_at")
"""Columns that may hold a film's day, in this order."""

_LATEST_SECONDS = 32_503_680_000.0  # the year 3000

DAY = "day"
"""Column of days that :func:`dated` makes."""


def dated(table: pd.DataFrame, column: str = "") -> pd.DataFrame:
    """Give each film its day.

    Args:
        table: A predictions table.
        column: Its date column: ISO 8601, DICOM DA (YYYYMMDD), or seconds since 1970. Found by its
            name when empty.

    Returns:
        The table with a column ``day`` of dates, by day; films without a date are left out.

    Raises:
        InvalidTable: If there is no such column, or no date in it.
    """
    known = {str(name).casefold(): name for name in table.columns}
    named = [column] if column else [known[name] for name in DATE_COLUMNS if name in known]
    if not named or named[0] not in table:
        raise InvalidTable(
            f"The table has no column '{column or DATE_COLUMNS[0]}' of dates; name one with "
            f"--date. It has {', '.join(map(str, table.columns[:12]))}.",
            reason="missing_column",
        )
    days = _days(table[named[0]])
    if days.isna().all():
        raise InvalidTable(
            f"The column '{named[0]}' holds no date. Expected 2026-11-29 or 20261129.",
            reason="no_dates",
        )
    made = table.assign(**{DAY: days})[days.notna().to_numpy()]
    return made.sort_values(DAY, kind="stable").reset_index(drop=True)


def hours(table: pd.DataFrame, column: str = "") -> pd.Series | None:
    """The hour of the day of each film, in UTC where a zone is stated, as ``"07"``.

    Args:
        table: A predictions table.
        column: Its column of times; the first of :data:`DATE_COLUMNS` with times of day when empty.

    Returns:
        One text a film, ``""`` where its time is not known; None where no column has times of day.

    Raises:
        InvalidTable: If the named column is absent.
    """
    known = {str(name).casefold(): name for name in table.columns}
    if column and column not in table:
        raise InvalidTable(f"The table has no column '{column}' of times.", reason="missing_column")
    names = [column] if column else [known[name] for name in DATE_COLUMNS if name in known]
    for name in names:
        found = _times(table[name])
        if ((found.dt.hour > 0) | (found.dt.minute > 0)).any():
            return pd.Series(found.dt.strftime("%H").fillna(""))
    return None


def daily_sums(table: pd.DataFrame) -> dict[str, list[DaySums]]:
    """Daily sums by chart.

    Args:
        table: From :func:`dated`. ``positive_<finding>`` columns give flag rates; logits or
            probabilities give scores; quality columns give picture measures.
    """
    values: dict[str, pd.Series] = {}
    logits, probabilities = logit_columns(table), probability_columns(table)
    for name in dict.fromkeys([*logits, *probabilities]):
        flags = f"positive_{name}"
        if flags in table:
            values[chart_names.flag_rate(name)] = _numbers(table[flags])
        if name in logits:
            values[chart_names.score(name)] = _numbers(table[logits[name]])
        else:
            p = _numbers(table[probabilities[name]]).clip(1e-6, 1 - 1e-6)
            values[chart_names.score(name)] = (p / (1 - p)).map(math.log)
    for column in QUALITY_COLUMNS:
        if column in table:
            measure = column.removeprefix("quality_")
            values[chart_names.picture(measure)] = _numbers(table[column])
    values |= _of_groups(table, values)
    made = {}
    for name, one in values.items():
        kept = one[np.isfinite(one)]
        by_day = pd.DataFrame({"x": kept, "xx": kept**2}).groupby(table[DAY].loc[kept.index])
        sums = by_day.agg(n=("x", "size"), total=("x", "sum"), squares=("xx", "sum"))
        rows = zip(sums.index, sums["n"], sums["total"], sums["squares"], strict=True)
        made[name] = [DaySums(day, int(n), float(t), float(s)) for day, n, t, s in rows]
    return {name: days for name, days in made.items() if days}


def _of_groups(table: pd.DataFrame, values: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """Flags and mean gray of each maker's and each view's films, as the ledger sums them."""
    flags = [one for name, one in values.items() if name.startswith(chart_names.flag_rate(""))]
    of_all = {chart_names.FLAGS: pd.concat(flags, axis=1).sum(axis=1)} if flags else {}
    mean = chart_names.picture("mean")
    of_all |= {mean: values[mean]} if mean in values else {}
    return {
        chart_names.of_group(name, fact, str(value)): one[rows]
        for fact in chart_names.GROUPED
        if fact in table
        for value, rows in table.groupby(table[fact].fillna("").astype(str)).groups.items()
        for name, one in of_all.items()
    }


def drifts(reference: pd.DataFrame | Sequence[Reference], now: pd.DataFrame) -> tuple[Drift, ...]:
    """Hold the films of now against those of then, measure by measure.

    Args:
        reference: Films of then, or their summaries from a bundle.
        now: Films of now.
    """
    made = (
        references_of(reference, list(logit_columns(reference)))
        if isinstance(reference, pd.DataFrame)
        else reference
    )
    return tuple(drift(one, _numbers(now[one.name])) for one in made if one.name in now)


def estimates(then: pd.DataFrame, now: pd.DataFrame) -> tuple[EstimatedPerformance, ...]:
    """Estimate each finding's performance now, without labels.

    Args:
        then: Films of the baseline: their mean probability is the reference prevalence.
        now: Films of now; the lowest probability that ``positive_<finding>`` flags is taken for
            the operating point.
    """
    patients = now["patient_id"].astype(str).to_numpy() if "patient_id" in now else None
    made = []
    for name in dict.fromkeys([*probability_columns(now), *logit_columns(now)]):
        p, flags = _probabilities(now, name), f"positive_{name}"
        flagged = p[_numbers(now[flags]).to_numpy() == 1.0] if flags in now else p[:0]
        flagged = flagged[np.isfinite(flagged)]
        before = _probabilities(then, name)
        before = before[np.isfinite(before)]
        made.append(
            estimate(
                name,
                p,
                threshold=float(flagged.min()) if len(flagged) else None,
                reference_prevalence=float(before.mean()) if len(before) else None,
                reference_probabilities=before,
                patients=patients,
            )
        )
    return tuple(made)


def split_at(table: pd.DataFrame, since: date | None, baseline_days: int) -> tuple[
    pd.DataFrame, pd.DataFrame
]:  # fmt: skip
    """Films of the first so many days with films, and those after them or since a day."""
    days = sorted(set(table[DAY]))
    last = days[min(baseline_days, len(days)) - 1]
    is_now = table[DAY] > last if since is None else table[DAY] >= since
    then = table[DAY] <= last if since is None else (table[DAY] <= last) & ~is_now
    return table[then], table[is_now]


def _days(column: pd.Series) -> pd.Series:
    return pd.Series(_times(column).dt.date)


def _times(column: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column):
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    is_date = numbers.between(19_000_101, 29_991_231)  # DICOM DA
    texts = column.astype(str).str.strip().str.removesuffix(".0")
    found = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
    found = found.where(
        ~is_date, pd.to_datetime(texts.where(is_date), format="%Y%m%d", errors="coerce", utc=True)
    )
    seconds = numbers.where(numbers.between(1, _LATEST_SECONDS) & ~is_date)
    return found.where(seconds.isna(), pd.to_datetime(seconds, unit="s", utc=True))


def _numbers(column: pd.Series) -> pd.Series:
    known = {"True": 1, "False": 0}
    values = column.map(lambda value: known.get(value, value)) if column.dtype == object else column
    return pd.to_numeric(values, errors="coerce").astype("float64")


def _probabilities(table: pd.DataFrame, name: str) -> np.ndarray:
    named = probability_columns(table)
    if name in named:
        return _numbers(table[named[name]]).to_numpy()
    logits = logit_columns(table)
    if name not in logits:
        return np.full(len(table), np.nan)
    return sigmoid(_numbers(table[logits[name]]).to_numpy())
