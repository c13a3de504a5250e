"""Report page: one self-contained HTML page of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from monai_cxr.evaluation.results import Performance


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


def render_page(performance: Performance, *, worst_errors: Sequence[WorstError] = ()) -> str:
    """The page as HTML."""
    rows = "".join(
        f"<tr><td>{escape(item.finding)}</td><td>{item.n}</td><td>{item.n_positive}</td>"
        f"<td>{item.auroc}</td></tr>"
        for item in performance
    )
    return f"<!doctype html><title>Performance</title><table>{rows}</table>"
