"""The verb monitor, as its users call it: on a ledger, on a table, and for an alarm's end."""

from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from ledger_data import finish_all, received
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.screening.ledger import arrivals, open_ledger
from monai_cxr.screening.ledger.watching import chart_sums

DAY = 86_400.0


def call(*arguments):
    result = CliRunner().invoke(app, ["monitor", *map(str, arguments)], env={"COLUMNS": "200"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def ledger_file(tmp_path, clock):
    """66 days of one kind of films, then six of another; a few real results."""
    path = tmp_path / "l.sqlite"
    generator = np.random.default_rng(0)
    clock.now = datetime.now().timestamp() - 73 * DAY
    with open_ledger(path, clock=clock) as ledger:
        for day in range(72):
            with ledger.write() as connection:
                for grey in generator.normal(0.5 + 0.2 * (day >= 66), 0.1, 20):
                    chart_sums.add(connection, {"picture mean": grey}, now=clock.now)
            clock.advance(DAY)
        for number in range(4):
            arrivals.enqueue(ledger, received(number))
        finish_all(ledger)
    return path


def test_a_ledger_is_shown_and_an_alarm_is_closed(ledger_file):
    told = json.loads(call(ledger_file, "--json").stdout)
    (alarm,) = told["alarms"]
    assert (alarm["is_open"], alarm["number"]) == (True, 1)
    assert alarm["charts"] == [{"chart": "picture mean", "direction": "up"}]
    said = call(ledger_file).stdout
    assert "picture mean" in said
    assert "a baseline needs 400 films" in said  # charts that have just begun
    wanted = ["acknowledge", ledger_file, 1, "--by", "Dr. Weber", "--action", "grid changed"]
    assert call(*wanted).exit_code == 0
    again = json.loads(call("show", ledger_file, "--json").stdout)
    (closed,) = again["alarms"]  # the same days do not raise it again
    assert closed["by"] == "Dr. Weber"
    assert not closed["is_open"]
    with pytest.raises(Exception, match="no open alarm 1"):
        call(*wanted)


def test_a_table_is_shown(tmp_path):
    generator = np.random.default_rng(1)
    days = np.repeat(np.arange(90), 30)
    logit = generator.normal(-2, 1, len(days)) + (days >= 80)
    dates = (pd.Timestamp("2026-01-05") + pd.to_timedelta(days, "D")).strftime("%Y%m%d")
    table = pd.DataFrame({"taken": dates, "logit_Mass": logit})
    table.to_csv(tmp_path / "p.csv", index=False)
    told = json.loads(call(tmp_path / "p.csv", "--date", "taken", "--json").stdout)
    assert [one["chart"] for one in told["alarms"][0]["charts"]] == ["score Mass"]
    assert told["drift"][0]["name"] == "logit_Mass"
    since = call(tmp_path / "p.csv", "--date", "taken", "--since", "2026-03-26", "--json").stdout
    assert json.loads(since)["n_films"] == 300
    with pytest.raises(Exception, match="--date"):
        call(tmp_path / "p.csv")


def test_makers_and_views_have_charts_and_a_darker_maker_is_named(tmp_path):
    generator = np.random.default_rng(2)
    days = np.repeat(np.arange(90), 24)
    maker = np.where(np.arange(len(days)) % 2, "Fuji", "Canon")
    table = pd.DataFrame(
        {
            "patient_id": np.arange(len(days)) // 2,
            "date": (pd.Timestamp("2026-01-05") + pd.to_timedelta(days, "D")).strftime("%Y-%m-%d"),
            "manufacturer": maker,
            "logit_Mass": generator.normal(-2, 1, len(days)),
            "positive_Mass": generator.random(len(days)) < 0.1,
            "quality_mean": generator.normal(0.5, 0.1, len(days))
            - 0.2 * ((days >= 80) & (maker == "Fuji")),
        }
    )
    table.to_parquet(tmp_path / "p.parquet")
    told = json.loads(call("--since", "2026-03-26", tmp_path / "p.parquet", "--json").stdout)
    names = {one["name"] for one in told["charts"]}
    assert {"flags (manufacturer Fuji)", "picture mean (manufacturer Canon)"} <= names
    (alarm,) = told["alarms"]
    charts = {(one["chart"], one["direction"]) for one in alarm["charts"]}
    assert ("picture mean (manufacturer Fuji)", "down") in charts
    assert not any("Canon" in name for name, _ in charts)
    assert told["changed"]["sentences"][0].startswith("Films of manufacturer Fuji")
    assert "Films of manufacturer Fuji" in call(tmp_path / "p.parquet").stdout


def test_a_budget_sets_thresholds_and_is_checked(tmp_path):
    generator = np.random.default_rng(3)
    n = 2000
    probability = generator.beta(1, 6, n)
    table = pd.DataFrame(
        {
            "sop_uid": [f"1.{i}" for i in range(n)],
            "patient_id": np.arange(n).astype(str),
            "view": np.where(generator.random(n) < 0.5, "PA", "AP"),
            "predicted_at": 1.767e9
            + 86_400.0 * (np.arange(n) // 100)
            + 3600.0 * (np.arange(n) % 3),
            "probability_Mass": probability,
            "label_Mass": (generator.random(n) < probability).astype(float),
        }
    )
    table[:1000].to_parquet(tmp_path / "then.parquet")
    table[1000:].to_parquet(tmp_path / "now.parquet")
    wanted = ["--false-alarms", 2, "--films", 50]
    rules, later = tmp_path / "rules.json", ["--check", tmp_path / "now.parquet", "--json"]
    said = call("budget", tmp_path / "then.parquet", *wanted, "--out", rules, *later)
    told = json.loads(said.stdout)
    (one,) = told["thresholds"]
    assert 1.5 < one["false_alarms"]["estimate"] <= 2.0
    assert sum(told["by_group"]["view"].values()) == pytest.approx(one["false_alarms"]["estimate"])
    assert told["check"][0]["kept"]
    # 100 films a day in three hours: as many false alarms as in two shifts of 50.
    assert len(told["by_hour"]) == 3
    assert sum(told["by_hour"].values()) == pytest.approx(2 * one["false_alarms"]["estimate"])
    half = call("budget", tmp_path / "then.parquet", *wanted, "--films-a-day", 50, "--json")
    by_hour = json.loads(half.stdout)["by_hour"]
    assert sum(by_hour.values()) == pytest.approx(one["false_alarms"]["estimate"])
    assert "by hour of the day" in call("budget", tmp_path / "then.parquet", *wanted).stdout
    (point,) = json.loads(rules.read_text())["points"]
    assert point["threshold"] == one["threshold"]
    with pytest.raises(Exception, match="above 0"):
        call("budget", tmp_path / "then.parquet", "--false-alarms", 0, "--films", 50)


def test_what_is_not_there_is_not_made(tmp_path):
    with pytest.raises(Exception, match=r"no ledger 'none\.sqlite'"):
        call(tmp_path / "none.sqlite")
    assert list(tmp_path.iterdir()) == []
