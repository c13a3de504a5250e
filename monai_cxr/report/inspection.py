"""Inspection: what a report may show of the films: worst errors, localization, robustness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monai_cxr.evaluation.json_values import json_of
from monai_cxr.evaluation.robustness import RobustnessPoint
from monai_cxr.evaluation.statistics.localization import FindingLocalization


@dataclass(frozen=True, slots=True)
class WorstError:
    """One film that the model got most wrong.

    Attributes:
        finding: Which finding.
        image_id: SOP Instance UID or image name.
        probability: Calibrated, in [0, 1].
        label: 0 or 1.
        thumbnail: PNG or JPEG data URI, or empty.
        heatmap: PNG data URI of the same size, or empty.
    """

    finding: str
    image_id: str
    probability: float
    label: int
    thumbnail: str = ""
    heatmap: str = ""


@dataclass(frozen=True, slots=True)
class ReportExtras:
    """What a report may show in addition to the performance.

    Attributes:
        worst_errors: Films, the worst first.
        localization: Heatmaps against references, by finding.
        robustness: Points of all perturbations.
        method: How the maps were made.
    """

    worst_errors: Sequence[WorstError] = ()
    localization: Sequence[FindingLocalization] = ()
    robustness: Sequence[RobustnessPoint] = ()
    method: str = ""

    def to_json(self) -> dict[str, object]:
        """The value of ``inspection.json``: the same without pictures."""
        errors = [
            {
                "finding": film.finding,
                "image_id": film.image_id,
                "probability": film.probability,
                "label": film.label,
            }
            for film in self.worst_errors
        ]
        return {
            "format": "monai_cxr inspection",
            "schema_version": "1.0",
            "method": self.method,
            "worst_errors": errors,
            "localization": [item.to_json() for item in self.localization],
            "robustness": json_of(tuple(self.robustness)),
        }
