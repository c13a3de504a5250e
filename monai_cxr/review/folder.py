"""Folder: the films below a folder as cases, analysed in the background, new files noticed."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import InputError, SettingsError, UnreadableImage
from monai_cxr.prediction import study_prediction
from monai_cxr.radiograph import InstanceKey, ViewPosition
from monai_cxr.reading.files import read_bytes
from monai_cxr.reading.film_input import RefusedFilm
from monai_cxr.reading.listing import film_paths
from monai_cxr.review.analysis import analysed, refused
from monai_cxr.review.cases import Case, CaseImage, CaseStatus, QueueLine, Stray, opaque
from monai_cxr.review.persons import FilmHeader, by_person, header_of, named

_LOOK_AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Film:
    """A file of the folder, as it was when it was last read.

    Attributes:
        path: Where it is.
        stamp: (size, time of change in ns); another one is another film.
        image: What the viewer shows of it.
        header: Who and when.
    """

    path: Path
    stamp: tuple[int, int]
    image: CaseImage
    header: FilmHeader

    @property
    def received(self) -> float:
        """POSIX seconds of the last change."""
        return self.stamp[1] / 1e9

    @property
    def study_key(self) -> str:
        """What films of one study have in common."""
        key = self.image.key
        return key.study_uid or f"{key.sop_uid}\n{self.path.parent}"


class FolderCases:
    """Cases of a folder; answers the protocol of :class:`monai_cxr.review.cases.CaseSource`.

    Args:
        directory: Searched with all its subfolders, again and again for new files.
        model: Analyses the films; None to look at them only.
        secret: Key of the opaque names.

    Raises:
        SettingsError: If the folder does not exist.
    """

    def __init__(self, directory: Path, model: BundleModel | None, *, secret: bytes) -> None:
        if not directory.is_dir():
            raise SettingsError(f"Expected a folder of films, but '{directory.name}' is not one.")
        self.name = f"folder {directory.name}"
        self._directory = directory
        self._model = model
        self._secret = secret
        self._lock = threading.Lock()
        self._films: dict[Path, _Film] = {}
        self._studies: dict[str, list[Path]] = {}
        self._cases: dict[str, list[Case]] = {}  # by what films of one study have in common
        self._version = 0
        self._stop = threading.Event()
        self._look = threading.Event()
        self._thread = threading.Thread(target=self._work, name="folder cases", daemon=True)

    def start(self) -> FolderCases:
        """Begin to index and analyse."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the background work after the current film."""
        self._stop.set()
        self._look.set()
        if self._thread.is_alive():
            self._thread.join()

    def version(self) -> int:
        """A number that grows with every change."""
        return self._version

    def cases(self) -> Sequence[Case]:
        """All cases known so far."""
        with self._lock:
            return [case for cases in self._cases.values() for case in cases]

    def case(self, case_id: str) -> Case | None:
        """One case, or None."""
        return next((case for case in self.cases() if case.case_id == case_id), None)

    def data(self, image: CaseImage) -> bytes:
        """The file of an image, read now; never that of another one which took its place.

        Raises:
            UnreadableImage: If it is gone, or was changed since it was indexed.
        """
        with self._lock:
            paths = [f.path for f in self._films.values() if f.image.film_id == image.film_id]
        content = read_bytes(paths[0] if paths else self._directory / "gone")[0]
        if image.film_id and self._name(image.key.sop_uid, content) != image.film_id:
            self._look.set()
            raise UnreadableImage(
                "The file was changed on the disk; it is being read again.", reason="changed_file"
            )
        return content

    def queue(self) -> Sequence[QueueLine]:
        """Studies that wait for the model."""
        waiting = [case.received for case in self.cases() if case.status is CaseStatus.WAITING]
        oldest = time.time() - min(waiting) if waiting else math.nan
        return [QueueLine("Studies waiting for the model", len(waiting), oldest)]

    def strays(self) -> Sequence[Stray]:
        """None: every file of a folder is a case."""
        return ()

    def retry(self, case_id: str, *, actor: str) -> bool:
        """Analyse a case again."""
        with self._lock:
            case = self._of(case_id)
            refused = {image.film_id for image in case.images if image.reason} if case else set()
            again = [f for f in self._films.values() if f.image.film_id in refused]
            for film in again:
                fresh = CaseImage(film.image.key, film.image.view, film_id=film.image.film_id)
                self._films[film.path] = replace(film, image=fresh)
            self._group({film.study_key for film in again})
        self._look.set()
        return case is not None

    def update(self) -> None:
        """Index what is new and analyse what waits, in this thread; :meth:`start` does it again."""
        for path, stamp in self._changed_files():
            if self._stop.is_set():
                return
            self._index(path, stamp)
        for film in self._waiting():
            if self._stop.is_set():
                return
            self._analyse(film)

    def _work(self) -> None:
        while not self._stop.is_set():
            self.update()
            self._look.wait(_LOOK_AGAIN_SECONDS)
            self._look.clear()

    def _changed_files(self) -> list[tuple[Path, tuple[int, int]]]:
        """Files that are new, or whose size or time of change is another than when last read."""
        found = []
        for path in film_paths(self._directory):
            stamp, known = _stamp(path), self._films.get(path)
            if stamp is not None and (known is None or known.stamp != stamp):
                found.append((path, stamp))
        return found

    def _waiting(self) -> list[_Film]:
        with self._lock:
            waiting = [film for film in self._films.values() if _is_waiting(film.image)]
        return sorted(waiting, key=lambda film: film.received)

    def _name(self, sop_uid: str, content: bytes) -> str:
        return opaque(self._secret, f"{sop_uid}\n{hashlib.sha256(content).hexdigest()}")

    def _index(self, path: Path, stamp: tuple[int, int]) -> None:
        try:
            data, name = read_bytes(path)
        except InputError as error:
            header = FilmHeader(InstanceKey("", "", "", path.name))
            self._put(
                path, stamp, header, refused(CaseImage(header.key), RefusedFilm.of(error)), b""
            )
            return
        header, view = FilmHeader(InstanceKey("", "", "", name)), ViewPosition.UNKNOWN
        try:
            if is_dicom(data):
                opened = open_dicom(data)
                header, view = header_of(opened), opened.facts.view
                if not header.key.sop_uid:
                    header = replace(header, key=replace(header.key, sop_uid=path.name))
        except InputError as error:
            self._put(
                path, stamp, header, refused(CaseImage(header.key), RefusedFilm.of(error)), data
            )
            return
        self._put(path, stamp, header, CaseImage(header.key, view), data)

    def _put(
        self, path: Path, stamp: tuple[int, int], header: FilmHeader, image: CaseImage, data: bytes
    ) -> None:
        named = replace(image, film_id=self._name(image.key.sop_uid, data))
        film = _Film(path, stamp, named, header)
        with self._lock:
            before = self._films.get(path)
            touched = {film.study_key}
            if before is not None:
                touched.add(before.study_key)
                self._studies[before.study_key].remove(path)
            self._films[path] = film
            self._studies.setdefault(film.study_key, []).append(path)
            self._group(touched)

    def _group(self, study_keys: Iterable[str]) -> None:
        """Make the cases of some studies again: one per person, whoever came first."""
        for study_key in study_keys:
            films = {
                self._films[path].image.film_id: self._films[path]
                for path in self._studies[study_key]
            }  # a copy of a film is the film
            people = by_person(list(films.values()), lambda film: film.header.person)
            self._cases[study_key] = [
                self._case(study_key, group, shared=len(people) > 1) for group in people
            ]
        self._version += 1

    def _case(self, study_key: str, films: list[_Film], *, shared: bool) -> Case:
        films = sorted(films, key=lambda film: film.image.view is ViewPosition.LATERAL)
        images = tuple(film.image for film in films)
        told = max((film.header for film in films), key=lambda header: header.person.stated)
        first = films[0].header
        apart = f"{study_key}\n{named(told.person)}" if shared else study_key
        case_id = opaque(self._secret, apart)
        predictions = [image.prediction for image in images if image.prediction is not None]
        ages = [film.header.patient_age_years for film in films]
        return Case(
            case_id,
            opaque(self._secret, told.person.patient_id),
            images,
            _status(images),
            min(film.received for film in films),
            acquired=first.date,
            patient_sex=told.person.sex,
            patient_age_years=next((age for age in ages if age is not None), None),
            prediction=study_prediction(predictions)
            if predictions and not any(map(_is_waiting, images))
            else None,
            time=first.time,
            accession=first.accession,
            shared=shared,
            study=f"{first.key.study_uid or first.key.sop_uid}/{case_id[:8]}" if shared else "",
        )

    def _of(self, case_id: str) -> Case | None:
        cases = (case for cases in self._cases.values() for case in cases)
        return next((case for case in cases if case.case_id == case_id), None)

    def _analyse(self, film: _Film) -> None:
        done = self._analysed(film.image, film.path)
        if _stamp(film.path) not in (film.stamp, None):
            return  # the file was changed meanwhile: it is indexed and read again
        with self._lock:
            if self._films.get(film.path) is film:
                self._films[film.path] = replace(film, image=done)
                self._group({film.study_key})

    def _analysed(self, image: CaseImage, path: Path) -> CaseImage:
        return analysed(image, path, self._model)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of change of a file; None where it vanished."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def _is_waiting(image: CaseImage) -> bool:
    return image.prediction is None and not image.reason


def _status(images: Sequence[CaseImage]) -> CaseStatus:
    if any(map(_is_waiting, images)):
        return CaseStatus.WAITING
    if any(image.prediction is not None for image in images):
        return CaseStatus.ANALYSED
    failed = any(image.failed for image in images)
    return CaseStatus.FAILED if failed else CaseStatus.NOT_ANALYSED
