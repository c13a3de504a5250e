"""Uploads: films that somebody dropped into a browser; in memory, for a while, never on disk."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import UnreadableImage
from monai_cxr.radiograph import InstanceKey
from monai_cxr.reading.film_readers import read_apart
from monai_cxr.reading.readings import Display
from monai_cxr.review.analysis import analysed
from monai_cxr.review.cases import Case, CaseImage, CaseStatus

STAYS_SECONDS = 120.0
"""How long an upload stays after the last word of the browser that shows it."""

_MOST = 8
_MOST_OF_A_PERSON = 2
_SWEEP_SECONDS = 20.0


@dataclass(frozen=True, slots=True, repr=False)
class Owner:
    """Whose upload it is.

    Attributes:
        session: Session of a browser.
        user: Who sits there.
    """

    session: str
    user: str


NOBODY = Owner("", "")


@dataclass(slots=True)
class _KeptUpload:
    """An upload, and when its browser last asked for it."""

    case: Case
    data: bytes
    owner: Owner
    used: float


class Uploads:
    """The last few uploads, each for the session and person that sent it.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._films: OrderedDict[str, _KeptUpload] = OrderedDict()
        self._sweeper: threading.Timer | None = None

    def add(self, data: bytes, model: BundleModel | None, owner: Owner = NOBODY) -> Case:
        """Read a film now; of a person the last two are kept.

        Args:
            data: The whole file.
            model: Reads it, where it is in scope.
            owner: Who may see it.

        Returns:
            A case with a name that nobody can guess.

        Raises:
            InputError: If it is not a film that can be shown.
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
            self._films[case.case_id] = _KeptUpload(case, data, owner, self._clock())
            mine = [name for name, film in self._films.items() if film.owner.user == owner.user]
            for name in mine[:-_MOST_OF_A_PERSON]:
                del self._films[name]
            while len(self._films) > _MOST:
                self._films.popitem(last=False)
            self._sweep_later()
        return case

    def case(self, case_id: str, owner: Owner = NOBODY) -> Case | None:
        """An upload, or None when its owner has none of this name (any more)."""
        with self._lock:
            self._forget_old()
            film = self._films.get(case_id)
            if film is None or film.owner != owner:
                return None
            film.used = self._clock()
            return film.case

    def keeps(self, case_id: str) -> bool:
        """Whether there is an upload of this name, whoever's it is."""
        with self._lock:
            self._forget_old()
            return case_id in self._films

    def data(self, case_id: str) -> bytes:
        """Its file.

        Raises:
            UnreadableImage: If it is no longer kept.
        """
        with self._lock:
            self._forget_old()
            film = self._films.get(case_id)
        if film is None:
            raise UnreadableImage("The upload is no longer kept.", reason="missing_file")
        return film.data

    def forget(self, case_id: str) -> None:
        """Drop an upload now."""
        with self._lock:
            self._films.pop(case_id, None)

    def forget_session(self, session: str) -> None:
        """Drop all uploads of a session now."""
        with self._lock:
            self._keep(lambda film: film.owner.session != session)

    def _forget_old(self) -> None:
        oldest = self._clock() - STAYS_SECONDS
        self._keep(lambda film: film.used >= oldest)

    def _keep(self, stays: Callable[[_KeptUpload], bool]) -> None:
        for name in [name for name, film in self._films.items() if not stays(film)]:
            del self._films[name]

    def _sweep_later(self) -> None:
        """Forget by a clock as well: nobody may ask again for what stays in memory."""
        if self._films and self._sweeper is None:
            self._sweeper = threading.Timer(_SWEEP_SECONDS, self._sweep)
            self._sweeper.daemon = True
            self._sweeper.start()

    def _sweep(self) -> None:
        with self._lock:
            self._sweeper = None
            self._forget_old()
            self._sweep_later()


def _status(image: CaseImage) -> CaseStatus:
    if image.prediction is not None:
        return CaseStatus.ANALYSED
    return CaseStatus.FAILED if image.failed else CaseStatus.NOT_ANALYSED
