"""Watched: the charts of a ledger as answers, second looks, and what the model's word changes."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from ledger_data import facts, finish_all, prediction, received

from monai_cxr.review.watching import watched
from monai_cxr.review.watching.anchoring import anchoring
from monai_cxr.screening.ledger import arrivals, jobs, open_ledger
from monai_cxr.screening.ledger.people.reviews import ReviewRow
from monai_cxr.screening.ledger.records import Outcome
from monai_cxr.screening.ledger.watching import alarms, chart_sums
from monai_cxr.screening.watching.model_spans import model_spans

DAY = 86_400.0


class _Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return _Clock(datetime(2026, 1, 5).timestamp())


@pytest.fixture
def ledger(tmp_path, clock):
    with open_ledger(tmp_path / "l.sqlite", clock=clock) as opened:
        yield opened


def run_days(ledger, clock, n, *, level=0.5):
    generator = np.random.default_rng(int(clock.now))
    for _ in range(n):
        with ledger.write() as connection:
            for gray in generator.normal(level, 0.1, 20):
                chart_sums.add(connection, {"picture mean": gray}, now=clock.now)
        clock.now += DAY


def test_it_says_how_many_films_are_needed_then_yes_then_look(ledger, clock):
    said = watched.same_films(watched.watch(ledger))
    assert said.state == watched.UNKNOWN
    assert "400 films on 21 days" in said.words
    run_days(ledger, clock, 9)
    said = watched.same_films(watched.watch(ledger))
    assert said.words == (
        "Not known yet: so far 180 films on 9 days; a baseline needs 400 films on 21 days."
    )
    run_days(ledger, clock, 60)
    seen = watched.watch(ledger)
    said = watched.same_films(seen)
    assert (said.state, said.words) == (
        watched.WELL,
        "Yes: the one chart is not beyond its limit on 9 days since 6 Mar 2026.",
    )
    assert watched.nearness(seen.charts)[0]["chart"] == "Mean brightness"
    run_days(ledger, clock, 8, level=0.75)
    seen = watched.watch(ledger)
    said = watched.same_films(seen)
    assert said.state == watched.LOOK
    assert "1 alarm is open" in said.words
    assert "Mean brightness is too high" in said.words
    assert watched.chart_lines(seen.charts[0])[-1]["alarm"]
    alarms.acknowledge(ledger, 1, actor="Dr. Weber", action="grid changed", new_baseline=True)
    seen = watched.watch(ledger)
    assert "open" not in watched.same_films(seen).words
    (row,) = watched.alarm_rows(seen.alarms)
    assert (row["Done"], row["By"]) == ("grid changed, new baseline", "Dr. Weber")
    assert [one.words for one in watched.changes(seen)] == ["grid changed (Dr. Weber)"]


def test_charts_have_names_for_people():
    names = {
        "flag_rate Mass": "Mass, share flagged",
        "picture mean (manufacturer ACME)": "Mean brightness (manufacturer ACME)",
        "flags (view PA)": "Findings flagged on a film (view PA)",
        "turnaround": "Turnaround",
    }
    assert {name: watched.chart_words(name) for name in names} == names


def test_models_are_told_from_when_to_when(ledger, clock):
    from monai_cxr.prediction import ModelIdentity

    assert model_spans(ledger) == ()
    for number in range(3):
        arrivals.enqueue(ledger, received(number))
    finish_all(ledger)
    clock.now += 5 * DAY
    newer = ModelIdentity("newer", "2.0", "e" * 64)
    for number in range(3, 5):
        arrivals.enqueue(ledger, received(number))
    for film in jobs.lease(ledger, "w", 8):
        jobs.finish(
            ledger, "w", [Outcome(film.id, prediction(film, model=newer), facts=facts(film))]
        )
    first, second = model_spans(ledger)
    assert (first.name, first.version, first.digest, first.n) == ("test", "1.0", "d" * 64, 3)
    assert (second.name, second.n) == ("newer", 2)
    assert second.first_at == second.last_at == first.last_at + 5 * DAY


def word(study, *, seen, label, probability=0.9, reader="anna"):
    return ReviewRow(
        f"{study}.1", study, "Mass", reader, "d", corrected_label=label, score_seen=seen,
        probability=probability,
    )  # fmt: skip


def test_before_and_after_the_model_s_word():
    rows = [
        word("1", seen=False, label=0),
        word("1", seen=True, label=1),  # a change of mind
        word("2", seen=False, label=1),
        word("3", seen=False, label=0, probability=0.1),
        word("4", seen=True, label=1),
        word("5", seen=None, label=1),
    ]
    made = anchoring(rows, {"Mass": 0.5})
    assert (made.n_first, made.n_changed) == (3, 1)
    assert made.changed.low < 1 / 3 < made.changed.high
    assert (made.agreed_unseen, made.agreed_seen) == ((2, 3), (1, 1))
    nothing = anchoring([], {})
    assert (nothing.n_first, nothing.agreed_seen) == (0, (0, 0))
