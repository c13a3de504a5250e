"""Heat maps for delivery: the film under the map of its most probable positive finding."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache

import numpy as np

from monai_cxr.bundle.explanation import heat_overlay
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.saliency import saliency
from monai_cxr.dicom.heatmap import heatmap_capture
from monai_cxr.dicom.instances import DicomInstance
from monai_cxr.dicom.structured_report import ReportedFilm
from monai_cxr.files import read_bytes, read_radiograph
from monai_cxr.screening.delivery import Builder
from monai_cxr.screening.ledger.outbox import DeliveryContent


def heatmap_builder(bundle: str, *, device: str = "auto", method: str = "cam") -> Builder:
    """A builder of Secondary Captures, for deliveries of kind ``"sc"``.

    It holds a model of its own, loaded at the first film, because a map is read off the network's
    inside, where a worker may be computing at the same time.

    Args:
        bundle: Folder of a packaged bundle.
        device: As for the worker.
        method: See :func:`monai_cxr.bundle.saliency.saliency`.

    Returns:
        A builder that gives None for a film without a positive finding.
    """

    @lru_cache(maxsize=1)
    def model() -> BundleModel:
        return BundleModel.load(bundle, device=device)

    def build(content: DeliveryContent) -> DicomInstance | None:
        prediction = content.result.prediction
        positive = [score for score in prediction.scores if score.positive]
        if not positive:
            return None
        finding = max(positive, key=lambda score: score.probability).finding
        data, _ = read_bytes(content.film.path)
        film = read_radiograph(data)
        heat = saliency(model(), film, [finding], method)[0]
        picture = np.clip(np.rint(heat_overlay(film.pixels, heat)), 0, 255).astype(np.uint8)
        return heatmap_capture(
            ReportedFilm(data, prediction),
            picture,
            finding,
            method=method,
            created=datetime.fromtimestamp(content.result.predicted_at, timezone.utc),
        )

    return build
