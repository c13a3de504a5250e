"""DICOM archive: phantom patients as files on disk, with labels and truth."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr.findings import FINDING_NAMES
from monai_cxr.phantom.dicom_film import draw_encoding, film_dataset
from monai_cxr.phantom.film import PhantomFilm, render_film
from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.phantom.work import FilmJob, Progress, Row, film_jobs, run_all, write_rows

LABEL_COLUMNS = ("path", "patient_id", "study_uid", "sop_uid", "view", "age", "sex", "follow_up",
                 *FINDING_NAMES)  # fmt: skip
TRUTH_COLUMNS = ("path", "finding", "severity", "x", "y", "width", "height")


def write_dicom_archive(
    directory: Path,
    settings: PhantomSettings,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    masks: bool = False,
) -> Path:
    """Write ``<patient>/<study>/<sop>.dcm`` for every film, ``labels.csv`` and ``truth.csv``.

    Args:
        directory: Where to write; created if absent.
        settings: Patients, seed, size, prevalences, label noise.
        workers: Number of processes, None for one per core; the files do not depend on it.
        progress: Called with (films done, films in total), or None.
        masks: Whether to write ``masks/<sop>.npz`` with one bool array a finding.

    Returns:
        Path of ``labels.csv``: paths, UIDs, view, age, sex and one 0/1 column per finding, as noisy
        as the settings say. ``truth.csv`` beside it holds severity and box of what is drawn.

    Raises:
        SettingsError: If ``workers`` is less than 1.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    jobs = film_jobs(directory, settings)
    done = run_all(partial(_write_film, masks=masks), jobs, workers=workers, progress=progress)
    truth = (row for _, rows in done for row in rows)
    write_rows(directory / "truth.csv", ",".join(TRUTH_COLUMNS), truth)
    labels = directory / "labels.csv"
    write_rows(labels, ",".join(LABEL_COLUMNS), (label for label, _ in done))
    return labels


def _write_film(job: FilmJob, *, masks: bool) -> tuple[Row, list[Row]]:
    film = render_film(job.settings, patient=job.patient, follow_up=job.follow_up)
    encoding = draw_encoding(job.settings, job.patient, job.follow_up)
    dataset = film_dataset(film, job.settings, encoding)
    study_uid, sop_uid = str(dataset.StudyInstanceUID), str(dataset.SOPInstanceUID)
    relative = Path(film.patient_id, study_uid, f"{sop_uid}.dcm")
    path = job.directory / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    if masks:
        _write_masks(job.directory / "masks" / f"{sop_uid}.npz", film)
    name = relative.as_posix()
    label: Row = (
        name, film.patient_id, study_uid, sop_uid, film.view_position, film.age_years, film.sex,
        film.follow_up, *(int(value) for value in film.labels),
    )  # fmt: skip
    return label, _truth(name, film)


def _truth(name: str, film: PhantomFilm) -> list[Row]:
    return [
        (name, finding, round(severity, 4), *(int(value) for value in film.boxes[finding]))
        for finding, severity in film.present.items()
    ]


def _write_masks(path: Path, film: PhantomFilm) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = dict(film.masks)
    np.savez_compressed(path, **arrays)
