"""Pretraining: what sets it apart from training with labels: no labels, and no patient twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.model import RUN_NAME
from monai_cxr.data.splits import rows_of_split
from monai_cxr.errors import InvalidTable
from monai_cxr.networks.contrastive import Embedder, pretext_network
from monai_cxr.tables import read_table
from monai_cxr.training.run_record import INDEX_NAME

BUNDLE = "chest_xray_pretraining"


def is_pretraining(config: Mapping[str, Any]) -> bool:
    """Whether a train config learns from unlabelled films."""
    return "pretext" in config


def check_pretext(config: Mapping[str, Any]) -> None:
    """Build what a pretraining config describes, so that what does not fit is told at once.

    Args:
        config: The train config, settings in it.

    Raises:
        SettingsError: If the pretext or one of its options is unknown.
        InvalidBundle: If the network cannot be built, or has no features to read.
    """
    network = build_network(dict(config))
    pretext_network(Embedder(network), config["pretext"], config["pretext_options"])


def refuse_unsplit(table: pd.DataFrame) -> None:
    """Refuse an index that does not say which films pretraining may see.

    Args:
        table: The index, normalised.

    Raises:
        InvalidTable: If a film is of no split, or none is of split train.
    """
    unsplit = int((table["split"] == "").sum())
    if unsplit:
        raise InvalidTable(
            f"{unsplit} of {len(table)} films are of no split, and pretraining must not see the "
            "patients of val and test. Make splits of the whole index first: monai-cxr split.",
            reason="no_split",
        )
    rows_of_split(table, "train")


def refuse_seen(initial_weights: object, table: pd.DataFrame) -> None:
    """Refuse weights that were pretrained on patients who are to judge them.

    Args:
        initial_weights: Setting of a run: a folder or a file of weights in one, or anything else.
        table: The index that is trained on, normalised.

    Raises:
        InvalidTable: If a patient of val or test was pretrained on.
    """
    run = _pretraining_run(initial_weights)
    if run is None:
        return
    seen = read_table(run)
    known = set(seen.loc[seen["split"] == "train", "patient_id"].astype(str))
    judging = set(table.loc[table["split"].isin(["val", "test"]), "patient_id"])
    both = known & judging
    if both:
        raise InvalidTable(
            f"The initial weights were pretrained on {len(both)} of the {len(judging)} patients of "
            "val and test, who would judge what they have taught. Split once, and pretrain on the "
            "index that is trained on.",
            reason="split_leaks",
        )


def _pretraining_run(source: object) -> Path | None:
    """The index of the pretraining run that weights lie in."""
    path = Path(str(source)) if source else Path()
    folder = path if path.is_dir() else path.parent.parent
    if not source or not (folder / RUN_NAME).is_file():
        return None
    if not is_pretraining(read_config(folder, "train")):
        return None
    found = [folder / name for name in ("index.parquet", INDEX_NAME)]
    return next((one for one in found if one.is_file()), None)
