"""Runs: compare what several runs were and what came of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.model import RUN_NAME
from monai_cxr.errors import InvalidBundle

METRICS_NAME = "metrics.csv"

FACTS = {
    "run": "run",
    "epochs": "epochs",
    "best_epoch": "best",
    "val_macro_auroc": "AUROC",
    "val_loss": "loss",
    "images_per_second": "images/s",
    "data": "data",
}
"""Columns of :func:`compare_runs` before the settings that differ, and short names of them."""


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """The runs that some folders are or hold, sorted within each folder.

    Raises:
        InvalidBundle: If there is none.
    """
    runs: list[Path] = []
    for folder in folders:
        own = [folder] if (folder / RUN_NAME).is_file() else []
        runs += own or sorted(path.parent for path in folder.glob(f"*/{RUN_NAME}"))
    if not runs:
        raise InvalidBundle(
            f"No run found: expected folders made by monai-cxr train, with a {RUN_NAME}."
        )
    return runs


def best_epoch(run: Path) -> dict[str, float]:
    """The row of ``metrics.csv`` of a run's best epoch, by its own rule; empty before the first."""
    if not (run / METRICS_NAME).is_file():
        return {}
    table = pd.read_csv(run / METRICS_NAME)
    config = read_config(run, "train")
    values = table.get(config.get("best_metric", "val_macro_auroc"))
    if values is None or values.isna().all():  # not validated yet
        return {str(k): float(v) for k, v in table.iloc[-1].items()}
    best = values.idxmin() if config.get("best_mode") == "min" else values.idxmax()
    return {str(k): float(v) for k, v in table.loc[best].items()}


def compare_runs(runs: Iterable[Path]) -> pd.DataFrame:
    """One row a run: its best epoch, its speed, and the settings in which the runs differ.

    Args:
        runs: Folders of runs.

    Returns:
        Sorted by validation AUROC, best first.
    """
    rows, settings = [], []
    for run in runs:
        manifest = json.loads((run / RUN_NAME).read_text(encoding="utf-8"))
        best = best_epoch(run)
        done = len(pd.read_csv(run / METRICS_NAME)) if best else 0
        rows.append(
            {
                "run": run.name,
                "epochs": done,
                "best_epoch": int(best.get("epoch", 0)),
                "val_macro_auroc": best.get("val_macro_auroc", math.nan),
                "val_loss": best.get("val_loss", math.nan),
                "images_per_second": best.get("images_per_second", math.nan),
                "data": manifest["data"]["digest"][:8],
            }
        )
        settings.append(manifest["settings"])
    table = pd.DataFrame(rows)
    for name in sorted({key for one in settings for key in one}):
        values = [_text(one.get(name)) for one in settings]
        if len(set(values)) > 1:
            table[name] = values
    return table.sort_values("val_macro_auroc", ascending=False, ignore_index=True)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return Path(text).name if text.startswith("/") else text  # places name no one else's folders
