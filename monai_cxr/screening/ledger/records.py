"""Records: what goes into the ledger and comes out of it, as frozen values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_cxr.errors import SettingsError
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.radiograph import InstanceKey

PRIORITY_DELAY_SECONDS: Mapping[str, float] = {
    "STAT": 0.0,
    "HIGH": 600.0,
    "ROUTINE": 3_600.0,
    "LOW": 86_400.0,
}
"""How long a film of this priority (Requested Procedure Priority (0040,1003), without MEDIUM) gives
way to more urgent ones that arrive after it. Rank = received_at + delay is fixed when the film
arrives, so the queue needs no sorting, and nobody waits for ever: this is linear ageing."""


@dataclass(frozen=True, slots=True)
class ReceivedFilm:
    """A film that has arrived and lies durably at a path.

    Attributes:
        key: Identity; the SOP Instance UID is the key of the job.
        path: Where it lies; the spool, or its place in an archive.
        pixel_sha256: SHA-256 of its pixels; ``""`` when not computed (archive).
        source: Which door it came through, for example ``"watch-folder"``.
        calling_ae: AE title of the sender, or ``""``.
        priority: A key of :data:`PRIORITY_DELAY_SECONDS`.
        size_bytes: Of the file.
        sop_class_uid: SOP Class UID, ``""`` for a file that is not DICOM.
        modality: Modality.
        study_date: DICOM DA, or ``""``.
        accession_number: Or ``""``.
    """

    key: InstanceKey
    path: str = field(repr=False)
    pixel_sha256: str = ""
    source: str = ""
    calling_ae: str = ""
    priority: str = "ROUTINE"
    size_bytes: int = 0
    sop_class_uid: str = ""
    modality: str = ""
    study_date: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Refuse an unknown priority."""
        if self.priority not in PRIORITY_DELAY_SECONDS:
            raise SettingsError(
                f"Expected a priority of {', '.join(PRIORITY_DELAY_SECONDS)}, "
                f"but got '{self.priority}'."
            )


@dataclass(frozen=True, slots=True)
class Film:
    """A film of the ledger and where its job stands.

    Attributes:
        id: Row number; what logs and metrics may name.
        key: Identity.
        path: Where the file lies.
        state: ``"scheduled"``, ``"in_progress"``, ``"completed"`` or ``"quarantined"``.
        reason: Reason code of a quarantined film.
        attempts: Times it was leased.
        priority: See :data:`PRIORITY_DELAY_SECONDS`.
        received_at: Seconds since 1970.
        finished_at: Or None.
        sop_class_uid: ``""`` for a file that is not DICOM.
        source: Door.
        accession_number: Or ``""``.
        study_date: DICOM DA, or ``""``.
        pixel_sha256: Or ``""``.
        model_digest: Of the result, ``""`` before it.
    """

    id: int
    key: InstanceKey
    path: str = field(repr=False)
    state: str
    reason: str
    attempts: int
    priority: str
    received_at: float
    finished_at: float | None
    sop_class_uid: str
    source: str
    accession_number: str = field(repr=False)
    study_date: str = field(repr=False)
    pixel_sha256: str
    model_digest: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a leased film.

    Attributes:
        film_id: Row number of the film.
        prediction: What the model said; None when the film was refused.
        reason: Reason code of the refusal.
        message: The refusal for people, without identity.
        view: Projection.
        age: In years, or None.
        sex: ``"M"``, ``"F"``, ``"O"`` or ``""``.
        manufacturer: Of the device.
        quality: Measures of the picture.
        deliverable: Whether results go to the destinations; an image without a DICOM header has
            no study to put a report into.
        predicted_at: Seconds since 1970; None for the time of the commit.
    """

    film_id: int
    prediction: Prediction | None = None
    reason: str = ""
    message: str = ""
    view: str = ""
    age: float | None = None
    sex: str = ""
    manufacturer: str = ""
    quality: Mapping[str, float] = field(default_factory=dict)
    deliverable: bool = True
    predicted_at: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A stored result.

    Attributes:
        prediction: Scores, flags, model and key; the key has no series.
        view: Projection.
        age: In years, or None.
        sex: ``"M"``, ``"F"``, ``"O"`` or ``""``.
        manufacturer: Of the device.
        quality: Measures of the picture.
        predicted_at: Seconds since 1970.
    """

    prediction: Prediction
    view: str
    age: float | None
    sex: str
    manufacturer: str
    quality: Mapping[str, float]
    predicted_at: float


def film_of(row: Any) -> Film:
    """A row of ``films`` as a value."""
    return Film(
        id=row.id,
        key=InstanceKey(row.patient_id, row.study_uid, row.series_uid, row.sop_uid),
        path=row.path,
        state=row.state,
        reason=row.reason,
        attempts=row.attempts,
        priority=row.priority,
        received_at=row.received_at,
        finished_at=row.finished_at,
        sop_class_uid=row.sop_class_uid,
        source=row.source,
        accession_number=row.accession_number,
        study_date=row.study_date,
        pixel_sha256=row.pixel_sha256,
        model_digest=row.model_digest,
    )


def result_row(outcome: Outcome, prediction: Prediction, *, now: float) -> dict[str, Any]:
    """A prediction as a row of ``results``; NaN is stored as null."""
    scores, model = prediction.scores, prediction.model
    return {
        "sop_uid": prediction.key.sop_uid,
        "study_uid": prediction.key.study_uid,
        "model_digest": model.digest,
        "model_name": model.name,
        "model_version": model.version,
        "runtime": model.runtime,
        "findings": [score.finding for score in scores],
        "logits": [_number(score.logit) for score in scores],
        "probabilities": [_number(score.probability) for score in scores],
        "positive": [score.positive for score in scores],
        "flags": list(prediction.flags),
        "quality": {name: _number(value) for name, value in outcome.quality.items()},
        "view": outcome.view,
        "age": outcome.age,
        "sex": outcome.sex,
        "manufacturer": outcome.manufacturer,
        "predicted_at": now if outcome.predicted_at is None else outcome.predicted_at,
    }


def result_of(row: Any, *, patient_id: str = "", series_uid: str = "") -> Result:
    """A row of ``results`` as a value."""
    columns = zip(row.findings, row.logits, row.probabilities, row.positive, strict=True)
    scores = tuple(
        FindingScore(name, _float(logit), _float(probability), positive)
        for name, logit, probability, positive in columns
    )
    prediction = Prediction(
        InstanceKey(patient_id, row.study_uid, series_uid, row.sop_uid),
        ModelIdentity(row.model_name, row.model_version, row.model_digest, runtime=row.runtime),
        scores,
        tuple(row.flags),
    )
    return Result(
        prediction=prediction,
        view=row.view,
        age=row.age,
        sex=row.sex,
        manufacturer=row.manufacturer,
        quality={name: _float(value) for name, value in row.quality.items()},
        predicted_at=row.predicted_at,
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else float(value)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
