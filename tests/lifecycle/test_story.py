"""A scanner is replaced: alarm, labels, attempt, shadow, promotion under load, and the way back.

A real service reads the films meanwhile. docs/how-to/change-a-model.md tells the same story by
hand, with the same films (benchmarks/change_story.py); how promotion stands kill -9 is
test_promotion_under_load.py's.
"""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path

import pytest
from running_service import Running
from sqlalchemy import select

from monai_cxr.bundle.model import bundle_digest
from monai_cxr.bundle.packaging import package
from monai_cxr.cli.change import _due
from monai_cxr.lifecycle.plan import seal_plan
from monai_cxr.lifecycle.promotion import adopt, promote, rollback
from monai_cxr.lifecycle.registry import open_registry
from monai_cxr.lifecycle.retraining import retrain
from monai_cxr.lifecycle.shadow import run_shadow
from monai_cxr.screening.ledger import open_ledger
from monai_cxr.screening.ledger.schema import films, results
from monai_cxr.training.run import request, workflow

SIGNER = "Dr Example"
STORY = Path(__file__).parents[2] / "benchmarks" / "change_story.py"


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def story():
    return load(STORY)


@pytest.fixture(scope="module")
def hospital(story, tmp_path_factory):
    """Films of both scanners, and a champion of the old one's."""
    folder = tmp_path_factory.mktemp("hospital")
    story.make_site(folder)
    wanted = request.TrainingRequest(
        bundle="chest_xray_classification",
        index=folder / "champion.parquet",
        out=folder / "run",
        settings=story.TRAINING,
        source=None,
    )
    workflow.train(request.prepare(wanted))
    package(folder / "run", folder / "bundle", criterion="youden")
    adopt(folder / "registry", folder / "bundle", by=SIGNER, reason="Accepted.")
    seal_plan(folder / "plan.toml")
    return folder


@pytest.fixture
def service(hospital, story):
    champion, ledger = hospital / "registry" / "champion", story.ledger_of(hospital)
    with Running.watching(hospital, champion, ledger) as running:
        yield running


@pytest.mark.slow
def test_a_scanner_is_replaced(hospital, story, service):
    registry, attempt, plan = (hospital / n for n in ("registry", "attempt", "plan.toml"))
    champion = open_registry(registry).champions[-1]

    def send(n: int) -> int:
        """The next films arrive; waits until the service is done with all of them."""
        sent = story.send(hospital, n)
        service.wait_for(lambda c: c.films["completed"] + c.films["quarantined"] == sent)
        return sent

    # The charts raise an alarm. It alone is no trigger; readers who saw no score say more.
    assert story.pass_days(hospital) == 1
    service.start()
    send(24)
    assert _due(plan, attempt) == ()
    with open_ledger(service.ledger) as ledger:
        assert story.label(ledger, hospital) >= 6
    (reason,) = _due(plan, attempt)
    assert reason.startswith("Alarm with evidence")

    # Recalibration cannot rank better and is refused; new weights pass. Nothing is promoted.
    made = retrain(plan, attempt)
    outcomes = {one["kind"]: one["outcome"] for one in made.content["tried"]}
    assert outcomes == {"calibration": "refused", "weights": "passed"}, made.content
    assert open_registry(registry).champions[-1] == champion

    # The challenger reads beside the champion.
    stop = {"when_idle": lambda: False}
    summary = run_shadow(attempt, service.ledger, n_films=1, **stop)
    assert summary["outcome"] == "not decided"  # the newest film only; more must come
    send(16)
    summary = run_shadow(attempt, service.ledger, **stop)
    assert (summary["outcome"], summary["n_films"]) == ("passed", 6)

    # Promoted while films are read, and taken back.
    story.send(hospital, 8)
    version = promote(attempt, by=SIGNER)
    assert bundle_digest(registry / "champion") == version != champion
    send(4)
    assert rollback(registry, by=SIGNER, reason="Missed cases.", expected=version) == champion
    assert bundle_digest(registry / "champion") == champion
    n_read = send(8)
    assert service.stop(signal.SIGTERM) == 0

    with open_ledger(service.ledger) as ledger, ledger.read() as connection:
        query = select(films.c.state, results.c.model_digest).outerjoin(
            results, films.c.sop_uid == results.c.sop_uid
        )
        rows = connection.execute(query).all()
    assert len(rows) == n_read  # none is lost, none was read twice
    read = [row.model_digest for row in rows if row.state == "completed"]
    assert set(read) == {champion, version}
    assert [e.action for e in open_registry(registry).events][-3:] == [
        "shadow", "promote", "rollback",
    ]  # fmt: skip
