"""Structured report: predictions to a Comprehensive 3D SR of TID 1500 in the film's own study.

Each finding of each film is one Measurement and Qualitative Evaluation Group (TID 1501): the
calibrated probability, present or absent at the operating point, which algorithm said it and from
which image. The report is PRELIMINARY and UNVERIFIED: no physician has looked at it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from pydicom import Dataset

from monai_cxr import findings
from monai_cxr.dicom.header.elements import data_set
from monai_cxr.dicom.results.codes import dicom_code
from monai_cxr.dicom.results.evidence import film_evidence
from monai_cxr.dicom.results.instances import (
    MANUFACTURER,
    DicomInstance,
    InstanceReference,
    Source,
    derived_uid,
    header_of,
    stamp,
    writing,
    written,
    written_name,
)
from monai_cxr.dicom.results.report_document import (
    add_predecessor,
    add_private_schemes,
    report_document,
)
from monai_cxr.dicom.results.report_groups import (
    Values,
    Wording,
    encoded_group,
    encoded_item,
    measurement_group,
)
from monai_cxr.errors import NotCalibrated, SettingsError
from monai_cxr.optional import require
from monai_cxr.picture.quiet import keep_quiet
from monai_cxr.prediction import ModelIdentity, OperatingPoint, Prediction

_STAND_IN = {"TextValue": "groups"}
"""What stands in a document where its groups go."""


@dataclass(frozen=True, slots=True)
class ReportedFilm:
    """A film and what a model says of it.

    Attributes:
        source: The film's file, parsed file, or header.
        prediction: The prediction made from it.
    """

    source: Source
    prediction: Prediction


def structured_report(
    films: ReportedFilm | Sequence[ReportedFilm],
    *,
    operating_points: Iterable[OperatingPoint] | Mapping[str, OperatingPoint] = (),
    calibration: str | Mapping[str, str] = "",
    created: datetime | None = None,
    predecessor: InstanceReference | None = None,
) -> DicomInstance:
    """Report one film, or the films of one study, as a Comprehensive 3D SR (TID 1500).

    Args:
        films: One film, or several of one study read by one model.
        operating_points: Thresholds to state beside each finding.
        calibration: How probabilities were calibrated, for example ``"platt"``; or by finding.
        created: When the result was made: give the time kept with the result, and making the
            report again gives the same bytes, on any host. Without a zone it is in UTC; None for
            now.
        predecessor: An earlier report of the same study that this one replaces.

    Returns:
        The report. Its UID is derived from the films and the model, so that a resend is the same
        object.

    Raises:
        UnsupportedImage: ``"no_identity"`` if a film lacks a UID, ``"sop_class"`` if it is no
            radiograph, ``"not_reportable"`` if its header breaks the writer.
        NotCalibrated: If a film has no probability at all.
        SettingsError: If there is no film, or films mix studies or models, or a prediction belongs
            to another film.
        MissingDependency: Without the extra ``pacs``.
    """
    reported = (films,) if isinstance(films, ReportedFilm) else tuple(films)
    points = (
        dict(operating_points)
        if isinstance(operating_points, Mapping)
        else {point.finding: point for point in operating_points}
    )
    sr: Any = require("highdicom.sr", extra="pacs")
    keep_quiet("highdicom")
    with writing():
        headers = [header_of(film.source) for film in reported]
        evidence = [film_evidence(header) for header in headers]
        model = reported_model(reported, evidence)
        groups = [
            group
            for film, image in zip(reported, evidence, strict=True)
            for group in _groups(film, image, points, calibration)
        ]
        content = _content(sr, evidence, model, groups[0][0])
        _leave_room(content)
        report = report_document(headers[0], evidence, model, content)
        names = {score.finding for film in reported for score in film.prediction.scores}
        add_private_schemes(report, names)
        if predecessor is not None:
            add_predecessor(report, predecessor)
        stamp(report, created or datetime.now(timezone.utc))
        document = written(report)
    return _with_groups(document, (encoded_group(*group) for group in groups))


def reported_model(films: Sequence[ReportedFilm], evidence: Sequence[Dataset]) -> ModelIdentity:
    """The one model that films of one study were read by, as results name it.

    Args:
        films: Films and what was said of each.
        evidence: Of each film, see :func:`~monai_cxr.dicom.results.evidence.film_evidence`.

    Raises:
        SettingsError: If there is no film, or they mix studies or models, or a prediction belongs
            to another film.
        NotCalibrated: If a film has no probability at all.
    """
    if not films:
        raise SettingsError("Expected at least one film to report, but got none.")
    if len({image.StudyInstanceUID for image in evidence}) != 1:
        raise SettingsError("Expected films of one study, but got several studies.")
    if len({image.SOPInstanceUID for image in evidence}) != len(evidence):
        raise SettingsError("Expected distinct films, but one is given twice.")
    if len({film.prediction.model.digest for film in films}) != 1:
        raise SettingsError("Expected predictions of one model, but got several digests.")
    for film, image in zip(films, evidence, strict=True):
        if film.prediction.key.sop_uid != image.SOPInstanceUID:
            raise SettingsError(
                f"The prediction is of {film.prediction.key.sop_uid}, but the film is "
                f"{image.SOPInstanceUID}. Report each film with its own prediction."
            )
        if all(math.isnan(score.probability) for score in film.prediction.scores):
            raise NotCalibrated(
                "The prediction holds no probability. Calibrate the bundle before reporting."
            )
    return written_name(films[0].prediction.model)


def _content(sr: Any, evidence: list[Dataset], model: ModelIdentity, group: Wording) -> Any:
    """TID 1500: observer (TID 1001), procedure, image library (TID 1600), one group (TID 1501)."""
    observer = sr.ObserverContext(
        dicom_code(findings.DEVICE),
        sr.DeviceObserverIdentifyingAttributes(
            uid=derived_uid("monai_cxr", model.digest, "device"),
            name=model.name,
            manufacturer_name=MANUFACTURER,
            model_name=model.name,
            serial_number=model.digest or None,
        ),
    )
    listed = [image for image in evidence if _can_be_listed(image)]
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=dicom_code(findings.CHEST_RADIOGRAPHY),
        imaging_measurements=[measurement_group(group)],
        title=dicom_code(findings.REPORT_TITLE),
        referenced_images=listed or None,
    )[0]


def _can_be_listed(image: Dataset) -> bool:
    """Whether an Image Library entry (TID 1601, 1603) can be filled without inventing geometry."""
    has_size = image.Rows > 0 and image.Columns > 0
    return has_size and "PatientOrientation" in image and "ImagerPixelSpacing" in image


def _groups(
    film: ReportedFilm,
    image: Dataset,
    points: Mapping[str, OperatingPoint],
    calibration: str | Mapping[str, str],
) -> Iterator[tuple[Wording, Values]]:
    prediction = film.prediction
    model = written_name(prediction.model)
    said = [score for score in prediction.scores if not math.isnan(score.probability)]
    for place, score in enumerate(said):
        method = calibration if isinstance(calibration, str) else calibration.get(score.finding, "")
        parameters = _parameters(prediction, points.get(score.finding), method)
        yield (
            Wording(
                score.finding,
                score.positive,
                model,
                tuple(parameters),
                str(image.SOPClassUID),
                has_size=image.Rows > 0 and image.Columns > 0,
            ),
            Values(
                derived_uid(image.SOPInstanceUID, prediction.model.digest, score.finding),
                score.probability,
                str(image.SOPInstanceUID),
                (image.Rows, image.Columns),
                (place, len(said)),
            ),
        )


def _with_groups(instance: DicomInstance, groups: Iterable[bytes]) -> DicomInstance:
    """Put encoded groups where the document has the stand-in; nothing of a film comes after it."""
    before, found, after = instance.data.rpartition(encoded_item(data_set(**_STAND_IN)))
    if not found:
        raise RuntimeError("A report has no room for its groups: look at highdicom's TID 1500.")
    return replace(instance, data=before + b"".join(groups) + after)


def _leave_room(content: Dataset) -> None:
    """Put the stand-in into the container of Imaging Measurements (126010, DCM)."""
    for item in content.ContentSequence:
        if item.ConceptNameCodeSequence[0].CodeValue == findings.IMAGING_MEASUREMENTS.value:
            item.add_new("ContentSequence", "SQ", [data_set(**_STAND_IN)])
            item["ContentSequence"].is_undefined_length = True
            item.is_undefined_length_sequence_item = True
    content["ContentSequence"].is_undefined_length = True


def _parameters(
    prediction: Prediction, point: OperatingPoint | None, calibration: str
) -> list[str]:
    """Algorithm Parameters (111002, DCM): what somebody needs to repeat the result."""
    parameters = [f"model_sha256={prediction.model.digest}", f"runtime={prediction.model.runtime}"]
    if calibration:
        parameters.append(f"calibration={calibration}")
    if point is not None:
        parameters += [
            f"threshold={point.threshold:.6g}",
            f"criterion={point.criterion}",
            f"sensitivity={point.sensitivity}",
            f"specificity={point.specificity}",
        ]
    if prediction.flags:
        parameters.append(f"cautions={', '.join(prediction.flags)}")
    return parameters
