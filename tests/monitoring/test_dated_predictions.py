"""Dated predictions: the same sums as pandas gives, whatever the spelling of a day."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from monai_cxr.errors import InvalidTable
from monai_cxr.monitoring.charts import alarms, charts
from monai_cxr.monitoring.dated_predictions import (
    DAY,
    daily_sums,
    dated,
    drifts,
    estimates,
    split_at,
)


def films(n_days=100, a_day=40, *, broken_from=10**9, seed=0):
    generator = np.random.default_rng(seed)
    day = np.repeat(np.arange(n_days), a_day)
    logit = generator.normal(-2.0, 1.5, len(day)) + np.where(day >= broken_from, 1.0, 0.0)
    probability = 1 / (1 + np.exp(-logit))
    return pd.DataFrame(
        {
            "study_date": (pd.Timestamp("2026-01-05") + pd.to_timedelta(day, "D")).strftime("%F"),
            "patient_id": [f"P{i // 2}" for i in range(len(day))],
            "logit_Effusion": logit,
            "probability_Effusion": probability,
            "positive_Effusion": probability >= 0.5,
            "quality_mean": generator.normal(0.5, 0.1, len(day)),
        }
    )


@pytest.mark.parametrize(
    "spelled",
    [
        lambda days: days,
        lambda days: days.str.replace("-", ""),
        lambda days: days.str.replace("-", "").astype(int),
        lambda days: days.str.replace("-", "").astype(float),
        lambda days: days + "T23:30:00",
        lambda days: days + "T23:30:00Z",
        lambda days: pd.to_datetime(days),
        lambda days: pd.to_datetime(days).astype("datetime64[s]").astype("int64") + 80_000.5,
    ],
)
def test_a_day_is_read_however_it_is_spelled(spelled):
    table = films(3, 5)
    days = list(dated(table.assign(study_date=spelled(table["study_date"])))[DAY])
    assert days == [date(2026, 1, 5)] * 5 + [date(2026, 1, 6)] * 5 + [date(2026, 1, 7)] * 5


def test_sums_are_those_of_pandas():
    table = dated(films(4, 7)).assign(quality_mean=lambda t: t["quality_mean"].where(t.index != 3))
    made = daily_sums(table)
    for chart, column in (
        ("score Effusion", "logit_Effusion"),
        ("flag_rate Effusion", "positive_Effusion"),
        ("picture mean", "quality_mean"),
    ):
        expected = table.groupby(DAY)[column].agg(["count", "sum"])
        assert [one.n for one in made[chart]] == list(expected["count"])
        assert [one.total for one in made[chart]] == pytest.approx(list(expected["sum"]))


def test_a_shift_is_found_and_estimates_fall_silent():
    table = dated(films(100, broken_from=80))
    (alarm,) = alarms(charts(daily_sums(table)))
    assert date(2026, 3, 26) <= alarm.first <= date(2026, 4, 1)
    assert {name for name, _ in alarm.charts} == {"score Effusion", "flag_rate Effusion"}
    then, now = split_at(table, date(2026, 3, 26), 60)
    assert [one.differs for one in drifts(then, now)] == [True, False]
    (said,) = estimates(then, now)
    assert "prevalence seems to have changed" in said.reason
    (quiet,) = estimates(*split_at(dated(films(100)), None, 60))
    assert quiet.reason == ""
    assert quiet.auroc.low < quiet.auroc.estimate < quiet.auroc.high


def test_a_table_without_dates_says_which_columns_it_has():
    table = films(2, 2).drop(columns="study_date")
    with pytest.raises(InvalidTable, match=r"--date\. It has patient_id"):
        dated(table)
    with pytest.raises(InvalidTable, match="no date"):
        dated(table.assign(date="soon"))
    kept = dated(table.assign(date=["2026-01-01", "", None, "32.13.2026"]))
    assert len(kept) == 1
