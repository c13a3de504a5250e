"""Study reports: one structured report of all films of a study, which replaces the one before.

A study that closes again, because a film came late, was corrected, taken back or read by another
model, is reported again. The new report names the one that the receiver has as its predecessor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from monai_cxr.dicom.results.instances import (
    DicomInstance,
    InstanceReference,
    derived_uid,
    renamed_to,
)
from monai_cxr.dicom.results.rejection_note import rejection_note
from monai_cxr.dicom.results.report_document import REPORT_CLASSES
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.prediction import OperatingPoint
from monai_cxr.reading.files import read_bytes
from monai_cxr.screening.delivering.builders import StudyBuilder, source_of
from monai_cxr.screening.ledger import Ledger, outbox, presentation, rejections, study_versions
from monai_cxr.screening.ledger.outbox import Delivery, DeliveryContent

Reporting = Callable[[str], tuple[Mapping[str, OperatingPoint], Mapping[str, str]]]
"""Gives, for a model's digest, its operating points and how each finding was calibrated."""


def study_report_builder(reporting: Reporting) -> StudyBuilder:
    """A builder of reports of whole studies, for deliveries of kind ``"study_sr"``.

    Args:
        reporting: What a model states beside its scores.

    Returns:
        A builder that gives None where the study has closed again since, where the receiver has a
        report of these very films, and where there is nothing to report. Where all films were
        rejected by their source, it gives a note that takes the last report back.
    """

    def build(ledger: Ledger, delivery: Delivery) -> DicomInstance | None:
        if study_versions.is_superseded(ledger, delivery):
            return None
        before = study_versions.delivered_before(ledger, delivery)
        contents = _reportable(ledger, delivery)
        if not contents:
            return _taken_back(ledger, delivery, before[-1]) if before else None
        if before and before[-1].sop_uid in _names(_identity(contents, before[:-1])):
            return None
        model = contents[0].result.prediction.model
        points, calibration = reporting(model.digest)
        made = structured_report(
            [ReportedFilm(source_of(one), one.result.prediction) for one in contents],
            operating_points=points,
            calibration=calibration,
            created=datetime.fromtimestamp(
                max(one.result.predicted_at for one in contents), timezone.utc
            ),
            predecessor=before[-1] if before else None,
        )
        series = derived_uid(delivery.study_uid, model.digest, "study-sr-series")
        return renamed_to(made, _identity(contents, before), series)

    return build


def _reportable(ledger: Ledger, delivery: Delivery) -> list[DeliveryContent]:
    """Films and results of the model that read last, without raw images that others speak for."""
    contents = [
        outbox.content(ledger, replace(delivery, sop_uid=one.key.sop_uid, model_digest=digest))
        for one in study_versions.films_with_results(ledger, delivery.study_uid)
        if (digest := one.model_digest)
    ]
    contents = [one for one in contents if one.result.facts.source_format == "dicom"]
    if not contents:
        return []
    newest = max(contents, key=lambda one: one.result.predicted_at).result.prediction.model.digest
    contents = [one for one in contents if one.result.prediction.model.digest == newest]
    shown = [(one.result.facts.view.value, one.result.prediction.flags) for one in contents]
    needless = presentation.needless(shown)
    return [one for one, is_needless in zip(contents, needless, strict=True) if not is_needless]


def _identity(contents: Sequence[DeliveryContent], before: Sequence[InstanceReference]) -> str:
    """UID of a report: of its films as they are, its model, and what it replaces."""
    films = [
        f"{one.film.key.sop_uid}{Path(one.film.path).stem if one.is_corrected else ''}"
        f"{one.film.key.patient_id if one.is_merged else ''}"
        for one in contents
    ]
    digest = contents[0].result.prediction.model.digest
    replaced = before[-1].sop_uid if before else ""
    return derived_uid("|".join([*sorted(films), replaced]), digest, "study-sr")


def _names(uid: str) -> set[str]:
    """UIDs that a report has in the classes that it may be sent in."""
    return {uid, *(derived_uid(uid, one, "sr-class") for one in REPORT_CLASSES[1:])}


def _taken_back(
    ledger: Ledger, delivery: Delivery, made: InstanceReference
) -> DicomInstance | None:
    found = rejections.of_study(ledger, delivery.study_uid)
    if found is None or made.sop_class_uid not in REPORT_CLASSES:
        return None
    path, code = found
    created = datetime.fromtimestamp(delivery.created_at, timezone.utc)
    return rejection_note(read_bytes(path)[0], [made], code, created=created)
