"""Run record: a bundle that is trained in its own folder by MONAI's plain command is a run too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from monai_cxr.atomic import write_text
from monai_cxr.bundle.config import read_config, write_settings
from monai_cxr.bundle.model import RUN_NAME
from monai_cxr.tables import normalise_index, read_table, write_table
from monai_cxr.training.run.manifest import run_manifest

INDEX_NAME = "checkpoints/index.parquet"
"""The index that a plain run was trained on, kept where no file of the user's is in the way."""


class RunRecord:
    """Make of a bundle's folder what ``monai-cxr train`` makes of a run's, when training starts.

    ``run.json`` is written, and the settings that decide how the network must be fed and read are
    written into the folder's configs, so that inference, calibration and packaging go on from what
    was trained. The folder of a run that ``monai-cxr train`` made has all of this already, and a
    folder without configs is not a bundle: both are left alone.

    Args:
        bundle_root: The folder.
        index: The index that is trained on.
        findings: Outputs of the network.
        settings: Value by config id, as trained.
    """

    def __init__(
        self, bundle_root: str, index: str, findings: Sequence[str], settings: Mapping[str, Any]
    ) -> None:
        self.root = Path(bundle_root)
        self.index = Path(index)
        self.findings = list(findings)
        self.settings = dict(settings)

    def attach(self, engine: Engine) -> None:
        """Record when training starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, _: Engine) -> None:
        """Write the record; of several processes, one does."""
        record = self.root / RUN_NAME
        if idist.get_rank() != 0 or not (self.root / "configs" / "train.json").is_file():
            return
        if record.is_file() and "index" not in json.loads(record.read_text(encoding="utf-8")):
            return  # of monai-cxr train
        config = read_config(self.root, "train")
        changed = {key: new for key, new in self.settings.items() if config.get(key) != new}
        write_settings(self.root, changed)
        table = normalise_index(read_table(self.index), self.findings)
        (self.root / INDEX_NAME).parent.mkdir(parents=True, exist_ok=True)
        write_table(table, self.root / INDEX_NAME)
        manifest = run_manifest(
            self.root.resolve(), table, self.findings, changed, config | self.settings
        )
        text = json.dumps({**manifest, "index": INDEX_NAME}, indent=2) + "\n"
        write_text(record, text)
