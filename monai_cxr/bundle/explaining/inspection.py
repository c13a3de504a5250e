"""Inspection: what a report shows of the films themselves, with the model at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.bundle.explaining.explanation import heat_overlay
from monai_cxr.bundle.explaining.saliency import saliency
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import InputError, InvalidTable
from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
from monai_cxr.evaluation.robustness import RobustnessPoint, robustness_curve
from monai_cxr.evaluation.statistics.localization import (
    FindingLocalization,
    LocalizedFilm,
    box_mask,
    localization_by_finding,
    localize_film,
)
from monai_cxr.evaluation.statistics.perturbation import PERTURBATIONS
from monai_cxr.preprocessing import prepare
from monai_cxr.radiograph import Radiograph
from monai_cxr.reading.film_readers import read_apart
from monai_cxr.reading.readings import WholeFilm
from monai_cxr.reading.thumbnails import picture_uri
from monai_cxr.report.inspection import WorstError
from monai_cxr.tables import require_columns

Progress = Callable[[int, int], None]

_THUMBNAIL = 256
LEAST_CELLS = 5


@dataclass(frozen=True, slots=True)
class Inspector:
    """A model and where the films of a prediction set are.

    Attributes:
        model: The bundle.
        paths: Path by image id.
        progress: Called with (done, total); None for silence.
    """

    model: BundleModel
    paths: dict[str, str]
    progress: Progress | None = None

    @classmethod
    def of(
        cls, model: BundleModel, predictions: pd.DataFrame, progress: Progress | None = None
    ) -> Inspector:
        """Take the paths from a predictions table.

        Raises:
            InvalidTable: If it has no path or image column.
        """
        require_columns(predictions, ("path", "sop_uid"), what="predictions table")
        paths = dict(zip(predictions["sop_uid"], predictions["path"], strict=True))
        return cls(model, paths, progress)

    def read(self, image_id: str) -> Radiograph | None:
        """A film, or None where it is gone or cannot be read any more."""
        try:
            return read_apart(WholeFilm(), Path(self.paths[image_id]))
        except (InputError, KeyError):
            return None

    def tell(self, done: int, total: int) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(done, total)


def map_method(model: BundleModel) -> str:
    """The map that can point: CAM, or occlusion where the network has none or its grid is coarse.

    DenseNet and its like shrink the film 32 times; with fewer than :data:`LEAST_CELLS` cells a side
    a CAM cannot tell one zone of a lung from another.
    """
    film = np.zeros((1, 1, model.image_size, model.image_size), dtype=np.float32)
    maps = model.runtime.run(film).cam
    return "cam" if maps is not None and maps.shape[-1] >= LEAST_CELLS else "occlusion"


def worst_errors(
    inspector: Inspector, data: PredictionSet, *, n_findings: int = 6
) -> tuple[WorstError, ...]:
    """For the findings with most positives, the worst miss and the worst false alarm.

    Args:
        inspector: Model and films.
        data: Calibrated predictions.
        n_findings: How many findings.

    Returns:
        At most two films per finding, with thumbnail and heatmap, the worst first.
    """
    positives = np.nansum(data.labels, axis=0)
    chosen = np.argsort(-positives, kind="stable")[:n_findings]
    errors: list[tuple[float, WorstError]] = []
    for done, column in enumerate(chosen, start=1):
        name = data.findings[column]
        for label in (1, 0):
            rows = np.flatnonzero(data.labels[:, column] == label)
            if not len(rows):
                continue
            error = np.abs(label - data.probabilities[rows, column])
            row = int(rows[np.argmax(error)])
            image_id, probability = str(data.image_ids[row]), float(data.probabilities[row, column])
            pictures = _pictures(inspector, image_id, name)
            film = WorstError(name, image_id, probability, label, *pictures)
            errors.append((float(error.max()), film))
        inspector.tell(done, len(chosen))
    return tuple(error for _, error in sorted(errors, key=lambda pair: -pair[0]))


def _pictures(inspector: Inspector, image_id: str, finding: str) -> tuple[str, str]:
    film = inspector.read(image_id)
    if film is None:
        return "", ""
    heat = saliency(inspector.model, film, [finding], map_method(inspector.model))[0]
    gray = np.repeat(film.pixels[:, :, None] * 255, 3, axis=2)
    return picture_uri(gray, _THUMBNAIL), picture_uri(heat_overlay(film.pixels, heat), _THUMBNAIL)


def localize(
    inspector: Inspector,
    data: PredictionSet,
    boxes: pd.DataFrame,
    *,
    method: str | None = None,
    reference_side: int | None = None,
    n_images: int | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[FindingLocalization, ...]:
    """Hold the model's maps against reference boxes.

    Args:
        inspector: Model and films.
        data: Whose images and patients count.
        boxes: Rows of sop_uid (or path), finding, x, y, width, height in pixels of the reference
            film.
        method: See :func:`~monai_cxr.bundle.explaining.saliency.saliency`; None takes
            :func:`map_method`.
        reference_side: Side of the square films that the boxes were drawn on (NIH: 1024); None
            when the boxes are in the films' own pixels.
        n_images: Only so many boxed films, drawn at random; None for all.
        n_bootstrap: Patient replicates.
        seed: Of that draw.

    Returns:
        Pointing game and IoU by finding.

    Raises:
        InvalidTable: If no boxed film is among the images.
    """
    boxes = _with_uids(boxes)
    require_columns(boxes, ("sop_uid", "finding", "x", "y", "width", "height"), what="boxes")
    patients = dict(zip(data.image_ids, data.patient_ids, strict=True))
    here = boxes[boxes["sop_uid"].isin(list(patients)) & boxes["finding"].isin(data.findings)]
    if here.empty:
        raise InvalidTable(f"None of the {len(boxes)} boxes belongs to an evaluated film.")
    films: list[LocalizedFilm] = []
    method = method or map_method(inspector.model)
    groups = list(here.groupby("sop_uid", sort=True))
    if n_images is not None and n_images < len(groups):
        drawn = np.random.default_rng(seed).choice(len(groups), n_images, replace=False)
        groups = [groups[i] for i in np.sort(drawn)]
    for done, (image_id, rows) in enumerate(groups, start=1):
        film = inspector.read(str(image_id))
        if film is not None:
            films += _localized(inspector.model, film, rows, method, reference_side, patients)
        inspector.tell(done, len(groups))
    return localization_by_finding(films, n_bootstrap=n_bootstrap)


def _with_uids(boxes: pd.DataFrame) -> pd.DataFrame:
    """Name the film by its path where no UID is given: DICOM by its stem, images by their name."""
    if "sop_uid" in boxes or "path" not in boxes:
        return boxes
    paths = [PurePath(path) for path in boxes["path"]]
    return boxes.assign(
        sop_uid=[path.stem if path.suffix == ".dcm" else path.name for path in paths]
    )


def _localized(
    model: BundleModel,
    film: Radiograph,
    rows: pd.DataFrame,
    method: str,
    reference_side: int | None,
    patients: dict[str, str],
) -> list[LocalizedFilm]:
    names = list(dict.fromkeys(rows["finding"]))
    maps = saliency(model, film, names, method)
    height, width = film.shape
    scale = (
        np.ones(4)
        if reference_side is None
        else np.array([width, height, width, height]) / reference_side
    )
    result = []
    for name, heat in zip(names, maps, strict=True):
        own = rows.loc[rows["finding"] == name, ["x", "y", "width", "height"]].to_numpy(float)
        reference = box_mask(own * scale, film.shape)
        patient = patients[str(rows["sop_uid"].iloc[0])]
        result.append(localize_film(heat, reference, finding=name, patient_id=patient))
    return result


def robustness(
    inspector: Inspector, data: PredictionSet, *, n_images: int = 100
) -> tuple[RobustnessPoint, ...]:
    """How the probabilities change when the films are changed as practice changes them.

    Args:
        inspector: Model and films.
        data: Predictions; of these a random sample is changed.
        n_images: Size of the sample.

    Returns:
        One curve a perturbation and finding, of films at four times the network's input size.
    """
    order = np.random.default_rng(0).permutation(len(data))[:n_images]
    chosen = np.zeros(len(data), dtype=bool)
    chosen[order] = True
    sample = data.where(chosen)
    films = [inspector.read(str(image_id)) for image_id in sample.image_ids]
    kept = np.array([film is not None for film in films])
    sample = sample.where(kept)
    side = 4 * inspector.model.image_size
    pixels = [prepare(film, side) for film in films if film is not None]
    untouched = _predicted(inspector.model, sample, pixels)
    points: list[RobustnessPoint] = []
    for done, perturbation in enumerate(PERTURBATIONS.values(), start=1):
        perturbed = {
            amount: _predicted(
                inspector.model,
                sample,
                [perturbation.apply(film, amount, i) for i, film in enumerate(pixels)],
            )
            for amount in perturbation.amounts
        }
        points += robustness_curve(
            untouched,
            perturbed,
            perturbation=perturbation.name,
            operating_points=list(inspector.model.operating_points.values()),
        )
        inspector.tell(done, len(PERTURBATIONS))
    return tuple(points)


def _predicted(
    model: BundleModel, sample: PredictionSet, films: Sequence[NDArray[np.float32]]
) -> PredictionSet:
    logits = [
        model.logits(np.stack([model.prepare(film) for film in films[i : i + 16]]))
        for i in range(0, len(films), 16)
    ]
    probabilities = model.probabilities(np.concatenate(logits))
    columns = [model.findings.index(name) for name in sample.findings]
    return sample.with_probabilities(probabilities[:, columns])
