"""A challenger in the shadow of the champion, and what starts an attempt, on a real ledger."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from monai_cxr.bundle.model import BundleModel
from monai_cxr.cli.change import _due
from monai_cxr.errors import SettingsError
from monai_cxr.lifecycle.attempt import read_attempt
from monai_cxr.lifecycle.ledger_films import ledger_films
from monai_cxr.lifecycle.plan import read_plan
from monai_cxr.lifecycle.promotion import promote
from monai_cxr.lifecycle.registry import open_registry
from monai_cxr.lifecycle.retraining import retrain
from monai_cxr.lifecycle.shadow import run_shadow
from monai_cxr.lifecycle.triggers import reasons_for
from monai_cxr.monitoring.charts import Alarm
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import open_ledger
from monai_cxr.screening.ledger.people import reviews
from monai_cxr.screening.ledger.people.reviews import ReviewRow
from monai_cxr.screening.ledger.schema import outbox, results
from monai_cxr.screening.ledger.watching import alarms
from monai_cxr.screening.ledger.watching.chart_sums import day_of
from monai_cxr.screening.working.worker import WorkerOptions, run_worker
from monai_cxr.tables import read_table

SIGNER = "Dr Example"


@pytest.fixture
def ledger(site, tmp_path):
    """A ledger in which the champion has read the films of the locked test and the new ones."""
    address = f"sqlite:///{tmp_path}/ledger.sqlite"
    with open_ledger(address) as opened:
        spool = Spool(tmp_path / "spool", reserve_bytes=0)
        for name in ("locked", "new"):
            for path in read_table(site / f"{name}.parquet")["path"][:8]:
                intake.receive(opened, spool, Path(path).read_bytes(), source="test")
        model = BundleModel.load(site / "registry" / "champion", device="cpu")
        run_worker(
            opened,
            model,
            WorkerOptions("test", deliveries=(("sr", "out"),)),
            should_stop=lambda: False,
            when_idle=lambda: False,
        )
        yield opened


def reviewed(ledger, sop_uids, finding, *, seen, label=1):
    for sop_uid in sop_uids:
        row = ReviewRow(sop_uid, "", finding, "reader", "", corrected_label=label, score_seen=seen)
        reviews.add(ledger, row)


def sops(site, name, n=4):
    return list(read_table(site / f"{name}.parquet")["sop_uid"])[:n]


def test_the_challenger_reads_beside_the_champion_and_nothing_leaves(site, ledger, tmp_path):
    attempt = site / "attempt"
    retrain(site.sealed(more="[shadow]\nfilms = 5\nshare = 1.0\n"), attempt)
    with pytest.raises(SettingsError, match="asks for 5 films"):
        promote(attempt, by=SIGNER)
    file = str(tmp_path / "ledger.sqlite")
    with ledger.read() as connection:
        before = [connection.execute(t.select()).all() for t in (results, outbox)]
    # The shadow begins with the newest film; there is only one until more come.
    assert run_shadow(attempt, file, when_idle=lambda: False)["outcome"] == "not decided"
    log = attempt / "shadow" / "films.jsonl"
    first = json.loads(log.read_text().splitlines()[0])
    earlier = {**first, "result": 1}
    log.write_text(json.dumps(earlier) + "\n" + '{"result": 2, "pat')  # as kill -9 leaves it
    found = run_shadow(attempt, file, when_idle=lambda: False)
    assert (found["outcome"], found["n_films"]) == ("passed", 5)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [one["result"] for one in lines] == [1, 2, 3, 4, 5]
    with ledger.read() as connection:
        assert [connection.execute(t.select()).all() for t in (results, outbox)] == before
    assert not any(str(uid) in log.read_text() for uid in sops(site, "locked", 8))

    summary = attempt / "shadow" / "shadow.json"
    kept = summary.read_text()
    summary.write_text(kept.replace('"n_films": 5', '"n_films": 50'))
    with pytest.raises(SettingsError, match="knows no such shadow"):
        promote(attempt, by=SIGNER)
    summary.write_text(kept)
    promote(attempt, by=SIGNER)


def test_labels_given_in_sight_of_the_score_are_kept_apart(site, ledger, tmp_path):
    new = sops(site, "new", 6)
    reviewed(ledger, new[:3], "Nodule", seen=False)
    reviewed(ledger, new[3:5], "Nodule", seen=True)
    reviewed(ledger, new[5:], "Nodule", seen=None)
    reviewed(ledger, sops(site, "locked", 2), "Nodule", seen=False)
    plan = site.sealed(data='ledger = "ledger.sqlite"')
    found = ledger_films(tmp_path / "ledger.sqlite", 0.0, ["Nodule"])
    assert set(found.evidence["sop_uid"]) == {*new[:3], *sops(site, "locked", 2)}
    assert set(found.apart["sop_uid"]) == set(new[3:])
    # Films of the index go before those of the ledger, and patients of a test are left out.
    retrain(plan, site / "attempt")
    facts = json.loads((site / "attempt" / "films.json").read_text())["ledger"]
    assert (facts["n_evidence"], facts["n_of_test_patients"], facts["n_apart"]) == (3, 2, 3)
    assert set(read_table(site / "attempt" / "seen.parquet")["sop_uid"]) == set(new[3:])


def test_drift_alone_is_no_trigger(site, ledger, tmp_path):
    plan_path = site.sealed(
        data='ledger = "ledger.sqlite"',
        more="[triggers]\nevery_days = 30\nnew_labels = 5\nalarm_errors = 2\n",
    )
    plan, registry = read_plan(plan_path), open_registry(site / "registry")
    now = time.time()
    today = day_of(now)
    alarms.keep(ledger, [Alarm(today, today, (("score Nodule", "up"),))])
    assert reasons_for(plan, registry, now=now) == ()
    assert _due(plan_path, site / "attempt") == ()
    with ledger.read() as connection:
        row = connection.execute(results.select()).first()
    place = row.findings.index("Nodule")
    wrong = 0 if row.positive[place] else 1
    flagged_alike = [
        r.sop_uid
        for r in _all(ledger)
        if bool(r.positive[r.findings.index("Nodule")]) == bool(row.positive[place])
    ][:2]
    reviewed(ledger, flagged_alike, "Nodule", seen=True, label=wrong)
    assert reasons_for(plan, registry, now=now) == ()  # they had seen the score
    reviewed(ledger, flagged_alike, "Nodule", seen=False, label=wrong)
    (reason,) = reasons_for(plan, registry, now=now)
    assert reason.startswith("Alarm with evidence")
    assert "2 labels" in reason
    only_labels = replace(plan, triggers=replace(plan.triggers, alarm_errors=0, new_labels=2))
    assert reasons_for(only_labels, registry, now=now)[0].startswith("New labels: 2")
    later = reasons_for(plan, registry, now=now + 31 * 86_400)
    assert later[0].startswith("Calendar: 31 days")
    before = open_registry(site / "registry").champions
    retrain(plan_path, site / "attempt")  # an attempt begins the count anew, and promotes nothing
    assert open_registry(site / "registry").champions == before
    assert reasons_for(plan, open_registry(site / "registry"), now=time.time()) == ()
    assert read_attempt(site / "attempt").outcome == "passed"


def _all(ledger):
    with ledger.read() as connection:
        return connection.execute(results.select().order_by(results.c.id)).all()
