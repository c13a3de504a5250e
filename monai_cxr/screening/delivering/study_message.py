"""Study message: what a message says besides the predictions: which order, when, whose."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from monai_cxr.errors import SettingsError
from monai_cxr.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Message:
    """A written message, with what a carrier must know of it.

    Attributes:
        identifier: UUID, the same on a resend.
        suffix: Suffix of its file, for example ``".json"``.
        data: Its bytes.
    """

    identifier: str
    suffix: str
    data: bytes

    @property
    def file_name(self) -> str:
        """Its name in a folder."""
        return f"{self.identifier}{self.suffix}"

    def __repr__(self) -> str:
        """Show the identifier and the size; no patient."""
        return f"Message({self.file_name!r}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class StudyReport:
    """Predictions of one study by one model, as they go into a message.

    Attributes:
        predictions: One per film.
        created: When they were made, with a time zone.
        accession_number: AccessionNumber (0008,0050), or ``""``.
        patient_name: DICOM PersonName, or ``""``; HL7 version 2 wants one.
        study_started: Study date and time, with the film's time zone where its header states one,
            or None.
        birth_date: PatientBirthDate as ``YYYYMMDD``, or ``""``.
        sex: ``"M"``, ``"F"``, ``"O"`` or ``""``.
        issuer: Issuer of the patient ID: (namespace, universal ID, type of that), each or ``""``.
        placer_number: Placer order number (0040,2016), or ``""``.
        filler_number: Filler order number (0040,2017), or ``""`` for the accession number.
        variant: What tells the report of a corrected film from that of the film before, or ``""``.
        is_update: Whether a receiver may have the report under another patient ID.
    """

    predictions: tuple[Prediction, ...]
    created: datetime
    accession_number: str = ""
    patient_name: str = ""
    study_started: datetime | None = None
    birth_date: str = ""
    sex: str = ""
    issuer: tuple[str, str, str] = ("", "", "")
    placer_number: str = ""
    filler_number: str = ""
    variant: str = ""
    is_update: bool = False

    def __post_init__(self) -> None:
        """Refuse a mixture.

        Raises:
            SettingsError: If there is none, or they mix studies or models, or a time has no zone.
        """
        if not self.predictions:
            raise SettingsError("Expected at least one prediction to report, but got none.")
        for name, values in (
            ("study", {p.key.study_uid for p in self.predictions}),
            ("model", {p.model.digest for p in self.predictions}),
            ("patient", {p.key.patient_id for p in self.predictions}),
        ):
            if len(values) != 1:
                raise SettingsError(f"Expected predictions of one {name}, but got {len(values)}.")
        if self.created.tzinfo is None:
            raise SettingsError("Expected 'created' with a time zone, such as timezone.utc.")

    def __repr__(self) -> str:
        """How many predictions; no patient."""
        return f"StudyReport({len(self.predictions)} predictions)"

    @property
    def study_uid(self) -> str:
        """Study Instance UID."""
        return self.predictions[0].key.study_uid

    @property
    def patient_id(self) -> str:
        """PatientID."""
        return self.predictions[0].key.patient_id

    def identifier(self, kind: str) -> str:
        """A name-based UUID of this report's films, model and kind: the same on a resend."""
        return self.identifier_of([p.key.sop_uid for p in self.predictions], kind)

    def identifier_of(self, sop_uids: Sequence[str], kind: str) -> str:
        """The same of some of its films, or of none."""
        return identifier(sop_uids, self.digest, f"{kind} {self.variant}".rstrip())

    @property
    def control_id(self) -> str:
        """MSH-10: another one where the same report goes out under another patient ID."""
        again = f"oru {self.patient_id}" if self.is_update else "oru"
        return self.identifier(again)

    @property
    def digest(self) -> str:
        """Digest of the model."""
        return self.predictions[0].model.digest


def identifier(sop_uids: Sequence[str], digest: str, kind: str) -> str:
    """A name-based UUID (RFC 9562 5.5) of films, model and kind."""
    name = f"{'|'.join(sorted(sop_uids))}|{digest}|{kind}"
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))
