"""Film reading: films to outcomes; what went wrong with one decides what becomes of it.

An :class:`InputError` is the film's own fault: it is an outcome like a prediction. A
:class:`BundleError` is the installation's and stops everything. Anything else may pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import BundleError, InputError, MissingDependency
from monai_cxr.prediction import Prediction
from monai_cxr.radiograph import InstanceKey, Radiograph
from monai_cxr.screening.arriving.spool import MAY_PASS
from monai_cxr.screening.ledger.records import Outcome


class Predictor(Protocol):
    """What a worker needs of a model; :class:`monai_cxr.bundle.model.BundleModel` has it."""

    def read(self, source: Path, /) -> Radiograph:
        """Read a film that this model may read."""

    def prepare(self, radiograph: Radiograph, /) -> NDArray[np.float32]:
        """One film as network input, shape (1, size, size)."""

    def predict_prepared(
        self,
        films: Sequence[tuple[InstanceKey, tuple[str, ...]]],
        inputs: NDArray[np.float32],
    ) -> list[Prediction]:
        """Predictions of films that are ready, inputs of shape (B, 1, size, size)."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A film that has been read and is ready for the model; its full pixels are gone.

    Attributes:
        key: Identity, as the ledger has it.
        flags: Cautions.
        inputs: float32, shape (1, size, size).
        view: Projection.
        age: In years, or None.
        sex: Or ``""``.
        manufacturer: Or ``""``.
        quality: Measures of the picture.
        is_dicom: Whether there is a header, and so a study to report into.
    """

    key: InstanceKey
    flags: tuple[str, ...]
    inputs: NDArray[np.float32]
    view: str
    age: float | None
    sex: str
    manufacturer: str
    quality: Mapping[str, float]
    is_dicom: bool


def prepare_film(model: Predictor, key: InstanceKey, path: str) -> Prepared:
    """Read a film, check its scope, and bring it to the network's input.

    Raises:
        InputError: If the model may not read it.
    """
    film = model.read(Path(path))
    return Prepared(
        key=key,
        flags=film.flags,
        inputs=model.prepare(film),
        view=film.view.value,
        age=film.patient_age_years,
        sex=film.patient_sex,
        manufacturer=film.manufacturer,
        quality=film.quality,
        is_dicom=film.source_format == "dicom",
    )


def outcome_of(film_id: int, film: Prepared, prediction: Prediction) -> Outcome:
    """A prediction with the facts that are stored beside it."""
    return Outcome(
        film_id,
        prediction,
        view=film.view,
        age=film.age,
        sex=film.sex,
        manufacturer=film.manufacturer,
        quality=film.quality,
        deliverable=film.is_dicom,
    )


def outcomes_of(
    model: Predictor, reads: Sequence[tuple[int, Callable[[], Prepared]]]
) -> tuple[list[Outcome], list[tuple[int, Exception]]]:
    """Read and predict films; one that fails does not stop the others.

    Args:
        model: The model.
        reads: (film, what reads it), at most a batch.

    Returns:
        Outcomes, refusals among them; and (film, error) of what may be tried again.

    Raises:
        BundleError: If the model is wrong.
    """
    outcomes: list[Outcome] = []
    errors: list[tuple[int, Exception]] = []
    ready: list[tuple[int, Prepared]] = []
    for film_id, read in reads:
        try:
            ready.append((film_id, read()))
        except InputError as error:
            if error.reason in MAY_PASS:
                errors.append((film_id, error))
            else:
                outcomes.append(Outcome(film_id, reason=error.reason, message=str(error)))
        except (BundleError, MissingDependency):
            raise
        except Exception as error:  # noqa: BLE001 - one film must not stop the others
            errors.append((film_id, error))
    predicted, failed = _predicted(model, ready)
    return outcomes + predicted, errors + failed


def _predicted(
    model: Predictor, ready: Sequence[tuple[int, Prepared]]
) -> tuple[list[Outcome], list[tuple[int, Exception]]]:
    if not ready:
        return [], []
    films = [prepared for _, prepared in ready]
    try:
        predictions = model.predict_prepared(
            [(film.key, film.flags) for film in films],
            np.stack([film.inputs for film in films]),
        )
    except (BundleError, MissingDependency):
        raise
    except Exception as error:  # noqa: BLE001 - which film it was is found out one by one
        if len(ready) == 1:
            return [], [(ready[0][0], error)]
        each = [_predicted(model, [one]) for one in ready]
        return [o for found, _ in each for o in found], [e for _, found in each for e in found]
    found = zip(ready, predictions, strict=True)
    return [outcome_of(film_id, film, prediction) for (film_id, film), prediction in found], []
