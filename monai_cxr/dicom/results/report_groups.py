"""Report groups: each finding of each film as one group of TID 1501, built once and then filled in.

highdicom builds a group and pydicom encodes it in 12 ms, and a report of one film has fourteen. But
of all its values only the tracking UID, the probability, and the film's UID and size differ from
film to film. So a group is built and encoded once for each finding, model and wording, and its
encoding is kept with gaps where those values go. Sequences and items in it are of undefined length
(PS3.5 7.5), so that filling a gap changes no length elsewhere.

The probability is inferred from the whole film (TID 320); the groups share the film's right edge.
Viewers attach a measurement to an image by its coordinates only, and show the comment as its label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from monai_cxr import findings
from monai_cxr.dicom.header.elements import data_set
from monai_cxr.dicom.results.codes import dicom_code
from monai_cxr.dicom.results.instances import MANUFACTURER
from monai_cxr.optional import require
from monai_cxr.prediction import ModelIdentity

_SEQUENCE_HEADER_BYTES = 12
_KEPT = 1_024
"""Templates: fourteen findings, present or absent, in the wordings that a service meets."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What a group says that does not differ from film to film.

    Attributes:
        finding: Name of the finding.
        positive: Present or absent at the operating point; None says neither.
        model: Who says it.
        parameters: Algorithm Parameters (111002, DCM).
        sop_class_uid: SOP Class UID of the film.
        has_size: Whether the film's header states its rows and columns.
    """

    finding: str
    positive: bool | None
    model: ModelIdentity
    parameters: tuple[str, ...]
    sop_class_uid: str
    has_size: bool = True


@dataclass(frozen=True, slots=True)
class Values:
    """What a group says of one film.

    Attributes:
        tracking_uid: Tracking Unique Identifier (112040, DCM).
        probability: In [0, 1].
        sop_uid: SOP Instance UID of the film.
        shape: (rows, columns) of the film.
        place: (number of the group, number of groups), from 0.
    """

    tracking_uid: str
    probability: float
    sop_uid: str
    shape: tuple[int, int] = (1, 1)
    place: tuple[int, int] = (0, 1)


_STAND_IN = Values(
    "2.25.1792345678912345678987", 0.123457, "2.25.2897654321987654321234", (1283, 1723)
)


def measurement_group(wording: Wording, values: Values = _STAND_IN) -> Any:
    """A group of TID 1501, as highdicom builds it."""
    sr: Any = require("highdicom.sr", extra="pacs")
    finding = findings.finding_of(wording.finding)
    algorithm = sr.AlgorithmIdentification(
        name=wording.model.name,
        version=wording.model.version or "unknown",
        parameters=list(wording.parameters),
        family=dicom_code(findings.ARTIFICIAL_INTELLIGENCE),
        manufacturer=MANUFACTURER,
    )
    presence = [
        sr.QualitativeEvaluation(
            dicom_code(findings.PRESENCE),
            dicom_code(findings.PRESENT if wording.positive else findings.ABSENT),
        )
        for _ in range(wording.positive is not None)
    ]
    edge = [
        sr.CoordinatesForMeasurement(
            "POLYLINE",
            np.asarray(_edge(values)).reshape(-1, 2),
            sr.SourceImageForRegion(wording.sop_class_uid, values.sop_uid),
        )
        for _ in range(wording.has_size)
    ]
    probability = sr.Measurement(
        dicom_code(findings.PROBABILITY),
        _rounded(values.probability),
        dicom_code(findings.NO_UNITS),
        referenced_coordinates=edge or None,
    )
    groups = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=values.tracking_uid, identifier=f"monai_cxr:{finding.name}"
        ),
        finding_category=dicom_code(findings.CLINICAL_FINDING),
        finding_type=dicom_code(finding.code),
        finding_sites=[sr.FindingSite(dicom_code(finding.site))],
        algorithm_id=algorithm,
        measurements=[probability],
        qualitative_evaluations=presence,
        source_images=[sr.SourceImageForMeasurementGroup(wording.sop_class_uid, values.sop_uid)],
    )
    comment = sr.TextContentItem(
        dicom_code(findings.COMMENT), label(wording), relationship_type="CONTAINS"
    )
    groups[0].ContentSequence.append(comment)
    return groups


def label(wording: Wording) -> str:
    """What a viewer shows beside the film: the finding, and whether it is present."""
    title = findings.finding_of(wording.finding).title
    decision = {True: ": present", False: ": absent", None: ""}[wording.positive]
    return f"AI {title}{decision}"


def encoded_group(wording: Wording, values: Values) -> bytes:
    """A group as an item of a sequence, Explicit VR Little Endian.

    Raises:
        MissingDependency: Without the extra ``pacs``.
    """
    parts = _template(wording)
    gaps = _gaps(values, has_size=wording.has_size)
    return b"".join(piece for pair in zip(parts, (*gaps, b""), strict=True) for piece in pair)


def encoded_item(item: Dataset) -> bytes:
    """An item of a sequence, Explicit VR Little Endian."""
    return _encoded(data_set(ContentSequence=[item]))[_SEQUENCE_HEADER_BYTES:]


def leave_open(item: Dataset) -> None:
    """Encode an item, and all sequences in it, with undefined length."""
    item.is_undefined_length_sequence_item = True
    for element in item:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for child in element.value:
                leave_open(child)


@lru_cache(maxsize=_KEPT)
def _template(wording: Wording) -> tuple[bytes, ...]:
    """The encoding of a group between its gaps."""
    (group,) = measurement_group(wording)
    leave_open(group)
    rest, parts = encoded_item(group), []
    for gap in _gaps(_STAND_IN, has_size=wording.has_size):
        part, found, rest = rest.partition(gap)
        if not found:
            raise RuntimeError("A report's group is not laid out as it was: look at highdicom.")
        parts.append(part)
    return (*parts, rest)


def _gaps(values: Values, *, has_size: bool) -> Sequence[bytes]:
    """The elements that differ from film to film, in the order of a group."""
    rounded = _rounded(values.probability)
    numeric = DSfloat(rounded, auto_format=True)
    image = _encoded(data_set(ReferencedSOPInstanceUID=UID(values.sop_uid)))
    edge = [image, _encoded(data_set(GraphicData=_edge(values)))]
    return [
        _encoded(data_set(UID=UID(values.tracking_uid))),
        _encoded(data_set(FloatingPointValue=rounded, NumericValue=numeric)),
        *(edge if has_size else ()),
        image,
    ]


def _edge(values: Values) -> list[float]:
    """The group's part of the right edge of a film, as column and row in turn (PS3.3 C.18.6.1.2).

    A viewer writes what is found beside the mark: marks of the whole border would put all of it in
    one place.
    """
    (rows, columns), (number, n_groups) = values.shape, values.place
    height, right = rows / (n_groups + 1), float(columns)  # the last words are below their mark
    return [right, height * number, right, height * (number + 1)]


def _encoded(dataset: Dataset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset)
    return stream.getvalue()


def _rounded(probability: float) -> float:
    """Six decimals: a Numeric Value is a DS of at most 16 characters (PS3.5 6.2)."""
    return round(probability, 6)
