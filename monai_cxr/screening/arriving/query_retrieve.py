"""Query/Retrieve: films of a date range by C-FIND, sent to our own listener by C-MOVE (PS3.4 C)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydicom import Dataset

from monai_cxr.dicom.header import elements
from monai_cxr.errors import DeliveryError
from monai_cxr.optional import require
from monai_cxr.picture.bounds import MALFORMED
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.network.dicom_network import Peer, application, associate, why_not
from monai_cxr.screening.network.dicomweb import MODALITIES
from monai_cxr.screening.network.study_search import (
    Ask,
    FoundInstance,
    FoundStudy,
    PartFailed,
    StudyFilter,
    images_of_day,
)

RETRIEVE_SECONDS = 1_800.0
"""Pending answers to C-MOVE are optional, and a recall from a near-line store takes minutes."""

_PENDING = frozenset({0xFF00, 0xFF01})
_MISMATCH = 0xA900  # PS3.4 C.4.1.1.4: the identifier does not match the SOP Class
_LIMITED = frozenset({0xA700, 0xFE00})  # out of resources; cancelled, which Orthanc says of a limit


@dataclass(frozen=True, slots=True)
class QueryRetrieve:
    """A PACS that is asked by C-FIND and sends by C-MOVE.

    Attributes:
        name: Name of the source, also of its cursor.
        peer: The PACS.
        calling_ae: Our AE title as a user.
        move_destination: AE title of our listener, as the PACS knows it.
        modalities: Modalities of the wanted series.
        retrieve_seconds: How long the PACS may be silent while it sends a series.
    """

    name: str
    peer: Peer
    calling_ae: str = "MONAI_CXR"
    move_destination: str = "MONAI_CXR"
    modalities: tuple[str, ...] = MODALITIES
    retrieve_seconds: float = RETRIEVE_SECONDS

    def find(self, day: date) -> Iterator[FoundInstance]:
        """Images of the studies of one day: a query for studies, then series, then images.

        Raises:
            DeliveryError: If the PACS cannot be reached, or fails a query for studies.
            IncompleteAnswer: At the end, if it answered but did not give everything.
        """
        with _Link(self, "StudyRootQueryRetrieveInformationModelFind") as link:
            yield from images_of_day(_FindQueries(link, day), self.modalities)

    def fetch(self, found: Sequence[FoundInstance]) -> dict[str, str]:
        """Have the series of these images sent to our listener, and wait until they were.

        A series that fails is asked for image by image, so that one image costs itself only.

        Returns:
            What the PACS said of images that it did not send, by SOP Instance UID.

        Raises:
            DeliveryError: If the PACS cannot be reached.
        """
        by_series: dict[tuple[str, str], list[FoundInstance]] = {}
        for one in found:
            by_series.setdefault((one.study_uid, one.series_uid), []).append(one)
        failures: dict[str, str] = {}
        with _Link(
            self, "StudyRootQueryRetrieveInformationModelMove", self.retrieve_seconds
        ) as link:
            for (study, series), images in by_series.items():
                answer = link.move(self.move_destination, study, series)
                if not answer:
                    continue
                if len(images) == 1:
                    failures[images[0].sop_uid] = answer
                    continue
                for image in images:
                    answer = link.move(self.move_destination, study, series, image.sop_uid)
                    if answer:
                        failures[image.sop_uid] = answer
        return failures


@dataclass(frozen=True, slots=True)
class _FindQueries:
    """Queries about one day over one association."""

    link: _Link
    day: date

    def studies(self, modality: str) -> Ask:
        wanted = {"StudyDate": f"{self.day:%Y%m%d}", "ModalitiesInStudy": modality}

        def ask(part: StudyFilter) -> tuple[list[FoundStudy], bool]:
            keys = {**wanted, "StudyTime": part.time, "PatientID": part.patient_id}
            matches, code = self.link.find("STUDY", "StudyInstanceUID", keys)
            if code == _MISMATCH and not matches and "ModalitiesInStudy" in wanted:
                del wanted["ModalitiesInStudy"]  # an optional key (PS3.4 C.6.2.1)
                return ask(part)
            if code != 0x0000 and not matches and code not in _LIMITED:
                self.link.reconnect()  # raises where it is the PACS that is away
                raise PartFailed(_failure("find", code))
            return [
                FoundStudy(
                    elements.text(match, "StudyInstanceUID"),
                    elements.text(match, "StudyTime"),
                    elements.text(match, "PatientID"),
                )
                for match in matches
            ], code != 0x0000

        return ask

    def images(self, study_uid: str, modality: str) -> Iterator[FoundInstance]:
        inside = {"StudyInstanceUID": study_uid, "Modality": modality}
        for series in self.link.find_all("SERIES", "SeriesInstanceUID", inside):
            if elements.text(series, "Modality") not in ("", modality):
                continue
            uid = elements.text(series, "SeriesInstanceUID")
            image = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": uid}
            for match in self.link.find_all("IMAGE", "SOPInstanceUID", image):
                yield FoundInstance(study_uid, uid, elements.text(match, "SOPInstanceUID"))

    def refuse_if_away(self, error: DeliveryError) -> None:
        self.link.reconnect()


class _Link:
    """An association for one service, opened again after it was lost."""

    def __init__(
        self, source: QueryRetrieve, service: str, silence_seconds: float | None = None
    ) -> None:
        self._source = source
        self._silence_seconds = silence_seconds or source.peer.timeout_seconds
        classes: Any = require("pynetdicom.sop_class", extra="pacs")
        self._class = getattr(classes, service)
        self._association: Any = None

    def __enter__(self) -> _Link:
        self.reconnect()
        return self

    def __exit__(self, *_: object) -> None:
        if self._association.is_established:
            self._association.release()

    def reconnect(self) -> None:
        """Open the association, unless it is.

        Raises:
            DeliveryError: If it cannot be opened.
        """
        if self._association is not None and self._association.is_established:
            return
        peer = self._source.peer
        entity = application(self._source.calling_ae, peer.timeout_seconds)
        entity.dimse_timeout = entity.network_timeout = self._silence_seconds
        entity.add_requested_context(self._class)
        self._association = associate(entity, peer)
        if not self._association.is_established:
            raise DeliveryError(why_not(self._association, peer))

    def find_all(self, level: str, wanted: str, keys: dict[str, str]) -> list[Dataset]:
        """The answers to a query.

        Raises:
            DeliveryError: If it does not end with 0x0000.
        """
        matches, code = self.find(level, wanted, keys)
        if code != 0x0000:
            raise DeliveryError(_failure("find", code))
        return matches

    def find(
        self, level: str, wanted: str, keys: dict[str, str]
    ) -> tuple[list[Dataset], int | None]:
        """The answers to a query, each UID once, and the last status; None without one.

        Raises:
            DeliveryError: If the association is lost and cannot be opened again.
        """
        query = elements.data_set(QueryRetrieveLevel=level, **{wanted: "", **keys})
        matches: dict[str, Dataset] = {}
        code: int | None = None
        self.reconnect()
        try:
            with quiet():
                for status, answer in self._association.send_c_find(query, self._class):
                    code = status.get("Status")
                    if code in _PENDING and answer is not None:
                        uid = elements.text(answer, wanted)
                        matches.update({uid: answer} if uid else {})
        except MALFORMED as error:
            raise DeliveryError(f"find: {type(error).__name__}") from None
        return list(matches.values()), code

    def move(self, destination: str, study_uid: str, series_uid: str, sop_uid: str = "") -> str:
        """Have a series or one image sent; gives ``""``, or how that failed.

        Raises:
            DeliveryError: If the association is lost and cannot be opened again.
        """
        wanted = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
        wanted |= {"SOPInstanceUID": sop_uid} if sop_uid else {}
        level = "IMAGE" if sop_uid else "SERIES"
        query = elements.data_set(QueryRetrieveLevel=level, **wanted)
        code: int | None = None
        self.reconnect()
        try:
            with quiet():
                for status, _ in self._association.send_c_move(query, destination, self._class):
                    code = status.get("Status")
        except MALFORMED as error:
            return f"move: {type(error).__name__}"
        return "" if code == 0x0000 else _failure("move", code)


def _failure(what: str, code: int | None) -> str:
    return f"{what}_no_answer" if code is None else f"{what}_0x{code:04X}"
