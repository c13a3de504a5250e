"""A scanner is replaced: alarm, labels, attempt, shadow, promotion and the way back, on phantoms.

docs/how-to/change-a-model.md tells it; what happens under load is test_promotion_under_load.py's.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest

from monai_cxr.bundle.model import BundleModel, bundle_digest
from monai_cxr.cli.change import _due
from monai_cxr.data.folder import index_folder
from monai_cxr.lifecycle.plan import seal_plan
from monai_cxr.lifecycle.promotion import adopt, promote, rollback
from monai_cxr.lifecycle.registry import open_registry
from monai_cxr.lifecycle.retraining import retrain
from monai_cxr.lifecycle.shadow import run_shadow
from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.reading.files import read_radiograph
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.ledger import alarms, chart_sums, open_ledger, reviews
from monai_cxr.screening.ledger.reviews import ReviewRow
from monai_cxr.screening.watching import service_charts
from monai_cxr.screening.working.worker import WorkerOptions, run_worker
from monai_cxr.tables import read_table, write_table

SIGNER, FINDING, DAY = "Dr Example", "Effusion", 86_400.0
PLAN = """
name = "A scanner was replaced"
reason = "The alarm of the charts, and films on which readers contradict the model."
registry = "registry"
signers = ["Dr Example"]
changes = ["calibration", "weights"]
[data]
training = "new.parquet"
locked_test = "locked.parquet"
recent_test = "recent.parquet"
labels = "Drawn with the phantom; for the ledger's films, readers who had not seen the score."
ledger = "ledger.sqlite"
[training]
settings = ["max_epochs=80", "num_workers=0", "batch_size=8", "learning_rate=0.01"]
[gate]
goal = "auroc"
auroc = 0.3
sensitivity = 0.49
brier = 0.3
flag_rate = 0.49
speed = 9.0
n_positive = 20
subgroups = []
findings = ["Effusion"]
criterion = "youden"
n_bootstrap = 200
[triggers]
alarm_errors = 3
[shadow]
films = 6
share = 1.0
"""


def films_of(folder: Path, n: int, seed: int, *, replaced: bool):
    """Phantoms, half of them with an effusion; the new scanner's are brighter and noisier."""
    settings = PhantomSettings(
        n, seed=seed, size=96, prevalence={FINDING: 0.5}, mean_films_per_patient=1.0,
        severity=(0.8, 1.0),
    )  # fmt: skip
    labels = write_dicom_archive(folder, settings, workers=1)
    rng = np.random.default_rng(seed)
    for path in folder.rglob("*.dcm") if replaced else ():
        dataset = pydicom.dcmread(path)
        dataset.PatientID = f"{seed}-{dataset.PatientID}"  # archives number their patients alike
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress()
        most = float(2**dataset.BitsStored - 1)
        gray = (dataset.pixel_array / most) ** 0.6 + rng.normal(0, 0.01, dataset.pixel_array.shape)
        dataset.PixelData = (np.clip(gray, 0, 1) * most).astype(dataset.pixel_array.dtype).tobytes()
        dataset.Manufacturer = "Another"
        dataset.save_as(path)
    index, _ = index_folder(folder, labels)
    return index.assign(patient_id=f"{seed}-" + index["patient_id"])


@pytest.fixture(scope="module")
def hospital(packaged_bundle, tmp_path_factory):
    """A champion of clean films, and indexes of the new scanner's films."""
    folder = tmp_path_factory.mktemp("hospital")
    adopt(folder / "registry", packaged_bundle, by=SIGNER, reason="Accepted.")
    new = films_of(folder / "new", 110, 1, replaced=True)
    new["split"] = ["val" if i % 4 == 0 else "train" for i in range(len(new))]
    write_table(new, folder / "new.parquet")
    write_table(films_of(folder / "locked", 60, 2, replaced=True), folder / "locked.parquet")
    write_table(films_of(folder / "recent", 70, 3, replaced=True), folder / "recent.parquet")
    write_table(films_of(folder / "stream", 24, 4, replaced=True), folder / "stream.parquet")
    (folder / "plan.toml").write_text(PLAN)
    seal_plan(folder / "plan.toml")
    return folder


