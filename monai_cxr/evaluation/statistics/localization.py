"""Localization: does a heatmap point to where the finding is? Pointing game and IoU, by finding.

A heatmap and its reference share the pixels of the film: rows down, columns right, the centre of
the first pixel at (0, 0). Boxes are (x, y, width, height) in these pixels, as in NIH's list of 984.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.json_values import json_of
from monai_cxr.evaluation.statistics.bootstrap import BootstrapPlan
from monai_cxr.evaluation.statistics.clusters import clusters_of, patient_codes
from monai_cxr.evaluation.statistics.intervals import Resampled, patient_interval
from monai_cxr.evaluation.statistics.shares import share_interval
from monai_cxr.prediction import Interval

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

IOU_THRESHOLDS = (0.1, 0.25, 0.5)
AREA_MATCHED = "area"


@dataclass(frozen=True, slots=True)
class LocalizedFilm:
    """One finding on one film: how well the heatmap met the reference.

    Attributes:
        finding: Name.
        patient_id: Patient, for the intervals.
        hit: Whether the hottest pixel lies in the reference (within the tolerance).
        iou: Intersection over union of the hot region and the reference, in [0, 1].
        inside: Share of the heatmap's positive weight that lies in the reference, in [0, 1].
        reference_share: Share of the film that the reference covers: what chance would hit.
    """

    finding: str
    patient_id: str
    hit: bool
    iou: float
    inside: float
    reference_share: float


@dataclass(frozen=True, slots=True)
class FindingLocalization:
    """How well the heatmaps of one finding meet their references.

    Attributes:
        finding: Name.
        n: Films.
        n_patients: Patients.
        pointing: Share of hits, with an interval over patients.
        by_chance: Share of hits of a random pixel.
        mean_iou: Mean intersection over union of box and map, with a patient bootstrap interval.
        iou_above: Share of films with an IoU of at least each of :data:`IOU_THRESHOLDS`.
    """

    finding: str
    n: int
    n_patients: int
    pointing: Interval
    by_chance: float
    mean_iou: Interval
    iou_above: tuple[Interval, ...]

    def to_json(self) -> dict[str, object]:
        """The entry of ``inspection.json``."""
        entry = json_of(self)
        shares = zip(IOU_THRESHOLDS, entry.pop("iou_above"), strict=True)
        return {**entry, "iou_at_least": {f"{least:g}": share for least, share in shares}}


def box_mask(boxes: ArrayLike, shape: tuple[int, int]) -> Mask:
    """Draw boxes.

    Args:
        boxes: Shape (K, 4) of (x, y, width, height) in pixels; parts outside are cut off.
        shape: Rows and columns.

    Returns:
        bool, of that shape: pixels whose centre lies in a box.

    Raises:
        InvalidTable: If a box has no area, or lies outside the film.
    """
    mask = np.zeros(shape, dtype=bool)
    for x, y, width, height in np.atleast_2d(np.asarray(boxes, dtype=np.float64)):
        if not (width > 0.0 and height > 0.0):
            raise InvalidTable(f"Expected a box with an area, but got {width:g} x {height:g}.")
        top, left = max(0, math.ceil(y)), max(0, math.ceil(x))
        bottom = min(shape[0], math.ceil(y + height))
        right = min(shape[1], math.ceil(x + width))
        if top >= bottom or left >= right:
            raise InvalidTable(
                f"A box at ({x:g}, {y:g}) of {width:g} x {height:g} holds no pixel of a film of "
                f"{shape[0]} rows and {shape[1]} columns. Scale boxes with the film."
            )
        mask[top:bottom, left:right] = True
    return mask


def pointing_hit(heatmap: ArrayLike, reference: Mask, *, tolerance: int = 0) -> bool:
    """Whether the hottest pixel is inside the reference (Zhang et al. 2018).

    Args:
        heatmap: Shape (rows, columns), finite; larger is hotter. Of equal maxima the one nearest
            to their mean counts.
        reference: bool, same shape.
        tolerance: Pixels by which a miss is forgiven.

    Returns:
        True for a hit; False for a heatmap without contrast, which points nowhere.
    """
    heat = _checked(heatmap, reference)
    if float(np.ptp(heat)) == 0.0:
        return False
    peaks = np.argwhere(heat == heat.max())
    row, column = peaks[np.argmin(((peaks - peaks.mean(axis=0)) ** 2).sum(axis=1))]
    rows, columns = np.nonzero(reference)
    if not len(rows):
        return False
    nearest = np.min((rows - row) ** 2 + (columns - column) ** 2)
    return bool(nearest <= tolerance**2)


def hot_region(heatmap: Floats, threshold: float | str, reference: Mask) -> Mask:
    """The part of a heatmap that is called hot.

    Args:
        heatmap: Shape (rows, columns), finite.
        threshold: A share of the way from the minimum to the maximum, in (0, 1), or ``"area"``:
            as many of the hottest pixels as the reference has, which no choice can flatter.
        reference: bool, same shape.

    Returns:
        bool, same shape; empty without contrast.
    """
    low, high = float(heatmap.min()), float(heatmap.max())
    if low == high:
        return np.zeros(heatmap.shape, dtype=bool)
    if threshold == AREA_MATCHED:
        n = int(reference.sum())
        if n == 0:
            return np.zeros(heatmap.shape, dtype=bool)
        hottest = np.argsort(-heatmap.reshape(-1), kind="stable")[:n]
        region = np.zeros(heatmap.size, dtype=bool)
        region[hottest] = True
        return region.reshape(heatmap.shape)
    if isinstance(threshold, str) or not 0.0 < threshold < 1.0:
        raise InvalidTable(f"Expected a threshold in (0, 1) or 'area', but got {threshold!r}.")
    return heatmap >= low + threshold * (high - low)


def intersection_over_union(a: Mask, b: Mask) -> float:
    """|A and B| / |A or B|; NaN for two empty masks."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else math.nan


