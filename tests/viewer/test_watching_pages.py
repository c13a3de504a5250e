"""Monitoring, model and audit pages on a ledger and a registry: answers, alarms, history."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from ledger_data import finish_all, many_results, received
from streamlit.testing.v1 import AppTest

from clinical_app.service import Service, configure
from clinical_app.settings import ViewerSettings
from monai_cxr.labels.lexicon import read_lexicon
from monai_cxr.lifecycle.promotion import adopt
from monai_cxr.lifecycle.registry import REGISTRY_NAME, open_registry
from monai_cxr.review.ledger_cases import LedgerCases
from monai_cxr.review.ledger_store import LedgerStore
from monai_cxr.review.watching.model_history import history_rows, in_use, registry_of
from monai_cxr.screening.ledger import arrivals, open_ledger
from monai_cxr.screening.ledger.people import second_looks
from monai_cxr.screening.ledger.watching import alarms, chart_sums
from monai_cxr.screening.watching import agreement

DAY = 86_400.0


class _Clock:
    now = datetime(2026, 1, 5, 12).timestamp()

    def __call__(self) -> float:
        return self.now


def run(page: str) -> AppTest:
    script = f"from clinical_app.views import {page}\n{page}.page()"
    test = AppTest.from_string(script, default_timeout=120)
    test.run()
    assert not test.exception
    return test


def words(test: AppTest) -> str:
    parts = [*test.title, *test.markdown, *test.caption, *test.warning, *test.header]
    html = [one.proto.body for one in test.get("html")]
    return " ".join([*(str(part.value) for part in parts), *html])


@pytest.fixture
def ledger(tmp_path):
    clock = _Clock()
    with open_ledger(tmp_path / "l.sqlite", clock=clock) as opened:
        opened.test_clock = clock
        yield opened


@pytest.fixture
def make(ledger, tmp_path):
    def made(**settings: object) -> Service:
        return configure(
            Service(
                source=LedgerCases(ledger, secret=b"test"),
                store=LedgerStore(ledger),
                settings=ViewerSettings(**settings),
                ledger=ledger,
                local_user="anna",
            )
        )

    return made


def seen_days(ledger, n, level=0.5):
    generator = np.random.default_rng(n)
    for _ in range(n):
        with ledger.write() as connection:
            for gray in generator.normal(level, 0.1, 20):
                chart_sums.add(connection, {"picture mean": gray}, now=ledger.test_clock.now)
        ledger.test_clock.now += DAY


class TestMonitoring:
    def test_an_empty_ledger_says_what_is_needed(self, make):
        make()
        said = words(run("monitoring"))
        assert "400 films on 21 days" in said
        assert "There has been no alarm" in said
        assert "No signed report was taken in" in said
        assert "No study was read first" in said

    def test_an_alarm_is_closed_by_name(self, make, ledger):
        seen_days(ledger, 66)
        seen_days(ledger, 7, level=0.75)
        make()
        test = run("monitoring")
        assert "1 alarm is open" in words(test)
        assert "Mean brightness is too high" in words(test)
        test.button[0].click().run()  # without saying what was done
        assert alarms.kept(ledger)[0].is_open
        test.text_input(key="action_1").set_value("grid changed")
        test.checkbox(key="anew_1").set_value(True)
        test.button[0].click().run()
        (closed,) = alarms.kept(ledger)
        assert (closed.actor, closed.action, closed.new_baseline) == ("anna", "grid changed", True)
        assert "1 of 1 alarms were dealt with" in words(test)
        assert "1 alarm is open" not in words(test)

    def test_estimates_say_that_they_are_estimates(self, make, ledger):
        make()
        assert "400 are needed" in words(run("monitoring"))
        ledger.test_clock.now += 2 * 3600.0  # they are made once an hour
        many_results(ledger, 1200)
        test = run("monitoring")
        assert "Estimates, not measurements" in words(test)
        assert "change no score" in words(test)
        (table,) = [one.value for one in test.table if "Estimated AUROC" in one.value]
        (row,) = table.to_dict("records")
        assert row["Finding"] == "Mass"
        assert row["Estimated AUROC"][0] == "0"
        assert row["Estimated PPV"] != "-" or "PPV" in row["Withheld because"]

    def test_a_reader_sees_an_alarm_and_does_not_close_it(self, make, ledger):
        seen_days(ledger, 66)
        seen_days(ledger, 7, level=0.75)
        make(local_role="reader")
        test = run("monitoring")
        assert "1 alarm is open" in words(test)
        assert not test.text_input
        assert "An operator or an administrator closes it" in words(test)

    @pytest.fixture
    def reported(self, ledger, tmp_path):
        """Two studies that are flagged, and a signed report of each that says nothing of it."""
        for number in range(2):
            arrivals.enqueue(ledger, received(number))
        finish_all(ledger, positive=("Mass",))
        for number in range(2):
            (tmp_path / f"A{number}.txt").write_text("No mass. Heart size is normal.")
            agreement.import_reports(ledger, tmp_path / f"A{number}.txt", read_lexicon("en"))

    def test_a_second_look_is_recorded(self, make, ledger, reported):
        make()
        test = run("monitoring")
        assert words(test).count("**Mass**") == 2
        missed = [one for one in test.button if one.label == "Missed"]
        missed[0].click().run()
        (look,) = second_looks.all_of(ledger)
        assert (look["finding"], look["outcome"], look["actor"]) == ("Mass", "confirmed", "anna")
        assert words(test).count("**Mass**") == 1

    def test_a_queue_tells_no_score_of_a_study_that_is_read_first(self, make, reported):
        make(read_first={"admin": 1.0})
        test = run("monitoring")
        assert "**Mass**" not in words(test)
        assert not [one for one in test.button if one.label == "Missed"]

    def test_an_operator_sees_how_many_and_no_study(self, make, reported):
        make(local_role="operator")
        said = words(run("monitoring"))
        assert "2 studies wait for a reader" in said
        assert "**Mass**" not in said


class TestHistory:
    @pytest.fixture
    def registry(self, packaged_bundle, tmp_path):
        adopt(tmp_path / "registry", packaged_bundle, by="Dr. Weber", reason="acceptance test")
        return tmp_path / "registry"

    def test_it_is_found_behind_the_champion_s_link(self, registry, packaged_bundle):
        assert registry_of(registry / "champion") == registry
        assert registry_of(packaged_bundle) is None
        assert registry_of(None) is None

    def test_both_pages_show_who_and_why(self, make, registry, model, ledger):
        service = make()
        service.registry, service.model = registry, model
        for page in ("model_card", "audit"):
            test = run(page)
            said = words(test)
            assert "is in use since" in said
            assert "Dr. Weber: acceptance test" in said
            tables = [one.value for one in test.table if "Why" in one.value]
            assert list(tables[0]["What"]) == ["Came into use", "Came into the registry"]

    def test_another_model_than_the_loaded_one_is_told(self, registry):
        known = open_registry(registry)
        assert "restart" not in in_use(known, known.champions[-1])
        assert "another one loaded" in in_use(known, "0" * 64)
        assert "No model" in in_use(replace(known, events=known.events[:1]), "")

    def test_a_changed_registry_is_named(self, make, registry):
        path = registry / REGISTRY_NAME
        path.write_text(path.read_text().replace("acceptance", "another"))
        make().registry = registry
        assert "registry" in run("audit").warning[0].value

    def test_without_a_registry_the_ledger_says_what_ran(self, make, ledger):
        arrivals.enqueue(ledger, received(0))
        finish_all(ledger)
        make()
        test = run("audit")
        assert "--registry" in words(test)
        (row,) = next(one.value for one in test.table).to_dict("records")
        assert row["Model"] == "test 1\\.0"
        assert history_rows(None, ()) == []
