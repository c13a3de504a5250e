"""DICOMweb: films by QIDO-RS and WADO-RS, results by STOW-RS (PS3.18)."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pydicom

from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.errors import DeliveryError
from monai_cxr.optional import require
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.network.storage_scu import Answer

MODALITIES = ("CR", "DX")
"""Modality (0008,0060) of the series that are pulled."""
_PAGE = 100


@dataclass(frozen=True, slots=True)
class DicomWebServer:
    """A DICOMweb service.

    Attributes:
        url: Its root, for example ``"https://pacs.example/dicom-web"``.
        username: For HTTP Basic, or ``""``.
        password: For HTTP Basic.
        token: Bearer token, or ``""``.
        authorities: PEM file of certificate authorities; None for the system's.
        certificate: (certificate, key) PEM files of ours, for mutual TLS, or None.
        timeout_seconds: For connecting and for each answer.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    authorities: Path | None = None
    certificate: tuple[Path, Path] | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """An image that a query found.

    Attributes:
        study_uid: Study Instance UID.
        series_uid: Series Instance UID.
        sop_uid: SOP Instance UID.
    """

    study_uid: str
    series_uid: str
    sop_uid: str


def store(instances: Sequence[DicomInstance], server: DicomWebServer) -> list[Answer]:
    """Send objects by STOW-RS, one request each, so that one refusal stops no other.

    Args:
        instances: The objects.
        server: The service.

    Returns:
        One answer an object. Stored means: an answer of 200 whose Referenced SOP Sequence names
        the object and whose Failed SOP Sequence does not (PS3.18 10.5.3).

    Raises:
        DeliveryError: If the service cannot be reached.
    """
    requests: Any = require("requests", extra="pacs")
    with _session(server) as session:
        answers: list[Answer] = []
        for instance in instances:
            boundary = uuid.uuid4().hex
            try:
                response = session.post(
                    f"{server.url.rstrip('/')}/studies",
                    data=_multipart(instance.data, boundary),
                    headers={
                        "Content-Type": "multipart/related; "
                        f'type="application/dicom"; boundary={boundary}',
                        "Accept": "application/dicom+json",
                    },
                    timeout=server.timeout_seconds,
                )
            except requests.RequestException as error:
                if not answers:
                    raise DeliveryError(type(error).__name__) from None
                answers.append(Answer(False, error=type(error).__name__))
                continue
            answers.append(_answer(response, instance.sop_uid))
        return answers


def search(
    server: DicomWebServer, first: date, last: date, *, modalities: Sequence[str] = MODALITIES
) -> Iterator[FoundInstance]:
    """Find the images of a range of study dates by QIDO-RS.

    Args:
        server: The service.
        first: First study date.
        last: Last study date, included.
        modalities: Of the series.

    Yields:
        Images in the order of the answers, each once.

    Raises:
        DeliveryError: If the service cannot be reached or refuses.
    """
    seen: set[str] = set()
    dates = f"{first:%Y%m%d}-{last:%Y%m%d}"
    for modality in modalities:
        filters = {"StudyDate": dates, "ModalitiesInStudy": modality}
        for study_uid in _pages(server, "search_for_studies", "0020000D", filters):
            wanted = {"Modality": modality}
            options = {"study_instance_uid": study_uid}
            for series_uid in _pages(server, "search_for_series", "0020000E", wanted, **options):
                inside = {**options, "series_instance_uid": series_uid}
                for sop_uid in _pages(server, "search_for_instances", "00080018", {}, **inside):
                    if sop_uid not in seen:
                        seen.add(sop_uid)
                        yield FoundInstance(study_uid, series_uid, sop_uid)


def probe(server: DicomWebServer) -> None:
    """Ask for one study, to see whether the service answers us.

    Raises:
        DeliveryError: If it cannot be reached or refuses.
    """
    with quiet():
        _ask(server, "search_for_studies", limit=1)


def retrieve(server: DicomWebServer, found: FoundInstance) -> bytes:
    """Get an image by WADO-RS, in the transfer syntax that the service keeps it in.

    Returns:
        A DICOM Part 10 file.

    Raises:
        DeliveryError: If the service cannot be reached or refuses.
    """
    with quiet():
        dataset = _ask(
            server,
            "retrieve_instance",
            study_instance_uid=found.study_uid,
            series_instance_uid=found.series_uid,
            sop_instance_uid=found.sop_uid,
            media_types=(("application/dicom", "*"),),
        )
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def _pages(
    server: DicomWebServer, method: str, tag: str, filters: dict[str, str], **options: Any
) -> Iterator[str]:
    """One UID a match, page by page; an archive may hold a million."""
    offset = 0
    while True:
        page = _ask(server, method, search_filters=filters, limit=_PAGE, offset=offset, **options)
        values = [str(match.get(tag, {}).get("Value", [""])[0]) for match in page]
        yield from (value for value in values if value)
        if len(page) < _PAGE:
            return
        offset += len(page)


def _ask(server: DicomWebServer, method: str, **options: Any) -> Any:
    requests: Any = require("requests", extra="pacs")
    client_module: Any = require("dicomweb_client.api", extra="pacs")
    with _session(server) as session:
        client = client_module.DICOMwebClient(
            server.url, session=session, timeout=server.timeout_seconds
        )
        client.set_http_retry_params(retry=False)
        try:
            return getattr(client, method)(**options)
        except requests.HTTPError as error:
            status = getattr(error.response, "status_code", "")
            raise DeliveryError(f"HTTP {status}") from None
        except requests.RequestException as error:
            raise DeliveryError(type(error).__name__) from None


def _session(server: DicomWebServer) -> Any:
    requests: Any = require("requests", extra="pacs")
    session = requests.Session()
    session.trust_env = False  # no proxy and no .netrc between a hospital's own machines
    if server.token:
        session.headers["Authorization"] = f"Bearer {server.token}"
    elif server.username:
        session.auth = (server.username, server.password)
    if server.authorities is not None:
        session.verify = str(server.authorities)
    if server.certificate is not None:
        session.cert = tuple(str(path) for path in server.certificate)
    return session


def _multipart(data: bytes, boundary: str) -> bytes:
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode()


def _answer(response: Any, sop_uid: str) -> Answer:
    status = str(response.status_code)
    try:
        with quiet():
            said = pydicom.Dataset.from_json(response.content.decode())
    except (ValueError, KeyError, TypeError):
        said = pydicom.Dataset()
    # Orthanc sends an empty Failed SOP Sequence with every success.
    failures = {str(item.get("ReferencedSOPInstanceUID", "")): item.get("FailureReason")
                for item in said.get("FailedSOPSequence") or ()}  # fmt: skip
    stored = {str(item.get("ReferencedSOPInstanceUID", ""))
              for item in said.get("ReferencedSOPSequence") or ()}  # fmt: skip
    if response.status_code in (200, 202) and sop_uid in stored and sop_uid not in failures:
        return Answer(True, status=status)
    reason = failures.get(sop_uid)
    if reason is not None:
        return Answer(False, status=f"0x{int(reason):04X}", error="refused")
    error = "refused" if response.status_code >= 400 else "no_answer"
    return Answer(False, status=status, error=error, permanent=response.status_code == 415)
