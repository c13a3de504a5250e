"""Monitoring scale: what charts, pages, second looks and labels cost to ask of a million films.

    python benchmarks/monitoring_scale.py --films 1000000

The ledger of ``ledger_scale.py`` on SQLite, with daily sums of 60 charts, a signed report for each
study, and answers of a label audit. Each question is asked several times; the plan of each of its
statements is printed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from ledger_scale import DAY, NOW, NUMBERS, SECONDS_BETWEEN, asked, fill

from monai_cxr.monitoring.charts import DaySums
from monai_cxr.review.watching import second_look, watched
from monai_cxr.screening.ledger import Ledger, open_ledger
from monai_cxr.screening.ledger.people import label_answers, second_looks
from monai_cxr.screening.ledger.people.label_answers import LabelAnswer
from monai_cxr.screening.ledger.watching import chart_sums
from monai_cxr.screening.watching import recent_results

CHARTS, FINDINGS = 60, 14
NAMES = "[" + ",".join(f'"F{i}"' for i in range(FINDINGS)) + "]"

STATES = '{"F0": 1, "F3": 0}'


def add_monitoring(ledger: Ledger, n: int) -> None:
    """Scores for each film, a report for each study, and sums of each day."""
    at = f"({NOW} - ({n // 2} - i) * {2 * SECONDS_BETWEEN})"
    numbers = NUMBERS["sqlite"].format(n=n // 2)
    each = ",".join("printf('%.3f', abs(random() % 1000) / 1000.0)" for _ in range(FINDINGS))
    flags = ",".join("(abs(random()) % 12 = 0)" for _ in range(FINDINGS))
    with ledger.write() as connection:
        for column, values in (("probabilities", each), ("logits", each), ("positive", flags)):
            connection.exec_driver_sql(f"UPDATE results SET {column} = json_array({values})")
        connection.exec_driver_sql(f"UPDATE results SET findings = '{NAMES}'")
        connection.exec_driver_sql("UPDATE studies SET accession_number = 'A' || study_uid")
        connection.exec_driver_sql(
            "INSERT INTO reports (accession_number, digest, status, observed, states, spans, "
            f"arrived_at) {numbers} SELECT 'A1.3.' || i, 'd' || i, 'F', '20260101', "
            f"'{STATES}', '{{}}', {at} FROM numbers"
        )
        days = int(n * SECONDS_BETWEEN / DAY)
        lines = []
        for back in range(days):
            day = chart_sums.day_of(NOW - (days - back) * DAY).isoformat()
            for chart in range(CHARTS):
                one = DaySums(chart_sums.day_of(NOW), 2880, 1440.0 + (7 * back + chart) % 11, 800.0)
                lines.append((f"picture {chart:02d}", day, one.n, one.total, one.squares))
        chart_sums._insert(connection, lines)


def questions(ledger: Ledger) -> dict[str, Callable[[], object]]:
    """What the service, its pages and its readers ask."""
    count = iter(range(1, 1_000_000))
    values = {f"score F{i}": 0.5 for i in range(CHARTS)}

    def chart_update() -> None:
        with ledger.write() as connection:
            chart_sums.add(connection, values, now=NOW)

    def look() -> None:
        second_looks.add(ledger, f"1.3.{next(count)}", "F1", "confirmed", actor="Weber")

    def answer() -> None:
        said = LabelAnswer("audit", f"1.2.{next(count)}", "F1", "Weber", 1, "reader", "present")
        label_answers.add(ledger, said)

    return {
        "chart update of a film": chart_update,
        "monitoring page: charts and alarms": lambda: watched.watch(ledger),
        "monitoring page: against the newest reports": lambda: second_look.against_reports(ledger),
        "monitoring page: queue of second looks": lambda: second_look.to_look_at(ledger, 8),
        "monitoring page: results for estimates": lambda: recent_results.first_and_newest(
            ledger, limit=2_000
        ),
        "second look recorded": look,
        "outcomes of second looks": lambda: second_look.outcomes(ledger),
        "label answered": answer,
        "answers of a label audit": lambda: label_answers.of_audit(ledger, "audit"),
    }


def measured(n: int, folder: Path, repeats: int) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Milliseconds of each question (median), and the plans of its statements."""
    with open_ledger(f"sqlite:///{folder / f'{n}.sqlite'}", clock=lambda: NOW) as ledger:
        fill(ledger, n)
        add_monitoring(ledger, n)
        return asked(ledger, questions(ledger), repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--films", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        small, _ = measured(options.small, Path(name), options.repeats)
        large, plans = measured(options.films, Path(name), options.repeats)
    print(f"| question | ms at {options.small:,} films | at {options.films:,} | plan |")
    print("|---|--:|--:|---|")
    for question, took in large.items():
        steps = "; ".join(dict.fromkeys(plans[question]))
        print(f"| {question} | {small[question]:.1f} | {took:.1f} | {steps} |")


if __name__ == "__main__":
    main()
