"""Surveillance: the same bytes again, whatever comes after the period."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pytest
from ledger_data import finish_all, received

from monai_cxr.errors import SettingsError
from monai_cxr.labels.lexicon import read_lexicon
from monai_cxr.screening.ledger import arrivals, open_ledger
from monai_cxr.screening.ledger.watching import alarms, chart_sums
from monai_cxr.screening.watching import agreement, service_charts
from monai_cxr.screening.watching.surveillance import write_surveillance

DAY = 86_400.0
FILES = ("surveillance.json", "surveillance.html")


def grey_days(ledger, clock, n_days, level):
    generator = np.random.default_rng(n_days)
    for _ in range(n_days):
        with ledger.write() as connection:
            for grey in generator.normal(level, 0.1, 20):
                chart_sums.add(connection, {"picture mean": grey}, now=clock.now)
        clock.advance(DAY)


def reports(ledger, folder, words, accession):
    (folder / f"{accession}.txt").write_text(f"IMPRESSION: {words}")
    agreement.import_reports(ledger, folder / f"{accession}.txt", read_lexicon("en"))


def test_the_same_bytes_again_and_what_is_in_them(tmp_path, clock):
    with open_ledger(tmp_path / "l.sqlite", clock=clock) as ledger:
        begin = chart_sums.day_of(clock.now)
        grey_days(ledger, clock, 66, 0.5)
        for number in (1, 2):
            arrivals.enqueue(ledger, received(number))
        finish_all(ledger, positive=("Pneumothorax",))
        reports(ledger, tmp_path, "Large pneumothorax.", "A1")
        grey_days(ledger, clock, 6, 0.7)
        service_charts.look(ledger)
        alarms.acknowledge(ledger, 1, actor="Dr. Weber", action="<b>new</b> grid")
        clock.advance(DAY)
        last = date.fromordinal(chart_sums.day_of(clock.now).toordinal() - 1)
        told = write_surveillance(ledger, tmp_path / "a", begin, last, signed_by="M. Curie")
        (alarm,) = told["alarms"]
        assert (alarm["by"], alarm["charts"]) == ("Dr. Weber", ["picture mean up"])
        assert told["models"][0]["n"] == 2
        assert told["films"] == {"n": 2, "refused": {}}
        assert told["reports"] == {"matched": 1}
        (row,) = [r for r in told["concordance"] if r["group"] == "all" and r["n_present"]]
        assert (row["finding"], row["sensitivity"]["estimate"]) == ("Pneumothorax", 1.0)
        page = (tmp_path / "a" / "surveillance.html").read_text()
        assert "&lt;b&gt;new&lt;/b&gt; grid" in page
        assert "M. Curie" in page
        assert not {"A1", "P1"} & set(page.replace("<", " ").replace(">", " ").split())
        # more films, another alarm, a report for a film of then: the period stays what it was
        grey_days(ledger, clock, 20, 0.9)
        service_charts.look(ledger)
        arrivals.enqueue(ledger, received(3))
        finish_all(ledger, positive=("Mass",))
        reports(ledger, tmp_path, "No pneumothorax.", "A2")
        with ledger.write() as connection:
            chart_sums.compact(connection, now=clock.now)
    with open_ledger(tmp_path / "l.sqlite", clock=clock) as ledger:
        write_surveillance(ledger, tmp_path / "b", begin, last, signed_by="M. Curie")
        for name in FILES:
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        with pytest.raises(SettingsError, match="a period that is over"):
            write_surveillance(ledger, tmp_path / "c", begin, chart_sums.day_of(clock.now))
    json.loads((tmp_path / "a" / "surveillance.json").read_text())
