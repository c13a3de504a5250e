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
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.network.dicom_network import Peer, application, associate
from monai_cxr.screening.network.dicomweb import MODALITIES, FoundInstance

_PENDING = frozenset({0xFF00, 0xFF01})


@dataclass(frozen=True, slots=True)
class QueryRetrieve:
    """A PACS that is asked by C-FIND and sends by C-MOVE.

    Attributes:
        name: Name of the source, also of its cursor.
        peer: The PACS.
        calling_ae: Our AE title as a user.
        move_destination: AE title of our listener, as the PACS knows it.
        modalities: Of the series that are wanted.
    """

    name: str
    peer: Peer
    calling_ae: str = "MONAI_CXR"
    move_destination: str = "MONAI_CXR"
    modalities: tuple[str, ...] = MODALITIES

    def find(self, day: date) -> Iterator[FoundInstance]:
        """Images of the studies of one day: a query for studies, then series, then images.

        Raises:
            DeliveryError: If the PACS cannot be reached, or fails a query.
        """
        seen: set[str] = set()
        with _Association(self, "StudyRootQueryRetrieveInformationModelFind") as link:
            for modality in self.modalities:
                studies = {"StudyDate": f"{day:%Y%m%d}", "ModalitiesInStudy": modality}
                for study in link.find("STUDY", "StudyInstanceUID", studies):
                    inside = {"StudyInstanceUID": study, "Modality": modality}
                    for series in link.find("SERIES", "SeriesInstanceUID", inside):
                        image = {"StudyInstanceUID": study, "SeriesInstanceUID": series}
                        for sop_uid in link.find("IMAGE", "SOPInstanceUID", image):
                            if sop_uid not in seen:
                                seen.add(sop_uid)
                                yield FoundInstance(study, series, sop_uid)

    def fetch(self, found: Sequence[FoundInstance]) -> None:
        """Have the series of these images sent to our listener, and wait until they were.

        Raises:
            DeliveryError: If the PACS cannot be reached, refuses, or could not send all.
        """
        with _Association(self, "StudyRootQueryRetrieveInformationModelMove") as link:
            for study, series in dict.fromkeys((f.study_uid, f.series_uid) for f in found):
                link.move(study, series, self.move_destination)


class _Association:
    """One association for one service."""

    def __init__(self, source: QueryRetrieve, service: str) -> None:
        self._source = source
        classes: Any = require("pynetdicom.sop_class", extra="pacs")
        self._class = getattr(classes, service)
        self._association: Any = None

    def __enter__(self) -> _Association:
        peer = self._source.peer
        entity = application(self._source.calling_ae, peer.timeout_seconds)
        entity.add_requested_context(self._class)
        self._association = associate(entity, peer)
        if not self._association.is_established:
            raise DeliveryError("no_association")
        return self

    def __exit__(self, *_: object) -> None:
        if self._association.is_established:
            self._association.release()

    def find(self, level: str, wanted: str, filters: dict[str, str]) -> list[str]:
        """Values of one UID in the answers."""
        query = Dataset()
        query.QueryRetrieveLevel = level
        for keyword, value in filters.items():
            setattr(query, keyword, value)
        if wanted not in query:
            setattr(query, wanted, "")
        values = []
        with quiet():
            for status, answer in self._association.send_c_find(query, self._class):
                code = status.get("Status")
                if code in _PENDING and answer is not None:
                    values.append(elements.text(answer, wanted))
                elif code != 0x0000:
                    raise DeliveryError(_failure("find", code))
        return [value for value in dict.fromkeys(values) if value]

    def move(self, study_uid: str, series_uid: str, destination: str) -> None:
        """Have one series sent."""
        query = Dataset()
        query.QueryRetrieveLevel = "SERIES"
        query.StudyInstanceUID, query.SeriesInstanceUID = study_uid, series_uid
        code: int | None = None
        with quiet():
            for status, _ in self._association.send_c_move(query, destination, self._class):
                code = status.get("Status")
        if code != 0x0000:
            raise DeliveryError(_failure("move", code))


def _failure(what: str, code: int | None) -> str:
    return f"{what}_no_answer" if code is None else f"{what}_0x{code:04X}"
