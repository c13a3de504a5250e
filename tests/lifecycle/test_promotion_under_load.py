"""A running service follows promotion and rollback: no film is lost, none is read twice.

MONAI_CXR_LOAD_FILMS and MONAI_CXR_LOAD_KILLS make it longer; docs/results/change.md says with which
numbers it ran.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid
from running_service import Running
from sqlalchemy import select

from monai_cxr.bundle.model import rules_of
from monai_cxr.lifecycle.promotion import promote, rollback
from monai_cxr.lifecycle.registry import open_registry
from monai_cxr.lifecycle.retraining import retrain
from monai_cxr.screening.ledger import audit, open_ledger
from monai_cxr.screening.ledger.schema import films, outbox, results

SIGNER = "Dr Example"
FILMS = int(os.environ.get("MONAI_CXR_LOAD_FILMS", "36"))
KILLS = int(os.environ.get("MONAI_CXR_LOAD_KILLS", "3"))
KILLED = """
import os, sys, threading, time
from pathlib import Path
from monai_cxr.lifecycle.promotion import promote, rollback
from monai_cxr.lifecycle.registry import open_registry
folder, delay = Path(sys.argv[1]), float(sys.argv[2])
is_new = len(open_registry(folder / "registry").champions) > 1
threading.Thread(target=lambda: (time.sleep(delay), os.kill(os.getpid(), 9))).start()
if is_new:
    rollback(folder / "registry", by="Dr Example", reason="Load.")
else:
    promote(folder / "attempt", by="Dr Example")
"""


@pytest.fixture
def running(site, packaged_bundle, tmp_path):
    champion, ledger = tmp_path / "registry" / "champion", f"sqlite:///{tmp_path}/l.sqlite"
    with Running.watching(tmp_path, champion, ledger) as service:
        yield service


def feed(source: Path, folder: Path, n: int) -> None:
    """Put films of other studies into the watched folder, each whole or not at all."""
    dataset = pydicom.dcmread(source)
    for _ in range(n):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID = generate_uid()
        dataset.save_as(folder / "film.part")
        (folder / "film.part").replace(folder / f"{dataset.SOPInstanceUID}.dcm")


@pytest.mark.slow
def test_a_running_service_follows_and_loses_nothing(running, site, phantom_index, tmp_path):
    source = Path(phantom_index.table["path"].iloc[0])
    attempt = site / "attempt"
    retrain(site.sealed(), attempt)
    registry = site / "registry"
    old = open_registry(registry).champions[-1]
    feed(source, tmp_path / "in", FILMS // 2)
    running.start()
    running.wait_for(lambda n: n.n_results > 0)  # the others are in flight

    chance = random.Random(0)
    for _ in range(KILLS):
        command = [sys.executable, "-c", KILLED, str(tmp_path), str(chance.uniform(0.0, 0.06))]
        subprocess.run(command, stderr=subprocess.DEVNULL)
        assert (registry / "champion" / "digests.json").is_file()
        feed(source, tmp_path / "in", FILMS // 4 // KILLS)
    running.process.send_signal(signal.SIGKILL)  # the service too
    running.process.wait()
    running.start()
    if len(open_registry(registry).champions) == 1:
        promote(attempt, by=SIGNER)
    new = open_registry(registry).champions[-1]
    feed(source, tmp_path / "in", FILMS - FILMS // 2 - KILLS * (FILMS // 4 // KILLS))
    running.wait_for(lambda n: n.deliveries.get(("sr", "folder", "delivered"), 0) == FILMS)
    rollback(registry, by=SIGNER, reason="Load.", expected=new)
    feed(source, tmp_path / "in", 1)
    running.wait_for(lambda n: n.deliveries.get(("sr", "folder", "delivered"), 0) == FILMS + 1)
    assert running.stop(signal.SIGTERM) == 0

    with open_ledger(running.ledger) as ledger, ledger.read() as connection:
        rows = connection.execute(select(results).order_by(results.c.id)).all()
        states = set(connection.execute(select(films.c.state)).scalars())
        sent = connection.execute(select(outbox.c.sop_uid, outbox.c.model_digest)).all()
    assert states == {"completed"}
    assert len({row.sop_uid for row in rows}) == len(rows) == FILMS + 1
    assert {row.model_digest for row in rows} == {old, new}
    assert rows[-1].model_digest == old
    assert {(row.sop_uid, row.model_digest) for row in rows} == set(map(tuple, sent))
    thresholds = {
        digest: rules_of(open_registry(registry).path_of(digest)).by_finding
        for digest in (old, new)
    }
    for row in rows:  # each result is whole: probabilities and flags are of one model
        for name, p, positive in zip(row.findings, row.probabilities, row.positive, strict=True):
            point = thresholds[row.model_digest].get(name)
            assert point is None or positive == (p >= point.threshold)
    reports = [pydicom.dcmread(path) for path in (tmp_path / "out").glob("*.dcm")]
    assert len(reports) == FILMS + 1
    with open_ledger(running.ledger) as ledger:
        assert audit.verify(ledger).is_intact
