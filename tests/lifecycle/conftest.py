"""A site whose model is to change: new films, a locked test, a registry with a champion, a plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_cxr.lifecycle.plan import seal_plan
from monai_cxr.lifecycle.promotion import adopt
from monai_cxr.tables import write_table

SIGNER = "Dr Example"
FINDING = "Edema"
PLAN = """
name = "Phantoms"
reason = "A test."
registry = "registry"
signers = ["Dr Example"]
changes = {changes}
[data]
training = "new.parquet"
locked_test = "locked.parquet"
labels = "Drawn with the phantom."
{data}
[training]
settings = ["max_epochs=1", "num_workers=0", "batch_size=8"]
[gate]
goal = "{goal}"
auroc = 0.49
sensitivity = 0.49
brier = 0.49
flag_rate = 0.49
speed = 9.0
n_positive = 5
subgroups = []
findings = ["{finding}"]
n_bootstrap = 200
{more}
"""


class Site:
    """Folder of a site.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def plan(
        self,
        *,
        changes: tuple[str, ...] = ("thresholds",),
        goal: str = "none",
        name: str = "plan.toml",
        data: str = "",
        more: str = "",
    ) -> Path:
        """A plan, not sealed."""
        path = self.folder / name
        listed = json.dumps(list(changes))
        words = {"changes": listed, "goal": goal, "finding": FINDING, "data": data, "more": more}
        path.write_text(PLAN.format(**words))
        return path

    def sealed(self, **options: object) -> Path:
        """A sealed plan; see :meth:`plan`."""
        path = self.plan(**options)  # type: ignore[arg-type]
        seal_plan(path)
        return path


@pytest.fixture
def site(phantom_index, packaged_bundle, tmp_path) -> Site:
    """New films, a locked test of other patients, a registry with a champion."""
    table = phantom_index.table
    held = table["split"] == "train"  # the larger part is the test: it needs patients
    locked, new = table[held].copy(), table[~held].copy()
    new["split"] = new["split"].map({"val": "train", "test": "val"})
    # So few films hold few findings: in the test every second patient has this one.
    patients = {name: i % 2 for i, name in enumerate(sorted(set(locked["patient_id"])))}
    locked[FINDING] = locked["patient_id"].map(patients).astype(float)
    write_table(locked, tmp_path / "locked.parquet")
    write_table(new, tmp_path / "new.parquet")
    adopt(tmp_path / "registry", packaged_bundle, by=SIGNER, reason="Accepted.")
    return Site(tmp_path)
