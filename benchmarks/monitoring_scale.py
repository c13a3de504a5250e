"""Monitoring scale: what charts, pages, periods and labels cost to ask of years of films.

    python benchmarks/monitoring_scale.py --films 400000

The ledger of ``ledger_scale.py`` on SQLite and, where it is installed, on PostgreSQL, with a film
every five minutes (105,000 a year), daily sums of 60 charts, a signed report for each study, and
answers of a label audit. Each question is asked several times, of the small and the large ledger in
turn; the plan of each of its statements is printed, and the most memory that Python took.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from ledger_scale import DAY, NOW, NUMBERS, engines, fill, plans_of

from monai_cxr.monitoring.charts import DaySums
from monai_cxr.review.watching import second_look, watched
from monai_cxr.screening.ledger import Ledger, open_ledger
from monai_cxr.screening.ledger.people import label_answers, second_looks
from monai_cxr.screening.ledger.people.label_answers import LabelAnswer
from monai_cxr.screening.ledger.watching import chart_sums
from monai_cxr.screening.watching import agreement, recent_results
from monai_cxr.screening.watching.surveillance import surveillance

CHARTS, FINDINGS = 60, 14
SECONDS_BETWEEN = 300.0
NAMES = "[" + ",".join(f'"F{i}"' for i in range(FINDINGS)) + "]"
RANDOM = {
    "sqlite": ("json_array", "abs(random() % 1000) / 1000.0", "(abs(random()) % 12 = 0)"),
    "postgresql": ("json_build_array", "round(random()::numeric, 3)", "(random() < 1 / 12.0)"),
}
"""How each engine makes an array, a score and a flag."""

STATES = '{"F0": 1, "F3": 0}'


def add_monitoring(ledger: Ledger, n: int) -> None:
    """Scores for each film, a report for each study, and sums of each day."""
    at = f"({NOW} - ({n // 2} - i) * {2 * SECONDS_BETWEEN})"
    dialect = "sqlite" if ledger.is_sqlite else "postgresql"
    numbers = NUMBERS[dialect].format(n=n // 2)
    array, score, flag = RANDOM[dialect]
    scores, flags = (f"{array}({','.join([one] * FINDINGS)})" for one in (score, flag))
    with ledger.write() as connection:
        connection.exec_driver_sql(
            f"UPDATE results SET probabilities = {scores}, logits = {scores}, positive = {flags}, "
            f"findings = '{NAMES}'"
        )
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


def of_a_month(ledger: Ledger) -> dict[str, Callable[[], object]]:
    """What is asked of the last 30 days, whatever came before."""
    since = NOW - 30 * DAY
    first, last = (chart_sums.day_of(NOW - days * DAY) for days in (31, 1))
    return {
        "a month: monitor concordance": lambda: agreement.side_by_side(ledger, since=since),
        "a month: monitor second-look": lambda: agreement.queue(ledger, since=since),
        "a month: surveillance": lambda: surveillance(ledger, first, last),
    }


Asked = dict[str, Callable[[], object]]


def milliseconds(small: Asked, large: Asked, repeats: int) -> dict[str, tuple[float, float]]:
    """Median of each question, asked of both ledgers in turn."""
    found = {}
    for name in large:
        spans: tuple[list[float], list[float]] = ([], [])
        for number in range(repeats + 1):
            for asked, into in zip((small[name], large[name]), spans, strict=True):
                began = time.perf_counter()
                asked()
                if number:  # the first one warms up
                    into.append(1_000 * (time.perf_counter() - began))
        found[name] = (statistics.median(spans[0]), statistics.median(spans[1]))
    return found


def peak_mib(ask: Callable[[], object]) -> float:
    """The most memory that Python took for an answer."""
    tracemalloc.start()
    ask()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def written(url: str, n: int) -> Ledger:
    """A ledger of so many films."""
    ledger = open_ledger(url, clock=lambda: NOW)
    fill(ledger, n, seconds_between=SECONDS_BETWEEN)
    add_monitoring(ledger, n)
    if not ledger.is_sqlite:
        with ledger.write() as connection:
            connection.exec_driver_sql("ANALYZE")
    return ledger


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--films", type=int, default=400_000)
    parser.add_argument("--small", type=int, default=40_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    sizes = (options.small, options.films)
    with tempfile.TemporaryDirectory() as name, engines(Path(name)) as places:
        for kind, place in places.items():
            with contextlib.ExitStack() as stack:
                both = [stack.enter_context(written(place(n), n)) for n in sizes]
                show(kind, both, sizes, options.repeats)


def show(kind: str, both: list[Ledger], sizes: tuple[int, int], repeats: int) -> None:
    """Print what the questions cost on one engine."""
    small, large = (questions(one) | of_a_month(one) for one in both)
    took = milliseconds(small, large, repeats)
    print(f"\n| {kind} | ms at {sizes[0]:,} films | at {sizes[1]:,} | ratio | MiB | MiB | plan |")
    print("|---|--:|--:|--:|--:|--:|---|")
    for question, (few, many) in took.items():
        plans: list[str] = []
        with plans_of(both[1], plans):
            large[question]()
        peaks = " | ".join(f"{peak_mib(one[question]):.1f}" for one in (small, large))
        steps = "; ".join(dict.fromkeys(plans))[:600]
        print(
            f"| {question} | {few:.1f} | {many:.1f} | {many / few:.2f} | {peaks} | {steps} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
