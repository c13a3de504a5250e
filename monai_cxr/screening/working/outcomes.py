"""Outcomes: what becomes of the films of a batch; what went wrong with one decides it.

A refusal is the film's own fault: it is an outcome like a prediction. A :class:`BundleError` is the
installation's and stops everything. Anything else may pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import BundleError, InputError, MissingDependency
from monai_cxr.prediction import Prediction
from monai_cxr.radiograph import InstanceKey
from monai_cxr.reading.film_input import InputSpec, PreparedFilm
from monai_cxr.reading.film_readers import FilmReaders
from monai_cxr.reading.readings import NetworkInputs
from monai_cxr.screening.arriving.spool import MAY_PASS
from monai_cxr.screening.ledger.records import Outcome


class ScreeningModel(Protocol):
    """What a worker needs of a model; :class:`monai_cxr.bundle.model.BundleModel` has it."""

    @property
    def specs(self) -> tuple[InputSpec, ...]:
        """What its network takes: one."""

    def predict_prepared(
        self,
        films: Sequence[tuple[InstanceKey, tuple[str, ...]]],
        inputs: NDArray[np.float32],
        ages: Sequence[float | None] = (),
    ) -> list[Prediction]:
        """Predictions of films that are ready, shape (B, 1, size, size); ages are in years."""


def prepare_film(
    readers: FilmReaders, model: ScreeningModel, key: InstanceKey, path: str
) -> PreparedFilm:
    """Read a film in another process, check its scope, and prepare it for the network.

    Args:
        readers: The processes.
        model: Its spec is read for.
        key: Identity, as the ledger has it; it goes before that of the file.
        path: The file.

    Raises:
        InputError: If the model may not read it, or if it cost its reader.
    """
    film = readers.read(NetworkInputs(model.specs), Path(path))
    if not isinstance(film, PreparedFilm):
        raise film.error()
    return replace(film, facts=replace(film.facts, key=key))


def outcomes_of(
    model: ScreeningModel, reads: Sequence[tuple[int, Callable[[], PreparedFilm]]]
) -> tuple[list[Outcome], list[tuple[int, Exception]]]:
    """Predict films that have been read; one that fails does not stop the others.

    Args:
        model: The model.
        reads: (film, what gives it), at most a batch.

    Returns:
        Outcomes, refusals among them; and (film, error) of what may be tried again.

    Raises:
        BundleError: If the model is wrong.
    """
    outcomes: list[Outcome] = []
    errors: list[tuple[int, Exception]] = []
    ready: list[tuple[int, PreparedFilm]] = []
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
    model: ScreeningModel, ready: Sequence[tuple[int, PreparedFilm]]
) -> tuple[list[Outcome], list[tuple[int, Exception]]]:
    if not ready:
        return [], []
    films = [film for _, film in ready]
    try:
        predictions = model.predict_prepared(
            [(film.facts.key, film.facts.flags) for film in films],
            np.stack([film.inputs[0] for film in films]),
            [film.facts.patient_age_years for film in films],
        )
    except (BundleError, MissingDependency):
        raise
    except Exception as error:  # noqa: BLE001 - which film it was is found out one by one
        if len(ready) == 1:
            return [], [(ready[0][0], error)]
        each = [_predicted(model, [one]) for one in ready]
        return [o for found, _ in each for o in found], [e for _, found in each for e in found]
    found = zip(ready, predictions, strict=True)
    return [Outcome(film_id, said, facts=film.facts) for (film_id, film), said in found], []
