"""Limitations: what the numbers of an evaluation do not say, in sentences."""

from __future__ import annotations

from monai_cxr.evaluation.results import Performance
from monai_cxr.findings import title_of
from monai_cxr.report.published import SPLITS

_FEW_PATIENTS = 30


def limitation_sentences(performance: Performance) -> list[str]:
    """What these numbers do not say, for the report, the model card and the viewer."""
    who = performance.identity
    items = [
        "Intervals cover the choice of patients only, not the training of the model or errors in "
        "the labels.",
        "AUROC ranks films; it does not say that a threshold works at another site. PPV, NPV and "
        "calibration move with the share of positives: judge them at your own prevalence.",
        "Films outside the scope that the bundle declares are refused; these numbers do not "
        "cover them.",
    ]
    if "nih" in who.labels.casefold() or "chestx-ray14" in who.data.casefold():
        items.append(
            "The labels were mined from reports. Against radiologists who read 4,376 of these "
            "films again, the label pneumothorax was right in 46 % and found 46 % of the cases "
            "(an enriched sample)."
        )
    if who.split not in SPLITS:
        items.append("The split is not one with published results, so none are shown beside it.")
    rare = [title_of(f.finding) for f in performance if 0 < f.n_positive_patients < _FEW_PATIENTS]
    if rare:
        items.append(
            f"Fewer than {_FEW_PATIENTS} positive patients: {', '.join(rare)}. Read with caution."
        )
    return items
