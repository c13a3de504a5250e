"""Builders: how the object of a delivery is made from a film, its result and its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.results.instances import DicomInstance, Source, header_of
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.picture.quiet import quiet
from monai_cxr.prediction import OperatingPoint
from monai_cxr.reading.files import read_bytes
from monai_cxr.screening.delivering.receivers.destination import Made
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.outbox import Delivery, DeliveryContent

Builder = Callable[[DeliveryContent], Made | None]
"""Makes the object of a delivery, the same each time; None where there is nothing to send."""

StudyBuilder = Callable[[Ledger, Delivery], Made | None]
"""The same for a delivery that is not of one film and one result."""


def source_of(content: DeliveryContent) -> Source:
    """A film's file; or its header with the patient ID that stands since two were merged.

    Raises:
        InputError: If the file is away or cannot be parsed.
    """
    data, _ = read_bytes(content.film.path)
    if not content.is_merged:
        return data
    header = header_of(data)
    with quiet():
        if elements.identifier(header, "PatientID") != content.film.key.patient_id:
            header.PatientID = content.film.key.patient_id
    return header


def report_builder(
    operating_points: Mapping[str, OperatingPoint],
    calibration: str | Mapping[str, str] = "",
    write: Callable[..., DicomInstance] = structured_report,
) -> Callable[[DeliveryContent], DicomInstance]:
    """A builder of reports of a film, for deliveries of kind ``"sr"`` or ``"pdf"``.

    Args:
        operating_points: Of the model, by finding.
        calibration: How its probabilities were calibrated, by finding.
        write: :func:`~monai_cxr.dicom.results.structured_report.structured_report` or
            :func:`~monai_cxr.dicom.results.encapsulated_pdf.encapsulated_pdf`.
    """

    def build(content: DeliveryContent) -> DicomInstance:
        return write(
            ReportedFilm(source_of(content), content.result.prediction),
            operating_points=operating_points,
            calibration=calibration,
            created=datetime.fromtimestamp(content.result.predicted_at, timezone.utc),
        )

    return build
