"""Out of fold: every film predicted by a network that never saw its patient.

Patients are dealt to folds; for each fold a network is trained by the ordinary way on the others
and predicts it. A fold that is done is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from monai_cxr.bundle.inference import input_table, predict_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.data.splits import split_by_patient
from monai_cxr.errors import SettingsError
from monai_cxr.tables import read_table, write_table
from monai_cxr.training.run.workflow import prepare_run, train

_VALIDATION = 0.15


def predict_out_of_fold(
    index: pd.DataFrame,
    bundle: str,
    out: Path,
    settings: Mapping[str, Any],
    *,
    folds: int = 5,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Predict an index out of fold.

    Args:
        index: Films with their labels; those of the test split are left out.
        bundle: Bundle to train, a name or a folder.
        out: Folder of the folds' runs and predictions; what it holds is gone on with.
        settings: Settings of each training, as for ``monai-cxr train --set``.
        folds: Number of folds, at least 2.
        seed: Deals the patients.
        progress: Called with (folds done, folds).

    Returns:
        The predictions of all films that were not in the test split, in the index's order.

    Raises:
        SettingsError: If there are fewer than two folds, or more folds than patients.
    """
    used = index[index["split"] != "test"].reset_index(drop=True)
    patients = np.sort(used["patient_id"].astype(str).unique())
    if not 2 <= folds <= len(patients):
        raise SettingsError(
            f"Expected from 2 to {len(patients)} folds (one a patient), but got {folds}."
        )
    dealt = np.random.default_rng(seed).permutation(len(patients)) % folds
    fold_of = dict(zip(patients, dealt, strict=True))
    place = used["patient_id"].astype(str).map(fold_of).to_numpy()
    parts = []
    for fold in range(folds):
        done = out / f"fold_{fold}.parquet"
        if not done.is_file():
            _one_fold(used, place == fold, bundle, out / f"fold_{fold}", settings, done, seed)
        parts.append(read_table(done))
        if progress is not None:
            progress(fold + 1, folds)
    made = pd.concat(parts, ignore_index=True)
    order = pd.Series(range(len(used)), index=used["sop_uid"].astype(str))
    return made.iloc[np.argsort(order.loc[made["sop_uid"].astype(str)].to_numpy(), kind="stable")]


def _one_fold(
    used: pd.DataFrame,
    held: np.ndarray,
    bundle: str,
    folder: Path,
    settings: Mapping[str, Any],
    done: Path,
    seed: int,
) -> None:
    learnt = split_by_patient(
        used[~held].reset_index(drop=True), (1 - _VALIDATION, _VALIDATION, 0.0), seed=seed
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.parquet"
    write_table(learnt, path)
    run = folder / "run"
    train(prepare_run(bundle, path, run, settings))
    model = BundleModel.load(run)
    write_table(used[held], folder / "held.parquet")
    films = input_table([folder / "held.parquet"], model.findings)
    write_table(predict_table(model, films), done)
