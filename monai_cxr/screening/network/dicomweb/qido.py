"""QIDO-RS: the images of a range of days, from services that lie in many ways (PS3.18 10.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from monai_cxr.errors import DeliveryError
from monai_cxr.screening.network.dicomweb.asking import ask, refuse_if_away
from monai_cxr.screening.network.dicomweb.session import DicomWebServer, open_session
from monai_cxr.screening.network.study_search import (
    Ask,
    FoundInstance,
    FoundStudy,
    IncompleteAnswer,
    PartFailed,
    StudyFilter,
    images_of_day,
)

MODALITIES = ("CR", "DX")
"""Modality (0008,0060) of the series that are pulled."""
_PAGE = 100
_UID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}")
"""What can be asked for by its name: more than PS3.5 9.1 allows, and nothing else than a name."""
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_TIME, _PATIENT, _MODALITY = "00080030", "00100020", "00080060"

Match = Mapping[str, Any]
"""An answer of QIDO-RS in the DICOM JSON model (PS3.18 F)."""


def search(
    server: DicomWebServer, day: date, *, modalities: Sequence[str] = MODALITIES
) -> Iterator[FoundInstance]:
    """Find the images of a study date by QIDO-RS.

    Args:
        server: The service.
        day: The study date.
        modalities: Modalities of the series.

    Yields:
        Images in the order of the answers, each once.

    Raises:
        DeliveryError: If the service cannot be reached or refuses.
        IncompleteAnswer: At the end, if it answered but did not give everything.
    """
    with open_session(server) as session:
        queries = _QidoQueries(server, session, day)
        yield from images_of_day(queries, modalities)
        if queries.nameless:
            raise IncompleteAnswer({}, is_cut=True)


@dataclass(frozen=True, slots=True)
class _QidoQueries:
    """Queries of one service about one day, over one session."""

    server: DicomWebServer
    session: Any
    day: date
    nameless: set[str] = field(default_factory=set)
    """Queries with a match that names no UID, or what cannot be one: something is there, and nobody
    can say what."""

    def studies(self, modality: str) -> Ask:
        wanted = {"ModalitiesInStudy": modality}

        def ask_part(part: StudyFilter) -> tuple[list[FoundStudy], bool]:
            filters = {"StudyDate": f"{self.day:%Y%m%d}", **wanted}
            filters |= {"StudyTime": part.time} if part.time else {}
            filters |= {"PatientID": part.patient_id} if part.patient_id else {}
            try:
                matches = list(self._pages("search_for_studies", _STUDY, filters))
            except DeliveryError as error:
                if str(error) != "HTTP 400" or not wanted:
                    self.refuse_if_away(error)
                    raise PartFailed(str(error)) from None
                wanted.clear()  # an optional key (PS3.18 10.6.1): the series are filtered anyway
                return ask_part(part)
            return [
                FoundStudy(_value(m, _STUDY), _value(m, _TIME), _value(m, _PATIENT))
                for m in matches
            ], False

        return ask_part

    def images(self, study_uid: str, modality: str) -> Iterator[FoundInstance]:
        where = {"study_instance_uid": study_uid}
        for series in self._pages("search_for_series", _SERIES, {"Modality": modality}, **where):
            if _value(series, _MODALITY) not in ("", modality):
                continue
            uid = _value(series, _SERIES)
            inside = {**where, "series_instance_uid": uid}
            for match in self._pages("search_for_instances", _INSTANCE, {}, **inside):
                yield FoundInstance(study_uid, uid, _value(match, _INSTANCE))

    def refuse_if_away(self, error: DeliveryError) -> None:
        refuse_if_away(self.server, error)

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
            limits = {"limit": _PAGE, "offset": offset}
            page = ask(
                self.server, self.session, method, search_filters=filters, **limits, **options
            )
            if not isinstance(page, list):
                raise DeliveryError("no list of matches")
            matches = {_value(match, tag): match for match in page}
            named = {uid: match for uid, match in matches.items() if _UID.fullmatch(uid)}
            if len(named) < len(matches):
                self.nameless.add(method)
            new = {uid: match for uid, match in named.items() if uid not in seen}
            if not new:
                return
            seen.update(new)
            yield from new.values()
            offset += len(page)


def _value(match: Any, tag: str) -> str:
    """The first value of an attribute; ``""`` where the service says anything but a value."""
    element = match.get(tag, match.get(tag.lower())) if isinstance(match, Mapping) else None
    values = element.get("Value") if isinstance(element, Mapping) else None
    first = values[0] if isinstance(values, list) and values else None
    return first.strip("\0 \t\r\n") if isinstance(first, str) else ""