def read_by_the_champion(ledger, folder: Path, paths) -> None:
    spool = Spool(folder / "spool", reserve_bytes=0)
    for path in paths:
        intake.receive(ledger, spool, Path(path).read_bytes(), source="test")
    model = BundleModel.load(folder / "registry" / "champion", device="cpu")
    options = WorkerOptions("test")
    run_worker(ledger, model, options, should_stop=lambda: False, when_idle=lambda: False)


@pytest.mark.slow
@pytest.mark.unproven
def test_a_scanner_is_replaced(hospital, phantom_index):
    registry, attempt = hospital / "registry", hospital / "attempt"
    champion = open_registry(registry).champions[-1]
    now = [time.time() - 40 * DAY]
    with open_ledger(f"sqlite:///{hospital}/ledger.sqlite", clock=lambda: now[0]) as ledger:
        # 32 days of clean films, then the new scanner; 25 films a day, drawn from 30.
        new = read_table(hospital / "new.parquet")["path"]
        clean, changed = (
            [read_radiograph(path).quality["mean"] for path in paths[:30]]
            for paths in (phantom_index.table["path"], new)
        )
        rng = np.random.default_rng(0)
        for day in range(40):
            with ledger.write() as connection:
                for gray in rng.choice(clean if day < 32 else changed, 25):
                    chart_sums.add(connection, {"picture mean": float(gray)}, now=now[0])
            now[0] += DAY
        now[0] = time.time()
        drawn = service_charts.draw(ledger, baseline_days=30)
        assert alarms.keep(ledger, service_charts.alarms_of(drawn)) == 1

        # An alarm alone is no trigger; readers who had not seen the score say more.
        stream = read_table(hospital / "stream.parquet")
        read_by_the_champion(ledger, hospital, stream["path"][:16])
        assert _due(hospital / "plan.toml", attempt) == ()
        for sop_uid, study_uid, label in zip(
            *(stream[name][:16] for name in ("sop_uid", "study_uid", FINDING)), strict=True
        ):
            word = ReviewRow(
                sop_uid, study_uid, FINDING, "reader", "", corrected_label=int(label),
                score_seen=False,
            )  # fmt: skip
            reviews.add(ledger, word)
        (reason,) = _due(hospital / "plan.toml", attempt)
        assert reason.startswith("Alarm with evidence")

        # Recalibration cannot make it better and is refused; new weights pass.
        made = retrain(hospital / "plan.toml", attempt)
        outcomes = {one["kind"]: one["outcome"] for one in made.content["tried"]}
        assert outcomes == {"calibration": "refused", "weights": "passed"}, made.content
        assert open_registry(registry).champions[-1] == champion

        read_by_the_champion(ledger, hospital, stream["path"][16:])
        stop = {"when_idle": lambda: False}
        summary = run_shadow(attempt, str(hospital / "ledger.sqlite"), n_films=1, **stop)
        assert summary["outcome"] == "not decided"  # the newest film only; more must come
    log = attempt / "shadow" / "films.jsonl"
    log.write_text(json.dumps(json.loads(log.read_text()) | {"result": 1}) + "\n")
    summary = run_shadow(attempt, str(hospital / "ledger.sqlite"), **stop)
    assert (summary["outcome"], summary["n_films"]) == ("passed", 6)

    version = promote(attempt, by=SIGNER)
    assert bundle_digest(registry / "champion") == version != champion
    assert rollback(registry, by=SIGNER, reason="Missed effusions.", expected=version) == champion
    assert bundle_digest(registry / "champion") == champion
    assert [e.action for e in open_registry(registry).events][-3:] == [
        "shadow", "promote", "rollback",
    ]  # fmt: skip
