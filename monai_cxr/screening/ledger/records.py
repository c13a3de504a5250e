"""Records: what goes into the ledger and comes out of it, as frozen values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_cxr.errors import SettingsError
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.radiograph import FilmFacts, InstanceKey, ViewPosition
from monai_cxr.screening.ledger.schema import values_of

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
    """A film that has arrived and is stored durably at a path.

    Attributes:
        key: Identity; the SOP Instance UID is the key of the job.
        path: Where it is; the spool, or its place in an archive.
        pixel_sha256: SHA-256 of its pixels; ``""`` when not computed (archive).
        source: Which door it came through, for example ``"watch-folder"``.
        calling_ae: AE title of the sender, or ``""``.
        priority: A key of :data:`PRIORITY_DELAY_SECONDS`.
        size_bytes: Size in bytes of the file.
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
    """A film of the ledger and the state of its job.

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
        model_digest: Digest of the model of the result, ``""`` before there is one.
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
        facts: Facts of the film that the prediction is of.
        predicted_at: Seconds since 1970; None for the time of the commit.
    """

    film_id: int
    prediction: Prediction | None = None
    reason: str = ""
    message: str = ""
    facts: FilmFacts | None = None
    predicted_at: float | None = None

    @property
    def deliverable(self) -> bool:
        """Whether results go to the destinations.

        An image without a DICOM header has no study to put a report into.
        """
        return self.facts is not None and self.facts.source_format == "dicom"


@dataclass(frozen=True, slots=True)
class Result:
    """A stored result.

    Attributes:
        prediction: Scores, flags, model and key.
        facts: Facts of the film.
        predicted_at: Seconds since 1970.
    """

    prediction: Prediction
    facts: FilmFacts
    predicted_at: float


def film_of(row: Any) -> Film:
    """A row of ``films`` as a value."""
    key = InstanceKey(row.patient_id, row.study_uid, row.series_uid, row.sop_uid)
    return Film(key=key, **values_of(row, (n for n in Film.__dataclass_fields__ if n != "key")))


def result_row(outcome: Outcome, *, now: float) -> dict[str, Any]:
    """A prediction and the facts of its film as a row of ``results``; NaN is stored as null."""
    prediction, facts = outcome.prediction, outcome.facts
    assert prediction is not None
    assert facts is not None
    scores, model, columns = prediction.scores, prediction.model, facts.columns
    return {
        "sop_uid": prediction.key.sop_uid,
        "study_uid": prediction.key.study_uid,
        "model_digest": model.digest,
        "model_name": model.name,
        "model_version": model.version,
        "runtime": model.runtime,
        "findings": [score.finding for score in scores],
        "logits": [number_or_null(score.logit) for score in scores],
        "probabilities": [number_or_null(score.probability) for score in scores],
        "positive": [score.positive for score in scores],
        "flags": list(prediction.flags),
        "quality": {name: number_or_null(value) for name, value in facts.quality.items()},
        **{name: columns[name] for name in ("view", "age", "sex", "manufacturer")},
        "predicted_at": now if outcome.predicted_at is None else outcome.predicted_at,
    }


def result_of(row: Any, film: Film) -> Result:
    """A row of ``results`` as a value, with its film."""
    columns = zip(row.findings, row.logits, row.probabilities, row.positive, strict=True)
    scores = tuple(
        FindingScore(name, _float(logit), _float(probability), positive)
        for name, logit, probability, positive in columns
    )
    facts = FilmFacts(
        key=film.key,
        view=ViewPosition.of(row.view),
        patient_age_years=row.age,
        patient_sex=row.sex,
        manufacturer=row.manufacturer,
        flags=tuple(row.flags),
        quality={name: _float(value) for name, value in row.quality.items()},
        source_format="dicom" if film.sop_class_uid else "image",
    )
    model = ModelIdentity(row.model_name, row.model_version, row.model_digest, runtime=row.runtime)
    return Result(Prediction(facts.key, model, scores, facts.flags), facts, row.predicted_at)


def number_or_null(value: float) -> float | None:
    """A number as it is stored; null if it is not a number."""
    return None if math.isnan(value) or math.isinf(value) else float(value)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
