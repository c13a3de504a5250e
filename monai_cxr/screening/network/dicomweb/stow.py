"""STOW-RS: results to a DICOMweb service; sent means that it has them (PS3.18 10.5)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pydicom

from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.dicom.results.report_document import BEST_REPORT_CLASS, alternatives
from monai_cxr.errors import DeliveryError
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.network.dicomweb.session import (
    UNREADABLE,
    DicomWebServer,
    exchange_errors,
    open_session,
    reason_of,
)
from monai_cxr.screening.network.storage_scu import Answer

_SOP_INSTANCE = "00080018"
_CLASS_NOT_SUPPORTED = "0x0122"


def store(
    instances: Sequence[DicomInstance],
    server: DicomWebServer,
    *,
    sr_class: str = BEST_REPORT_CLASS,
) -> list[Answer]:
    """Send objects by STOW-RS, one request each, so that one refusal stops no other.

    Args:
        instances: The objects.
        server: The service.
        sr_class: The class that reports are sent in first.

    Returns:
        One answer an object. Stored means: an answer of 200 whose Referenced SOP Sequence names
        the object and whose Failed SOP Sequence does not (PS3.18 10.5.3); or whatever the answer,
        QIDO-RS finds the object afterwards. A redirection is not followed: an address that has
        moved belongs into the settings.

    Raises:
        DeliveryError: If the service cannot be reached.
    """
    with open_session(server) as session:
        answers: list[Answer] = []
        for instance in instances:
            try:
                answers.append(_stored(session, server, instance, sr_class))
            except exchange_errors() as error:
                if not answers:
                    raise DeliveryError(reason_of(error)) from None
                answers.append(Answer(False, error=reason_of(error)))
        return answers


def _stored(session: Any, server: DicomWebServer, instance: DicomInstance, sr_class: str) -> Answer:
    """Send an object, in another class where its own is not taken; then ask whether it is there.

    Services say in many ways that they have an instance already: 409, a failure reason of their
    own, 200 without a body. Its UID is made by us alone, so where it is, our object is.
    """
    answer = Answer(False)
    for one in alternatives(instance, sr_class):
        answer = _answer(_post(session, server, one.data), one.sop_uid)
        if (
            not answer.stored
            and answer.status != _CLASS_NOT_SUPPORTED
            and _is_there(session, server, one)
        ):
            answer = Answer(True, status=answer.status)
        if answer.stored and one is not instance:
            return replace(answer, object_uid=one.sop_uid)
        if answer.status != _CLASS_NOT_SUPPORTED:
            return answer
    return replace(answer, permanent=True)


def _post(session: Any, server: DicomWebServer, data: bytes) -> Any:
    boundary = uuid.uuid4().hex
    content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return session.post(
        f"{server.url.rstrip('/')}/studies",
        data=_multipart(data, boundary),
        headers={"Content-Type": content_type, "Accept": "application/dicom+json"},
        timeout=server.timeout_seconds,
        allow_redirects=False,
    )


def _is_there(session: Any, server: DicomWebServer, instance: DicomInstance) -> bool:
    """Whether QIDO-RS finds an instance in its study; no answer is no."""
    try:
        response = session.get(
            f"{server.url.rstrip('/')}/studies/{instance.study_uid}/instances",
            params={"SOPInstanceUID": instance.sop_uid},
            headers={"Accept": "application/dicom+json"},
            timeout=server.timeout_seconds,
            allow_redirects=False,
        )
        matches = response.json() if response.status_code == 200 else []
        return any(match[_SOP_INSTANCE]["Value"] == [instance.sop_uid] for match in matches)
    except (*exchange_errors(), *UNREADABLE):
        return False


def _multipart(data: bytes, boundary: str) -> bytes:
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode()


def _answer(response: Any, sop_uid: str) -> Answer:
    code, status = response.status_code, str(response.status_code)
    try:
        with quiet():
            stored, failures = _stored_and_failed(response.content)
            reason = failures.get(sop_uid)
            if code in (200, 202) and sop_uid in stored and sop_uid not in failures:
                return Answer(True, status=status)
            if reason is not None:
                return Answer(False, status=f"0x{int(reason):04X}", error="refused")
    except UNREADABLE:  # not the answer that the standard asks for, so nothing was promised
        pass
    error = "refused" if code >= 400 else "redirected" if 300 <= code < 400 else "no_answer"
    return Answer(False, status=status, error=error, permanent=code == 415)


def _stored_and_failed(content: bytes) -> tuple[set[str], dict[str, Any]]:
    """UIDs of the Referenced SOP Sequence, and those of the Failed SOP Sequence with reasons."""
    said = pydicom.Dataset.from_json(content.decode())
    # Orthanc sends an empty Failed SOP Sequence with every success.
    failures = {str(item.get("ReferencedSOPInstanceUID", "")): item.get("FailureReason")
                for item in said.get("FailedSOPSequence") or ()}  # fmt: skip
    stored = {str(item.get("ReferencedSOPInstanceUID", ""))
              for item in said.get("ReferencedSOPSequence") or ()}  # fmt: skip
    return stored, failures
