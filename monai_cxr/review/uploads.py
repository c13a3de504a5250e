"""Uploads: films that somebody dropped into a browser; in memory, for a while, never on disk."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import replace

from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import UnreadableImage
from monai_cxr.radiograph import InstanceKey
from monai_cxr.reading.film_readers import read_apart
from monai_cxr.reading.readings import Display
from monai_cxr.review.analysis import analysed
from monai_cxr.review.cases import Case, CaseImage, CaseStatus

_MOST = 8


class Uploads:
    """The last few uploads of all sessions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._films: OrderedDict[str, tuple[Case, bytes]] = OrderedDict()

    def add(self, data: bytes, model: BundleModel | None) -> Case:
        """Read a film now.

        Args:
            data: The whole file.
            model: Reads it, where it is in scope.

        Returns:
            A case with a name that nobody can guess.

        Raises:
            InputError: If it is no film that can be shown.
        """
        read_apart(Display(), data)  # refuses what cannot be shown, before anything is kept
        image, facts = CaseImage(InstanceKey("", "", "", "upload")), None
        if is_dicom(data):
            facts = open_dicom(data).facts
            image = CaseImage(facts.key, facts.view)
        image = analysed(replace(image, film_id=secrets.token_hex(10)), data, model)
        case = Case(
            case_id=secrets.token_hex(10),
            patient="",
            images=(image,),
            status=_status(image),
            received=time.time(),
            acquired=facts.acquired if facts else "",
            patient_sex=facts.patient_sex if facts else "",
            patient_age_years=facts.patient_age_years if facts else None,
            prediction=image.prediction,
        )
        with self._lock:
            self._films[case.case_id] = (case, data)
            while len(self._films) > _MOST:
                self._films.popitem(last=False)
        return case

    def case(self, case_id: str) -> Case | None:
        """An upload, or None when there is none of this name (any more)."""
        with self._lock:
            film = self._films.get(case_id)
            return film[0] if film else None

    def data(self, case_id: str) -> bytes:
        """Its file.

        Raises:
            UnreadableImage: If it is no longer kept.
        """
        with self._lock:
            film = self._films.get(case_id)
        if film is None:
            raise UnreadableImage("The upload is no longer kept.", reason="missing_file")
        return film[1]

    def forget(self, case_id: str) -> None:
        """Drop an upload now."""
        with self._lock:
            self._films.pop(case_id, None)


def _status(image: CaseImage) -> CaseStatus:
    if image.prediction is not None:
        return CaseStatus.ANALYSED
    return CaseStatus.FAILED if image.failed else CaseStatus.NOT_ANALYSED
