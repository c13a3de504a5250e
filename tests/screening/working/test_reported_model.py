"""What a report says of the model that made it: its own name and calibration, wherever it lies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import sr_walker as walker

from monai_cxr.bundle.model import BundleModel, reporting
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.delivering.builders import report_builder
from monai_cxr.screening.ledger import jobs, open_ledger, outbox
from monai_cxr.screening.working.worker import WorkerOptions, run_worker


def report_of(bundle, film, folder) -> bytes:
    """A film through intake, worker and delivery, as the service does it."""
    with open_ledger(f"sqlite:///{folder}/ledger.sqlite", clock=lambda: 1.7e9) as ledger:
        spool = Spool(folder / "spool", reserve_bytes=0)
        assert intake.receive(ledger, spool, film.read_bytes(), source="t").is_accepted
        options = WorkerOptions("w", readers=1, deliveries=(("sr", "pacs"),))
        model = BundleModel.load(bundle, device="cpu")
        run_worker(ledger, model, options, should_stop=lambda: False, when_idle=lambda: False)
        assert jobs.n_unfinished(ledger) == 0
        (delivery,) = outbox.lease(ledger, "d", 1)
        return report_builder(*reporting(bundle))(outbox.content(ledger, delivery)).data


@pytest.mark.parametrize("name", ["bundle", "renamed"])
def test_algorithm_is_folder_name(packaged_bundle, phantom_index, tmp_path, name):
    """All sites keep their model in a folder called bundle; the name is that of metadata.json."""
    shutil.copytree(packaged_bundle, tmp_path / name)
    named = json.loads((tmp_path / name / "configs" / "metadata.json").read_text())["name"]
    assert named != name
    made = report_of(tmp_path / name, Path(phantom_index.table["path"][0]), tmp_path)
    text = made.decode("latin-1")
    assert named in text
    assert name not in text.replace("packaged", "")
    groups = walker.check_report(walker.read(made))
    for group in groups:
        said = [str(item.TextValue) for item in walker.children(group, walker.PARAMETERS)]
        assert any(one.startswith("calibration=") for one in said)
        algorithm = walker.only(group, ("111001", "DCM"))
        assert algorithm.TextValue == named
