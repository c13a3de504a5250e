"""Heat maps for delivery: the film under the map of its most probable positive finding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr.bundle.explaining.explanation import heat_overlay
from monai_cxr.bundle.explaining.saliency import saliency
from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.results.heatmap import heatmap_capture, heatmap_segmentation
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.dicom.results.structured_report import ReportedFilm
from monai_cxr.radiograph import Radiograph
from monai_cxr.reading.files import read_bytes
from monai_cxr.reading.film_readers import read_apart
from monai_cxr.reading.readings import WholeFilm
from monai_cxr.screening.delivering.builders import Builder, source_of
from monai_cxr.screening.ledger.outbox import DeliveryContent


def heatmap_builders(
    bundle: Path | str, *, device: str = "auto", method: str = "cam"
) -> dict[str, Builder]:
    """Builders of heat maps: ``"sc"`` makes Secondary Captures, ``"seg"`` Segmentations.

    They hold a model of their own, loaded at the first film, because a map is read off the
    network's inside, where a worker may be computing at the same time.

    Args:
        bundle: Folder of a packaged bundle.
        device: As for the worker.
        method: See :func:`monai_cxr.bundle.explaining.saliency.saliency`.

    Returns:
        Builders that give None for a film without a positive finding.
    """

    @lru_cache(maxsize=1)
    def model() -> BundleModel:
        return BundleModel.load(bundle, device=device)

    def build(
        content: DeliveryContent, draw: Callable[[_Map], DicomInstance]
    ) -> DicomInstance | None:
        prediction = content.result.prediction
        positive = [score for score in prediction.scores if score.positive]
        if not positive:
            return None
        finding = max(positive, key=lambda score: score.probability).finding
        data, _ = read_bytes(content.film.path)
        film = read_apart(WholeFilm(), data)
        heat = saliency(model(), film, [finding], method)[0]
        created = datetime.fromtimestamp(content.result.predicted_at, timezone.utc)
        return draw(
            _Map(ReportedFilm(source_of(content), prediction), film, finding, heat, method, created)
        )

    return {"sc": partial(build, draw=_capture), "seg": partial(build, draw=_segmentation)}


@dataclass(frozen=True, slots=True, eq=False)
class _Map:
    source: ReportedFilm
    film: Radiograph
    finding: str
    heat: NDArray[np.float32]
    method: str
    created: datetime


def _capture(item: _Map) -> DicomInstance:
    overlay = heat_overlay(item.film.pixels, item.heat)
    picture = np.clip(np.rint(overlay), 0, 255).astype(np.uint8)
    return heatmap_capture(
        item.source, picture, item.finding, method=item.method, created=item.created
    )


def _segmentation(item: _Map) -> DicomInstance:
    return heatmap_segmentation(
        item.source, item.heat, item.finding, method=item.method, created=item.created
    )
