"""Film input: a file to what the networks take and what the table keeps, or why it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_cxr.errors import InputError
from monai_cxr.files import read_for_model
from monai_cxr.preprocessing import ResizePolicy, normalise, prepare
from monai_cxr.radiograph import Radiograph


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a network takes.

    Attributes:
        size: Side in pixels.
        resize: Resize policy.
    """

    size: int
    resize: ResizePolicy


@dataclass(frozen=True, slots=True)
class PreparedFilm:
    """A film as its networks take it; the film itself is gone.

    Attributes:
        inputs: float32, each of shape (1, size, size), one a spec.
        facts: Columns of the predictions table: the key, facts and flags.
    """

    inputs: tuple[NDArray[np.float32], ...]
    facts: dict[str, str | float | None]


@dataclass(frozen=True, slots=True)
class RefusedFilm:
    """A file that is not predicted.

    Attributes:
        reason: A stable code.
        message: One sentence.
    """

    reason: str
    message: str


def network_input(film: Radiograph | NDArray[np.float32], spec: InputSpec) -> NDArray[np.float32]:
    """One film as network input, float32, shape (1, size, size)."""
    return normalise(prepare(film, spec.size, resize=spec.resize))[None]


def read_film_input(path: Path, specs: Sequence[InputSpec]) -> PreparedFilm | RefusedFilm:
    """Read, decode, window and resize one file."""
    try:
        film = read_for_model(path)
    except InputError as error:
        return RefusedFilm(error.reason, str(error))
    return PreparedFilm(tuple(network_input(film, spec) for spec in specs), _facts(film))


def _facts(film: Radiograph) -> dict[str, str | float | None]:
    return {
        "patient_id": film.key.patient_id,
        "study_uid": film.key.study_uid,
        "series_uid": film.key.series_uid,
        "sop_uid": film.key.sop_uid,
        "view": film.view.value,
        "age": film.patient_age_years,
        "sex": film.patient_sex,
        "manufacturer": film.manufacturer,
        "reason": "",
        "message": "",
        "flags": ";".join(film.flags),
    }
