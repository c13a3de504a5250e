"""Encapsulated PDF: a film's report as a page to read, in the film's own study (PS3.3 A.45.1).

It says what the structured report says, for a viewer or a record that shows documents only. The
page names the film by its UID and nobody by name: whose film it is stands in the header, as the
film has it, and not in fonts that may lack the patient's script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from pydicom import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from monai_cxr import findings
from monai_cxr.dicom.header.elements import data_set
from monai_cxr.dicom.results.document import document
from monai_cxr.dicom.results.evidence import film_evidence, sop_reference
from monai_cxr.dicom.results.instances import (
    DicomInstance,
    InstanceReference,
    derived_uid,
    header_of,
    stamp,
    writing,
    written,
)
from monai_cxr.dicom.results.pdf_pages import Page, Rule, TextLine, pdf_document, wrapped
from monai_cxr.dicom.results.report_document import SERIES_DESCRIPTION, add_equipment, equipment
from monai_cxr.dicom.results.structured_report import ReportedFilm, reported_model
from monai_cxr.picture.flags import flag_words
from monai_cxr.prediction import FindingScore, ModelIdentity, OperatingPoint, Prediction

SERIES_NUMBER = 904

_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 539.0, 786.0, 84.0
_COLUMNS = {
    **{"Finding": _LEFT, "Probability": 196.0, "At the threshold": 258.0},
    **{"Threshold": 340.0, "Sensitivity (95 %)": 390.0, "Specificity (95 %)": 466.0},
}
_SMALL, _QUIET = 7.5, 0.4
_NOTE = "Made by a model, verified by nobody. Research use only, not for diagnosis."


def encapsulated_pdf(
    film: ReportedFilm,
    *,
    operating_points: Iterable[OperatingPoint] | Mapping[str, OperatingPoint] = (),
    calibration: str | Mapping[str, str] = "",
    created: datetime | None = None,
) -> DicomInstance:
    """Report one film as a PDF document in DICOM.

    Args:
        film: The film and its prediction.
        operating_points: Thresholds to state beside each finding.
        calibration: How probabilities were calibrated, for example ``"platt"``; or by finding.
        created: When the result was made, as for
            :func:`~monai_cxr.dicom.results.structured_report.structured_report`: with the time
            kept with the result, the bytes are the same on any host.

    Returns:
        The document. Its UID is derived from the film and the model, so that a resend is the same
        object.

    Raises:
        UnsupportedImage: As for a structured report.
        NotCalibrated: If the film has no probability at all.
        SettingsError: If the prediction belongs to another film.
    """
    points = (
        dict(operating_points)
        if isinstance(operating_points, Mapping)
        else {point.finding: point for point in operating_points}
    )
    made_at = created or datetime.now(timezone.utc)
    with writing():
        header = header_of(film.source)
        image = film_evidence(header)
        model = reported_model([film], [image])
        pages = _pages(film.prediction, model, points, calibration, made_at)
        document = pdf_document(pages, title="AI chest findings", created=made_at)
        result = _dataset(image, header, model)
        result.EncapsulatedDocumentLength = len(document)
        result.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
        stamp(result, made_at)
        return written(result)


def _dataset(image: Dataset, header: Dataset, model: ModelIdentity) -> Dataset:
    """The modules around the document: series, equipment, document (PS3.3 C.24.1, C.8.6.1)."""
    uid = str(image.SOPInstanceUID)
    own = (derived_uid(uid, model.digest, kind) for kind in ("pdf", "pdf-series"))
    result = document(
        InstanceReference(EncapsulatedPDFStorage, *own),
        image,
        header,
        Modality="DOC",
        SeriesNumber=SERIES_NUMBER,
        SeriesDescription=SERIES_DESCRIPTION,
        ConversionType="WSD",
        AcquisitionDateTime="",
        BurnedInAnnotation="NO",
        SourceInstanceSequence=[sop_reference(str(image.SOPClassUID), uid)],
        DocumentTitle=SERIES_DESCRIPTION,
        VerificationFlag="UNVERIFIED",
        ConceptNameCodeSequence=[_item(findings.REPORT_TITLE)],
        MIMETypeOfEncapsulatedDocument="application/pdf",
    )
    add_equipment(result, model)
    return result


def _item(concept: findings.Code) -> Dataset:
    return data_set(
        CodeValue=concept.value,
        CodingSchemeDesignator=concept.scheme,
        CodeMeaning=concept.meaning,
    )


@dataclass(slots=True)
class _Writer:
    """Puts lines under each other, on a new page where one is full."""

    pages: list[list[TextLine | Rule]] = field(default_factory=lambda: [[]])
    y: float = _TOP

    def need(self, height: float) -> None:
        if self.y - height < _BOTTOM:
            self.pages.append([])
            self.y = _TOP

    def line(
        self, text: str, *, size: float = 9.5, is_bold: bool = False, gray: float = 0.1
    ) -> None:
        """A text over the width of the page."""
        for part in wrapped(text, _RIGHT - _LEFT, size):
            self.need(size * 1.4)
            self.y -= size * 1.4
            self.pages[-1].append(TextLine(_LEFT, self.y, part, size, is_bold, gray))

    def row(self, cells: Mapping[str, str], *, size: float = 9.5, is_bold: bool = False) -> None:
        """A row of the table; a long name takes several lines."""
        name = wrapped(cells["Finding"], _COLUMNS["Probability"] - _LEFT, size)
        self.need(16.0 + 12.0 * (len(name) - 1))
        self.y -= 14.0
        for column, x in _COLUMNS.items():
            parts = name if column == "Finding" else [cells[column]]
            narrow = _SMALL if "(95 %)" in column else size
            for index, part in enumerate(parts):
                place = self.y - 12.0 * index
                self.pages[-1].append(TextLine(x, place, part, narrow, is_bold))
        self.y -= 12.0 * (len(name) - 1)

    def rule(self) -> None:
        self.y -= 5.0
        self.pages[-1].append(Rule(_LEFT, self.y, _RIGHT - _LEFT))

    def space(self, height: float) -> None:
        self.y -= height


def _pages(
    prediction: Prediction,
    model: ModelIdentity,
    points: Mapping[str, OperatingPoint],
    calibration: str | Mapping[str, str],
    created: datetime,
) -> list[Page]:
    writer, device = _Writer(), equipment(model)
    moment = (created if created.tzinfo else created.replace(tzinfo=timezone.utc)).astimezone(
        timezone.utc
    )
    writer.line("AI chest findings", size=20.0, is_bold=True)
    writer.space(8.0)
    name, version = device["manufacturer_model_name"], device["software_versions"]
    writer.line(f"Model {name}, version {version}, SHA-256 {model.digest[:12]}, {model.runtime}")
    writer.line(f"Read on {moment:%Y-%m-%d at %H:%M} UTC", gray=_QUIET)
    writer.space(14.0)
    scores = [score for score in prediction.scores if not math.isnan(score.probability)]
    writer.row({column: column for column in _COLUMNS}, size=_SMALL)
    writer.rule()
    for score in scores:
        writer.row(_cells(score, points.get(score.finding)), is_bold=bool(score.positive))
    writer.rule()
    writer.space(6.0)
    for note in _notes(scores, points, calibration):
        writer.line(note, size=8.0, gray=_QUIET)
    if prediction.flags:
        writer.space(10.0)
        writer.line("Cautions about this film", is_bold=True)
        for flag in prediction.flags:
            writer.line(flag_words(flag))
    n = len(writer.pages)
    return [
        [*page, *_foot(prediction, f"Page {number} of {n}")]
        for number, page in enumerate(writer.pages, 1)
    ]


def _cells(score: FindingScore, point: OperatingPoint | None) -> dict[str, str]:
    decision = {True: "present", False: "absent", None: "not stated"}[score.positive]
    values = ("", "", "")
    if point is not None:
        values = _share(point.threshold), str(point.sensitivity), str(point.specificity)
    said = (_title(score.finding), _share(score.probability), decision, *values)
    return dict(zip(_COLUMNS, said, strict=True))


def _title(name: str) -> str:
    return findings.finding_of(name).title  # in ASCII, also of a finding of one's own


def _share(value: float) -> str:
    """Three decimals, or what is left of a smaller number."""
    return f"{value:.3f}" if value >= 0.001 or value == 0.0 else f"{value:.1e}"


def _notes(
    scores: Iterable[FindingScore],
    points: Mapping[str, OperatingPoint],
    calibration: str | Mapping[str, str],
) -> Iterator[str]:
    """How thresholds were chosen and probabilities calibrated, each way once."""
    criteria: dict[str, list[str]] = {}
    methods: dict[str, list[str]] = {}
    listed = list(scores)
    for score in listed:
        point = points.get(score.finding)
        method = calibration if isinstance(calibration, str) else calibration.get(score.finding, "")
        if point is not None:
            criteria.setdefault(point.criterion, []).append(_title(score.finding))
        if method:
            methods.setdefault(method, []).append(_title(score.finding))
    for said, groups in (("Threshold chosen by", criteria), ("Probability calibrated by", methods)):
        for way, titles in groups.items():
            of = "" if len(titles) == len(listed) else f": {', '.join(titles)}"
            yield f"{said} {way}{of}"


def _foot(prediction: Prediction, page: str) -> Iterator[TextLine | Rule]:
    yield Rule(_LEFT, 70.0, _RIGHT - _LEFT)
    yield TextLine(_LEFT, 58.0, _NOTE, 8.0, is_bold=True)
    yield TextLine(_LEFT, 46.0, f"Film {prediction.key.sop_uid}", _SMALL, gray=_QUIET)
    yield TextLine(_RIGHT - 48.0, 46.0, page, _SMALL, gray=_QUIET)
