"""DICOMweb: films by QIDO-RS and WADO-RS, results by STOW-RS (PS3.18).

Whatever a service answers is a failed attempt of one object or one query: nothing that it says is
raised as anything but a :class:`~monai_cxr.errors.DeliveryError`.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pydicom

from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.dicom.results.report_document import BEST_REPORT_CLASS, alternatives
from monai_cxr.errors import DeliveryError
from monai_cxr.optional import require
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.network.http_session import (
    UNREADABLE,
    DicomWebServer,
    exchange_errors,
    open_session,
    reason_of,
)
from monai_cxr.screening.network.storage_scu import Answer
from monai_cxr.screening.network.study_search import (
    FoundInstance,
    FoundStudy,
    Gaps,
    PartFailed,
    StudyFilter,
    all_studies,
)

__all__ = [
    "MODALITIES",
    "DicomWebServer",
    "FoundInstance",
    "probe",
    "refuse_if_away",
    "retrieve",
    "search",
    "store",
]

MODALITIES = ("CR", "DX")
"""Modality (0008,0060) of the series that are pulled."""
_PAGE = 100
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_TIME, _PATIENT, _MODALITY = "00080030", "00100020", "00080060"

_CLASS_NOT_SUPPORTED = "0x0122"
_AWAY = frozenset(f"HTTP {status}" for status in (401, 403, 407, 429, 502, 503, 504))

Match = Mapping[str, Any]
"""An answer of QIDO-RS in the DICOM JSON model (PS3.18 F)."""


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
        return any(match[_INSTANCE]["Value"] == [instance.sop_uid] for match in matches)
    except (*exchange_errors(), *UNREADABLE):
        return False


def search(
    server: DicomWebServer,
    first: date,
    last: date,
    *,
    modalities: Sequence[str] = MODALITIES,
    session: Any = None,
) -> Iterator[FoundInstance]:
    """Find the images of a range of study dates by QIDO-RS.

    Args:
        server: The service.
        first: First study date.
        last: Last study date, included.
        modalities: Modalities of the series.
        session: An open session of the service; default: one of its own.

    Yields:
        Images in the order of the answers, each once.

    Raises:
        DeliveryError: If the service cannot be reached or refuses.
        IncompleteAnswer: At the end, if it answered but did not give everything.
    """
    seen: set[str] = set()
    gaps = Gaps()
    with ExitStack() as stack:
        session = session or stack.enter_context(open_session(server))
        query = _Query(server, session)
        for offset in range((last - first).days + 1):
            day = first + timedelta(days=offset)
            for modality in modalities:
                for study_uid in query.studies(day, modality, gaps):
                    for found in query.instances(study_uid, modality, gaps):
                        if found.sop_uid not in seen:
                            seen.add(found.sop_uid)
                            yield found
    gaps.say()


def probe(server: DicomWebServer) -> None:
    """Ask for one study, to see whether the service answers us.

    Raises:
        DeliveryError: If it cannot be reached or refuses.
    """
    with open_session(server) as session, quiet():
        _Query(server, session).ask("search_for_studies", limit=1)


def refuse_if_away(server: DicomWebServer, error: DeliveryError) -> None:
    """After a failure: return if it is of one object, raise if the service itself is away.

    Raises:
        DeliveryError: If the service lets nobody in, or does not answer at all.
    """
    if str(error) in _AWAY:
        raise error
    if str(error).startswith("HTTP "):
        return
    try:
        probe(server)
    except DeliveryError as failure:
        # Orthanc answers each query that meets a damaged study with HTTP 500: it is there.
        if str(failure) in _AWAY or not str(failure).startswith("HTTP "):
            raise


def retrieve(server: DicomWebServer, found: FoundInstance, *, session: Any = None) -> bytes:
    """Get an image by WADO-RS, in the transfer syntax that the service keeps it in.

    Args:
        server: The service.
        found: Which image.
        session: An open session of the service; default: one of its own.

    Returns:
        A DICOM Part 10 file of that image.

    Raises:
        DeliveryError: If the service cannot be reached, refuses, or gives something else.
    """
    with ExitStack() as stack:
        session = session or stack.enter_context(open_session(server))
        stack.enter_context(quiet())
        dataset = _Query(server, session).ask(
            "retrieve_instance",
            study_instance_uid=found.study_uid,
            series_instance_uid=found.series_uid,
            sop_instance_uid=found.sop_uid,
            media_types=(("application/dicom", "*"),),
        )
        try:
            if str(dataset.SOPInstanceUID) != found.sop_uid:
                raise DeliveryError("another object")
            stream = io.BytesIO()
            pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
        except UNREADABLE as error:
            raise DeliveryError(f"not a DICOM file ({type(error).__name__})") from None
    return stream.getvalue()


class _Query:
    """Queries of one service over one session."""

    def __init__(self, server: DicomWebServer, session: Any) -> None:
        self._server, self._session = server, session

    def studies(self, day: date, modality: str, gaps: Gaps) -> list[str]:
        """Every study of a day that may hold the modality."""
        wanted = {"ModalitiesInStudy": modality}

        def ask(part: StudyFilter) -> tuple[list[FoundStudy], bool]:
            filters = {"StudyDate": f"{day:%Y%m%d}", **wanted}
            filters |= {"StudyTime": part.time} if part.time else {}
            filters |= {"PatientID": part.patient_id} if part.patient_id else {}
            try:
                matches = list(self._pages("search_for_studies", _STUDY, filters))
            except DeliveryError as error:
                if str(error) != "HTTP 400" or not wanted:
                    refuse_if_away(self._server, error)
                    raise PartFailed(str(error)) from None
                wanted.clear()  # an optional key (PS3.18 10.6.1): the series are filtered anyway
                return ask(part)
            return [
                FoundStudy(_value(m, _STUDY), _value(m, _TIME), _value(m, _PATIENT))
                for m in matches
            ], False

        found, is_whole = all_studies(ask)
        gaps.is_cut = gaps.is_cut or not is_whole
        return found

    def instances(self, study_uid: str, modality: str, gaps: Gaps) -> Iterator[FoundInstance]:
        """Images of a study's series of one modality; a study that fails is a gap."""
        where = {"study_instance_uid": study_uid}
        try:
            for series in self._pages(
                "search_for_series", _SERIES, {"Modality": modality}, **where
            ):
                if _value(series, _MODALITY) not in ("", modality):
                    continue
                uid = _value(series, _SERIES)
                inside = {**where, "series_instance_uid": uid}
                for match in self._pages("search_for_instances", _INSTANCE, {}, **inside):
                    yield FoundInstance(study_uid, uid, _value(match, _INSTANCE))
        except DeliveryError as error:
            refuse_if_away(self._server, error)
            gaps.studies[study_uid] = str(error)

    def _pages(
        self, method: str, tag: str, filters: dict[str, str], **options: Any
    ) -> Iterator[Match]:
        """The matches page by page, each UID once; an archive may hold a million.

        A page that is shorter than what was asked for need not be the last (PS3.18 8.3.4.4); one
        that is empty, or brings nothing new because the service ignores ``offset``, is.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            page = self.ask(method, search_filters=filters, limit=_PAGE, offset=offset, **options)
            if not isinstance(page, list):
                raise DeliveryError("no list of matches")
            matches = {_value(match, tag): match for match in page}
            new = {uid: match for uid, match in matches.items() if uid and uid not in seen}
            if not new:
                return
            seen.update(new)
            yield from new.values()
            offset += len(page)

    def ask(self, method: str, **options: Any) -> Any:
        """One request.

        Raises:
            DeliveryError: Whatever goes wrong with it.
        """
        client_module: Any = require("dicomweb_client.api", extra="pacs")
        try:
            client = client_module.DICOMwebClient(
                self._server.url,
                session=self._session,
                timeout=self._server.timeout_seconds,
                permissive_uid=True,
            )
            client.set_http_retry_params(retry=False)
            return getattr(client, method)(**options)
        except exchange_errors() as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = reason_of(error) if status is None or status < 300 else f"HTTP {status}"
            raise DeliveryError(reason) from None


def _value(match: Any, tag: str) -> str:
    """The first value of an attribute; ``""`` where the service says anything but a value."""
    element = match.get(tag) if isinstance(match, Mapping) else None
    values = element.get("Value") if isinstance(element, Mapping) else None
    first = values[0] if isinstance(values, list) and values else None
    return first.strip() if isinstance(first, str) else ""


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
