"""HL7 version 2.5.1: an ORU^R01 message of one study, with two OBX segments per finding of a film.

A message is a dozen joined fields, so it is written here and needs no library; the tests hold it
against two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

from monai_cxr.findings import (
    ABSENT,
    CHEST_RADIOGRAPHY,
    FINDING,
    PRESENT,
    PROBABILITY,
    SOURCE,
    STUDY,
    Code,
    finding_of,
    number_of,
)
from monai_cxr.prediction import FindingScore, Prediction
from monai_cxr.screening.delivering.study_message import StudyReport

_ESCAPES = {"\\": r"\E" "\\", "|": r"\F" "\\", "^": r"\S" "\\", "&": r"\T" "\\", "~": r"\R" "\\"}


def oru_message(report: StudyReport) -> str:
    r"""Say predictions as an unsolicited observation message, ORU^R01^ORU_R01.

    Args:
        report: Predictions of one study.

    Returns:
        ER7 text, each segment ended by ``\r``; the same text for the same report.
    """
    filler = _text(report.filler_number or report.accession_number)
    segments = [
        _segment(
            "MSH", {2: "^~\\&", 3: "monai_cxr", 5: "", 7: _moment(report.created),
                    9: "ORU^R01^ORU_R01", 10: control_id(report.control_id),
                    11: "P", 12: "2.5.1", 18: "UNICODE UTF-8"},
        ),
        _segment("PID", {1: "1", 3: _patient(report), 5: _name(report),
                         7: _text(report.birth_date), 8: _text(report.sex)}),
        _segment("PV1", {1: "1", 2: "U"}),
        _segment("ORC", {1: "RE", 2: _text(report.placer_number), 3: filler}),
        _segment(
            "OBR", {1: "1", 2: _text(report.placer_number), 3: filler, 4: _code(CHEST_RADIOGRAPHY),
                    7: _moment(report.study_started), 22: _moment(report.created), 25: "P"},
        ),
    ]  # fmt: skip
    for number, fields in enumerate(_observations(report), start=1):
        segments.append(_segment("OBX", {1: str(number), **fields}))
    return "".join(f"{segment}\r" for segment in segments)


def retracted_message(text: str, status: str, identifier: str, created: datetime) -> str:
    """Take back what a message said: the same observations, with another status.

    Args:
        text: A message as :func:`oru_message` wrote it.
        status: OBX-11 (table 0085): ``"D"`` deletes an observation, ``"W"`` says that it was sent
            for a wrong patient or order.
        identifier: UUID of this message.
        created: When it is taken back.

    Returns:
        ER7 text. OBR-25 is ``"C"``, correction to results (table 0123).
    """
    return "".join(
        f"{_retracted(segment.split('|'), status, identifier, created)}\r"
        for segment in text.rstrip("\r").split("\r")
    )


def _retracted(fields: list[str], status: str, identifier: str, created: datetime) -> str:
    if fields[0] == "MSH":  # MSH-1 is the separator itself
        fields[6], fields[9] = _moment(created), control_id(identifier)
    elif fields[0] == "OBR":
        fields[22], fields[25] = _moment(created), "C"
    elif fields[0] == "OBX":
        fields[11] = status
    return "|".join(fields)


def control_id(identifier: str) -> str:
    """MSH-10, at most 20 characters (2.5.1), of a UUID."""
    return identifier.replace("-", "")[:20]


def _observations(report: StudyReport) -> Iterator[dict[int, str]]:
    """The study, by which a receiver files the message; then each film with its findings."""
    moment = _moment(report.created)
    yield {2: "ST", 3: _code(STUDY), 4: "0", 5: _text(report.study_uid), 11: "P", 14: moment}
    for film, prediction in enumerate(report.predictions, start=1):
        uid = _text(prediction.key.sop_uid)
        yield {2: "ST", 3: _code(SOURCE), 4: str(film), 5: uid, 11: "P", 14: moment}
        for score in prediction.scores:
            if not math.isnan(score.probability):
                yield from _finding(film, prediction, score, moment)


def _finding(
    film: int, prediction: Prediction, score: FindingScore, moment: str
) -> Iterator[dict[int, str]]:
    """The finding with its decision, where there is one, and the probability; OBX-4 ties them."""
    finding, model = finding_of(score.finding), prediction.model
    names = [each.finding for each in prediction.scores]
    shared = {
        4: f"{film}.{number_of(score.finding, names)}",
        11: "P",
        14: moment,
        17: _text(model.name),
        18: f"{_text(model.digest[:16])}^{_text(model.version)}",
    }
    if score.positive is not None:
        decision = PRESENT if score.positive else ABSENT
        yield {2: "CWE", 3: _code(finding.code), 5: _code(decision), **shared}
    else:
        yield {2: "CWE", 3: _code(FINDING), 5: _code(finding.code), **shared}
    yield {
        2: "NM",
        3: _code(PROBABILITY),
        5: f"{score.probability:.6f}",
        6: "1^no units^UCUM",
        **shared,
    }


def _segment(name: str, fields: dict[int, str]) -> str:
    """A segment of numbered fields; MSH-1 is the separator itself (HL7 2.5.1, 2.15.9.1)."""
    first = 2 if name == "MSH" else 1
    return "|".join([name, *(fields.get(i, "") for i in range(first, max(fields) + 1))])


def _code(code: Code) -> str:
    return "^".join(_text(value) for value in (code.value, code.meaning, code.scheme))


def _patient(report: StudyReport) -> str:
    """PID-3: the patient's ID and who gave it (CX.4, HD)."""
    namespace, universal, kind = (_text(part) for part in report.issuer)
    authority = f"{namespace}&{universal}&{kind}".rstrip("&")
    identity = _text(report.patient_id or "UNKNOWN")
    return f"{identity}^^^{authority}" if authority else identity


def _name(report: StudyReport) -> str:
    """PID-5: XPN has a DICOM name's parts, with suffix and prefix changed over."""
    parts = report.patient_name.split("=")[0].split("^")
    family, given, middle, prefix, suffix = (parts + [""] * 5)[:5]
    name = "^".join(_text(part.strip()) for part in (family, given, middle, suffix, prefix))
    return name.rstrip("^") or "UNKNOWN"


def _text(value: str) -> str:
    """Escape what HL7 reads as structure (2.5.1, 2.7) and leave control characters out."""
    return "".join(_ESCAPES.get(c, c) for c in value if c.isprintable())


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y%m%d%H%M%S%z")