def localize_film(
    heatmap: ArrayLike, reference: Mask, *, finding: str, patient_id: str
) -> LocalizedFilm:
    """Hold one heatmap against one reference mask.

    Args:
        heatmap: Shape (rows, columns), finite; larger is hotter.
        reference: bool, same shape, not empty; see :func:`box_mask`.
        finding: Name.
        patient_id: Patient.

    Returns:
        The film's numbers.
    """
    heat = _checked(heatmap, reference)
    if not reference.any():
        raise InvalidTable(f"The reference of {finding} is empty. Leave films without one out.")
    positive = np.maximum(heat, 0.0)
    weight = float(positive.sum())
    return LocalizedFilm(
        finding=finding,
        patient_id=patient_id,
        hit=pointing_hit(heat, reference),
        iou=intersection_over_union(hot_region(heat, AREA_MATCHED, reference), reference),
        inside=float(positive[reference].sum()) / weight if weight > 0.0 else 0.0,
        reference_share=float(reference.mean()),
    )


def localization_by_finding(
    films: Sequence[LocalizedFilm], *, n_bootstrap: int = 1000
) -> tuple[FindingLocalization, ...]:
    """Put films together, finding by finding.

    Args:
        films: One per finding and film.
        n_bootstrap: Patient replicates.

    Returns:
        The findings in the order in which they first appear.
    """
    names = dict.fromkeys(film.finding for film in films)
    return tuple(
        _summary([film for film in films if film.finding == name], n_bootstrap) for name in names
    )


def _checked(heatmap: ArrayLike, reference: Mask) -> Floats:
    heat = np.asarray(heatmap, dtype=np.float64)
    if heat.ndim != 2 or heat.shape != reference.shape:
        raise InvalidTable(
            f"Expected a heatmap of the film's shape {reference.shape}, but got {heat.shape}. "
            "Bring it to the film's own pixels first."
        )
    if not np.isfinite(heat).all():
        raise InvalidTable("The heatmap holds values that are not finite.")
    return heat


def _summary(films: Sequence[LocalizedFilm], n_bootstrap: int) -> FindingLocalization:
    codes, n_patients = patient_codes([film.patient_id for film in films])
    ious = np.array([film.iou for film in films])
    sums = np.zeros((n_patients, 2))
    np.add.at(sums, codes, np.column_stack([ious, np.ones(len(films))]))
    plan = BootstrapPlan(n_patients, n_bootstrap if n_patients > 1 else 0, 0)
    blocks = [sums.T @ block for block in plan.blocks()]
    drawn = np.concatenate(blocks, axis=1) if blocks else np.empty((2, 0))
    mean_iou = Resampled(float(ious.mean()), drawn[0] / drawn[1], clusters_of(codes))

    def share(hits: NDArray[np.bool_]) -> Interval:
        interval = share_interval(hits, codes)
        return interval if plan.n_replicates else Interval(interval.estimate)

    return FindingLocalization(
        finding=films[0].finding,
        n=len(films),
        n_patients=n_patients,
        pointing=share(np.array([film.hit for film in films], dtype=bool)),
        by_chance=float(np.mean([film.reference_share for film in films])),
        mean_iou=patient_interval(mean_iou, of_area=True),
        iou_above=tuple(share(ious >= threshold) for threshold in IOU_THRESHOLDS),
    )
