"""Cases: studies on a worklist, and the protocol of whoever supplies them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from monai_cxr.findings import FINDINGS
from monai_cxr.prediction import Prediction
from monai_cxr.radiograph import InstanceKey, ViewPosition

ROUTINE = 4
"""Urgency of a study without a flagged finding; findings have 1 (act now) to 3."""


class CaseStatus(str, Enum):
    """Progress of the analysis of a study; the reviews know whether somebody has read it."""

    WAITING = "waiting"
    ANALYSED = "analysed"
    NOT_ANALYSED = "not analysed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CaseImage:
    """One film of a study.

    Attributes:
        key: Identity; it stays on the server.
        film_id: Opaque name for links and caches, of the SOP Instance UID and the file's content:
            never a place in a list, which changes when a film arrives.
        view: Projection.
        prediction: What the model says, or None.
        reason: Code of a refusal or failure, ``""`` without one.
        sentence: The same for people.
        failed: Whether it could not be read, as opposed to being out of the model's scope.
        flags: Cautions, as stable codes.
        predicted_at: POSIX seconds of the prediction; 0 without one.
    """

    key: InstanceKey
    view: ViewPosition = ViewPosition.UNKNOWN
    prediction: Prediction | None = None
    reason: str = ""
    sentence: str = ""
    failed: bool = False
    flags: tuple[str, ...] = ()
    predicted_at: float = 0.0
    film_id: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One study.

    Attributes:
        case_id: Opaque name for links; it tells nothing of the patient.
        patient: Opaque name, the same for all studies of a patient; ``""`` when unknown.
        images: Its films, frontal ones first.
        status: Status of the analysis.
        received: POSIX seconds at which it arrived.
        acquired: ``YYYYMMDD`` or ``""``.
        patient_sex: ``"M"``, ``"F"``, ``"O"`` or ``""``.
        patient_age_years: Or None.
        prediction: Prediction of the study, or None.
        time: ``HHMMSS`` of the first film, or ``""``.
        accession: Accession number, or ``""``.
        shared: Whether films of another person carry the same Study Instance UID.
        study: What reviews and the audit call it; ``""``: its Study Instance UID.
    """

    case_id: str
    patient: str
    images: tuple[CaseImage, ...]
    status: CaseStatus
    received: float
    acquired: str = ""
    patient_sex: str = ""
    patient_age_years: float | None = None
    prediction: Prediction | None = field(default=None)
    time: str = ""
    accession: str = field(default="", repr=False)
    shared: bool = False
    study: str = field(default="", repr=False)

    @property
    def key(self) -> InstanceKey:
        """Identity of the first image."""
        return self.images[0].key

    @property
    def name(self) -> str:
        """What reviews and the audit call it: its UID, or the image's name where it has none."""
        return self.study or self.key.study_uid or self.key.sop_uid

    def image(self, film_id: str) -> CaseImage | None:
        """The film of this name, or None."""
        return next((image for image in self.images if image.film_id == film_id), None)

    @property
    def flagged(self) -> tuple[str, ...]:
        """Findings at or above their operating point, the most urgent first."""
        if self.prediction is None:
            return ()
        positive = [score for score in self.prediction.scores if score.positive]
        positive.sort(key=lambda score: (urgency_of(score.finding), -score.probability))
        return tuple(score.finding for score in positive)

    @property
    def urgency(self) -> int:
        """1 (act now) to 3 by its most urgent flagged finding, 4 without one."""
        return min((urgency_of(name) for name in self.flagged), default=ROUTINE)

    @property
    def refusal(self) -> CaseImage | None:
        """The first image that was refused or failed, where nothing was analysed."""
        if self.prediction is not None:
            return None
        return next((image for image in self.images if image.reason), None)


@dataclass(frozen=True, slots=True)
class Stray:
    """A received file that is not a film.

    Attributes:
        reason: Code.
        sentence: The same for people.
        door: How it came.
        at: POSIX seconds.
    """

    reason: str
    sentence: str
    door: str
    at: float


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One kind of work that waits, or that nobody will try again by itself.

    Attributes:
        what: Kind of work, in words.
        n: How much of it.
        oldest_seconds: Age of the oldest; NaN when nothing waits or the age is not known.
    """

    what: str
    n: int
    oldest_seconds: float


class CaseSource(Protocol):
    """Where cases come from: a folder of films, or a screening ledger."""

    name: str

    def version(self) -> int:
        """A number that grows with every change."""
        ...

    def cases(self) -> Sequence[Case]:
        """All cases, in no particular order."""
        ...

    def case(self, case_id: str) -> Case | None:
        """One case, or None when there is none of this name."""
        ...

    def data(self, image: CaseImage) -> bytes:
        """The file of an image.

        Raises:
            InputError: If it is gone or cannot be read.
        """
        ...

    def retry(self, case_id: str, *, actor: str) -> bool:
        """Analyse a refused or failed case again; False where there is nothing to try."""
        ...

    def queue(self) -> Sequence[QueueLine]:
        """What waits: for the model, and to be delivered."""
        ...

    def strays(self) -> Sequence[Stray]:
        """Files that came and never became a film of a study."""
        ...


def urgency_of(finding: str) -> int:
    """Urgency of a finding, 1 to 3; 3 for one that this package does not know."""
    return FINDINGS[finding].urgency if finding in FINDINGS else 3


def due(case: Case, *, longest_wait_seconds: float) -> float:
    """When a case wants to be read; a worklist shows the earliest first.

    Ageing: a model misses some films, and those would wait for ever behind flagged ones. So each
    class of urgency gives a case one longest wait more, and no more (Baltruschat et al., Eur
    Radiol 2021: a maximum waiting time is what makes prioritisation safe).

    Args:
        case: The case.
        longest_wait_seconds: How much later a case of the next class is due.

    Returns:
        POSIX seconds; the time of arrival for what cannot wait.
    """
    return case.received + longest_wait_seconds * (case.urgency - 1)


def opaque(secret: bytes, text: str) -> str:
    """A name for links that reveals nothing of an identifier: HMAC-SHA-256, 80 bits."""
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:20] if text else ""
