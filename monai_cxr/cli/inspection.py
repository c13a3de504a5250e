"""Inspection: what evaluate adds to its report when the bundle is at hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from monai_cxr.cli.output import progress

if TYPE_CHECKING:
    from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
    from monai_cxr.report.inspection import ReportExtras


def inspect_films(
    predictions: Path, scores: PredictionSet, bundle: str, *, boxes: str | None, robustness: int
) -> ReportExtras:
    """Look at the films of a predictions table.

    Args:
        predictions: The table, which says where the films are.
        scores: The same, aligned with labels.
        bundle: Folder of the bundle.
        boxes: ``"nih"``, a table, or None.
        robustness: Films to perturb.

    Returns:
        Worst errors, localization and robustness.
    """
    from monai_cxr.bundle.explaining import inspection
    from monai_cxr.bundle.model import BundleModel
    from monai_cxr.data.sets.chestxray14 import read_boxes
    from monai_cxr.report.inspection import ReportExtras
    from monai_cxr.tables import read_table

    model = BundleModel.load(bundle, runtime="torch")  # maps need the network itself
    table = read_table(predictions)
    with progress("worst errors") as report:
        inspector = inspection.Inspector.of(model, table, report)
        errors = inspection.worst_errors(inspector, scores)
    extras = ReportExtras(worst_errors=errors, method=inspection.map_method(model))
    if boxes is not None:
        reference = read_boxes() if boxes == "nih" else read_table(Path(boxes))
        side = 1024 if boxes == "nih" else None
        with progress("localization") as report:
            inspector = inspection.Inspector.of(model, table, report)
            found = inspection.localize(inspector, scores, reference, reference_side=side)
        extras = replace(extras, localization=found)
    if robustness:
        with progress("robustness") as report:
            inspector = inspection.Inspector.of(model, table, report)
            curves = inspection.robustness(inspector, scores, n_images=robustness)
        extras = replace(extras, robustness=curves)
    return extras
