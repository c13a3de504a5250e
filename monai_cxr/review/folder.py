"""Folder: the films below a folder as cases, analysed in the background, new files noticed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monai_cxr.bundle.model import BundleModel
from monai_cxr.data.folder import film_paths
from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import BundleError, InputError, SettingsError, UnsupportedImage
from monai_cxr.prediction import study_prediction
from monai_cxr.radiograph import InstanceKey, ViewPosition
from monai_cxr.reading.files import read_bytes
from monai_cxr.review.cases import Case, CaseImage, CaseStatus, QueueLine, Stray, opaque

_LOOK_AGAIN_SECONDS = 2.0


@dataclass(slots=True)
class _Entry:
    case: Case
    paths: list[Path]


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
        self._entries: dict[str, _Entry] = {}
        self._known: set[Path] = set()
        self._version = 0
        self._stop = threading.Event()
        self._look = threading.Event()
        self._thread = threading.Thread(target=self._work, name="folder cases", daemon=True)

    def start(self) -> FolderCases:
        """Begin to index and analyse."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the background work after the film at hand."""
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
            return [entry.case for entry in self._entries.values()]

    def case(self, case_id: str) -> Case | None:
        """One case, or None."""
        with self._lock:
            entry = self._entries.get(case_id)
            return entry.case if entry else None

    def data(self, image: CaseImage) -> bytes:
        """The file of an image, read now.

        Raises:
            UnreadableImage: If it is gone.
        """
        with self._lock:
            paths = [
                path
                for entry in self._entries.values()
                for path, other in zip(entry.paths, entry.case.images, strict=True)
                if other.key == image.key
            ]
        return read_bytes(paths[0] if paths else self._directory / "gone")[0]

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
            entry = self._entries.get(case_id)
            if entry is None:
                return False
            images = tuple(
                CaseImage(image.key, image.view) if image.reason else image
                for image in entry.case.images
            )
            self._put(entry, replace(entry.case, images=images, status=CaseStatus.WAITING))
        self._look.set()
        return True

    def update(self) -> None:
        """Index what is new and analyse what waits, in this thread; :meth:`start` does it again."""
        self._index(self._new_paths())
        for case_id in self._waiting():
            if self._stop.is_set():
                return
            self._analyse(case_id)

    def _work(self) -> None:
        while not self._stop.is_set():
            self.update()
            self._look.wait(_LOOK_AGAIN_SECONDS)
            self._look.clear()

    def _new_paths(self) -> list[Path]:
        paths = [path for path in film_paths(self._directory) if path not in self._known]
        self._known.update(paths)
        return paths

    def _waiting(self) -> list[str]:
        with self._lock:
            waiting = [
                entry.case
                for entry in self._entries.values()
                if entry.case.status is CaseStatus.WAITING
            ]
        return [case.case_id for case in sorted(waiting, key=lambda case: case.received)]

    def _index(self, paths: Iterable[Path]) -> None:
        for path in paths:
            if self._stop.is_set():
                return
            try:
                data, name = read_bytes(path)
                facts = open_dicom(data).facts if is_dicom(data) else None
            except InputError as error:
                self._add(path, _refused(CaseImage(_named(path)), error))
                continue
            if facts is None:
                self._add(path, CaseImage(InstanceKey("", "", "", name)))
                continue
            self._add(
                path,
                CaseImage(facts.key if facts.key.sop_uid else _named(path), facts.view),
                acquired=facts.acquired,
                sex=facts.sex,
                age_years=facts.age_years,
            )

    def _add(
        self,
        path: Path,
        image: CaseImage,
        *,
        acquired: str = "",
        sex: str = "",
        age_years: float | None = None,
    ) -> None:
        key = image.key
        case_id = opaque(self._secret, key.study_uid or f"{key.sop_uid}\n{path.parent}")
        try:
            received = path.stat().st_mtime
        except OSError:
            received = 0.0
        with self._lock:
            entry = self._entries.get(case_id)
            if entry is not None:
                pairs = [*zip(entry.case.images, entry.paths, strict=True), (image, path)]
                pairs.sort(key=lambda pair: pair[0].view is ViewPosition.LATERAL)
                entry.paths = [where for _, where in pairs]
                images = tuple(one for one, _ in pairs)
                self._put(entry, replace(entry.case, images=images, status=CaseStatus.WAITING))
                return
            case = Case(
                case_id,
                opaque(self._secret, key.patient_id),
                (image,),
                CaseStatus.WAITING,
                received,
                acquired=acquired,
                sex=sex,
                age_years=age_years,
            )
            self._put(_Entry(case, [path]), case)

    def _put(self, entry: _Entry, case: Case) -> None:
        entry.case = case
        self._entries[case.case_id] = entry
        self._version += 1

    def _analyse(self, case_id: str) -> None:
        with self._lock:
            entry = self._entries[case_id]
            case, paths = entry.case, list(entry.paths)
        images = tuple(
            self._analysed(image, path) for image, path in zip(case.images, paths, strict=True)
        )
        predictions = [image.prediction for image in images if image.prediction is not None]
        failed = any(image.failed for image in images)
        unread = CaseStatus.FAILED if failed else CaseStatus.NOT_ANALYSED
        status = CaseStatus.ANALYSED if predictions else unread
        done = replace(
            case,
            images=images,
            status=status,
            prediction=study_prediction(predictions) if predictions else None,
        )
        with self._lock:
            if entry.case.images == case.images:  # else another film of the study came meanwhile
                self._put(entry, done)

    def _analysed(self, image: CaseImage, path: Path) -> CaseImage:
        if image.prediction is not None or image.reason:
            return image
        if self._model is None:
            return replace(image, reason="no_model", sentence="No model is loaded.")
        try:
            film = self._model.read(path)
            prediction = self._model.predict([film])[0]
        except (InputError, BundleError) as error:
            return _refused(image, error)
        return replace(
            image,
            view=film.view,
            prediction=prediction,
            flags=film.flags,
            predicted_at=time.time(),
        )


def _named(path: Path) -> InstanceKey:
    return InstanceKey("", "", "", path.name)


def _refused(image: CaseImage, error: InputError | BundleError) -> CaseImage:
    reason = error.reason if isinstance(error, InputError) else "model_failed"
    failed = not isinstance(error, UnsupportedImage)
    return replace(image, reason=reason, sentence=str(error), failed=failed)
