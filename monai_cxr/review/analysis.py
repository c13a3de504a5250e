"""Analysis: what a model says of one image of a case; the film is read in a process of its own."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import BundleError
from monai_cxr.reading.film_input import RefusedFilm
from monai_cxr.reading.film_readers import shared_readers
from monai_cxr.reading.readings import NetworkInputs
from monai_cxr.review.cases import CaseImage


def analysed(image: CaseImage, source: Path | bytes, model: BundleModel | None) -> CaseImage:
    """An image with its prediction, or with the reason why there is none.

    Args:
        image: The image as it is known so far.
        source: Path of its file, or the bytes of it.
        model: Whose prediction; None to look only.
    """
    if model is None:
        return refused(image, RefusedFilm("no_model", "No model is loaded.", is_unsupported=True))
    film = shared_readers().read(NetworkInputs(model.specs), source)
    if isinstance(film, RefusedFilm):
        return refused(image, film)
    facts = film.facts
    try:
        (prediction,) = model.predict_prepared(
            [(facts.key, facts.flags)], np.stack(film.inputs), [facts.patient_age_years]
        )
    except BundleError as error:
        return refused(image, RefusedFilm("model_failed", str(error)))
    return replace(
        image,
        view=facts.view,
        prediction=replace(prediction, quality=facts.quality),
        flags=prediction.flags,
        predicted_at=time.time(),
    )


def refused(image: CaseImage, film: RefusedFilm) -> CaseImage:
    """An image that is not analysed."""
    return replace(image, reason=film.reason, sentence=film.message, failed=not film.is_unsupported)
