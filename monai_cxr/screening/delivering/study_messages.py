"""Messages: results of the ledger as FHIR bundles and HL7 messages, one film or one study each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from pydicom import Dataset
from sqlalchemy import func, select

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.attributes import patient_sex
from monai_cxr.dicom.results.instances import header_of, zone_of
from monai_cxr.errors import DeliveryError, InputError
from monai_cxr.picture.quiet import quiet
from monai_cxr.reading.files import read_bytes
from monai_cxr.screening.delivering.builders import Builder
from monai_cxr.screening.delivering.fhir import fhir_bundle
from monai_cxr.screening.delivering.hl7v2 import oru_message
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.study_message import Message, StudyReport
from monai_cxr.screening.ledger import Ledger, presentation
from monai_cxr.screening.ledger.outbox import DeliveryContent
from monai_cxr.screening.ledger.people import worklist
from monai_cxr.screening.ledger.records import Film, Result
from monai_cxr.screening.ledger.schema import results

_PAGE = 500


def fhir_message(report: StudyReport) -> Message:
    """A FHIR R4 transaction Bundle (JSON)."""
    return Message(report.identifier("fhir"), ".json", fhir_bundle(report).encode())


def hl7_message(report: StudyReport) -> Message:
    """An HL7 2.5.1 ORU^R01 message (ER7)."""
    return Message(report.control_id, ".hl7", oru_message(report).encode())


MESSAGES: dict[str, Callable[[StudyReport], Message]] = {"fhir": fhir_message, "hl7": hl7_message}
"""How each kind of message is made."""


def message_builder(kind: str) -> Builder:
    """A builder for deliveries of kind ``"fhir"`` or ``"hl7"``: one message per film."""

    def build(content: DeliveryContent) -> Message:
        report = study_report([(content.film, content.result)])
        # A receiver files by identifiers, and has the report of the film before under them.
        variant = Path(content.film.path).stem if content.is_corrected else ""
        return MESSAGES[kind](replace(report, variant=variant, is_update=content.is_merged))

    return build


def export_messages(
    ledger: Ledger,
    folder: Path,
    kind: str,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write one message for each study and model: the roll-up of its films' newest results.

    Args:
        ledger: The ledger.
        folder: For files named by the messages' identifiers; writing again writes the same.
        kind: ``"fhir"`` or ``"hl7"``.
        progress: Told (done, total), in studies.

    Returns:
        The number of messages.

    Raises:
        DeliveryError: If the folder cannot be written.
        MissingDependency: Without the extra ``fhir``, for FHIR.
    """
    with ledger.read() as connection:
        total = connection.execute(
            select(func.count(results.c.study_uid.distinct())).where(results.c.study_uid != "")
        ).scalar_one()
    target, n_written = Folder("export", folder), 0
    for done, study_uid in enumerate(_studies(ledger), start=1):
        for reported in _by_model(worklist.films_of_study(ledger, study_uid)):
            answer = target.write(MESSAGES[kind](study_report(reported)))
            if not answer.stored:
                raise DeliveryError(f"The folder --out cannot be written: {answer.error}.")
            n_written += 1
        progress(done, int(total))
    return n_written


def study_report(reported: Sequence[tuple[Film, Result]]) -> StudyReport:
    """Films of one study with their results as a report; the name comes from a film's header.

    A film whose file was cleaned away is reported without its patient's name.
    """
    header = next((h for h in (_header(film) for film, _ in reported) if h is not None), Dataset())
    with quiet():
        return StudyReport(
            predictions=tuple(result.prediction for _, result in reported),
            created=datetime.fromtimestamp(
                max(result.predicted_at for _, result in reported), timezone.utc
            ),
            accession_number=reported[0][0].accession_number,
            patient_name=elements.identifier(header, "PatientName"),
            study_started=_started(header),
            birth_date=_day(header, "PatientBirthDate"),
            sex=patient_sex(header),
            issuer=_issuer(header),
            placer_number=elements.identifier(header, "PlacerOrderNumberImagingServiceRequest"),
            filler_number=elements.identifier(header, "FillerOrderNumberImagingServiceRequest"),
        )


def _studies(ledger: Ledger) -> Iterator[str]:
    last = ""
    while True:
        query = (
            select(results.c.study_uid)
            .distinct()
            .where(results.c.study_uid > last)
            .order_by(results.c.study_uid)
            .limit(_PAGE)
        )
        with ledger.read() as connection:
            page = list(connection.execute(query).scalars())
        if not page:
            return
        yield from page
        last = page[-1]


def _by_model(
    pairs: Sequence[tuple[Film, Result | None]],
) -> list[list[tuple[Film, Result]]]:
    read = [(film, result) for film, result in pairs if result is not None]
    raw = presentation.needless([(result.facts.view, result.facts.flags) for _, result in read])
    by_digest: dict[str, list[tuple[Film, Result]]] = {}
    for (film, result), is_needless in zip(read, raw, strict=True):
        if not is_needless:
            by_digest.setdefault(result.prediction.model.digest, []).append((film, result))
    return list(by_digest.values())


def _header(film: Film) -> Dataset | None:
    try:
        return header_of(read_bytes(film.path)[0])
    except (InputError, OSError):
        return None


def _started(header: Dataset) -> datetime | None:
    day, time = _day(header, "StudyDate"), elements.text(header, "StudyTime").replace(":", "")
    try:
        started = datetime.strptime(f"{day}{time[:6]:0<6}", "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return started.replace(tzinfo=zone_of(header))


def _day(header: Dataset, keyword: str) -> str:
    """A date as YYYYMMDD, also where it was written with dots or dashes; ``""`` for no date."""
    match = re.fullmatch(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", elements.text(header, keyword))
    return "".join(match.groups()) if match else ""


def _issuer(header: Dataset) -> tuple[str, str, str]:
    namespace = elements.identifier(header, "IssuerOfPatientID")
    for item in elements.items(header, "IssuerOfPatientIDQualifiersSequence")[:1]:
        universal = elements.identifier(item, "UniversalEntityID")
        return namespace, universal, elements.identifier(item, "UniversalEntityIDType")
    return namespace, "", ""
