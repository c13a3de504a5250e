"""NIH archive: phantom patients in the folder layout of ChestX-ray14."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.phantom.film import PhantomFilm, render_film
from monai_cxr.phantom.settings import PhantomSettings
from monai_cxr.phantom.work import FilmJob, Progress, Row, film_jobs, run_all, write_rows

# NIH's own headers: the brackets hold commas, so that one name becomes two columns.
_ENTRY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
_BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
# NIH's boxes call this finding by another name than NIH's labels do.
_BOX_NAMES = {"Infiltration": "Infiltrate"}


def write_nih_archive(
    directory: Path,
    settings: PhantomSettings,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    test_share: float = 0.2,
) -> Path:
    """Write 8-bit PNG films, the entry and box tables, and the two split lists.

    Args:
        directory: Where to write; created if absent.
        settings: Patients, seed, size, prevalences, label noise.
        workers: Number of processes, None for one per core; the files do not depend on it.
        progress: Called with (films done, films in total), or None.
        test_share: Share of patients in ``test_list.txt``, in [0, 1].

    Returns:
        Path of ``Data_Entry_2017_v2020.csv``.

    Raises:
        SettingsError: If ``workers`` or ``test_share`` is out of range.
    """
    if not 0.0 <= test_share <= 1.0:
        raise SettingsError(
            f"Expected test_share between 0 and 1, but got {test_share}. Give for example 0.2."
        )
    directory = Path(directory)
    images = directory / "images_001" / "images"
    images.mkdir(parents=True, exist_ok=True)
    jobs = film_jobs(images, settings)
    done = run_all(_write_film, jobs, workers=workers, progress=progress)
    write_rows(directory / "BBox_List_2017.csv", _BOX_HEADER,
                 [row for _, rows in done for row in rows])  # fmt: skip
    test = _test_patients(settings, test_share)
    for name, wanted in (("train_val_list.txt", False), ("test_list.txt", True)):
        names = [str(entry[0]) for job, (entry, _) in zip(jobs, done, strict=True)
                 if (job.patient in test) == wanted]  # fmt: skip
        (directory / name).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    entries = directory / "Data_Entry_2017_v2020.csv"
    write_rows(entries, _ENTRY_HEADER, [entry for entry, _ in done])
    return entries


def _write_film(job: FilmJob) -> tuple[Row, list[Row]]:
    film = render_film(job.settings, patient=job.patient, follow_up=job.follow_up)
    name = f"{job.patient + 1:08d}_{job.follow_up:03d}.png"
    grey = np.asarray(np.rint(film.pixels * 255.0), dtype=np.uint8)
    Image.fromarray(grey).save(job.directory / name, compress_level=1)
    rows, columns = grey.shape
    spacing = round(film.pixel_spacing_mm[0], 6)
    labels = [finding for finding, value in zip(FINDING_NAMES, film.labels, strict=True) if value]
    entry: Row = (
        name, "|".join(labels) or "No Finding", film.follow_up, job.patient + 1, film.age_years,
        film.sex, film.view_position, columns, rows, spacing, spacing,
    )  # fmt: skip
    return entry, _boxes(name, film)


def _boxes(name: str, film: PhantomFilm) -> list[Row]:
    return [(name, _BOX_NAMES.get(finding, finding), *box) for finding, box in film.boxes.items()]


def _test_patients(settings: PhantomSettings, share: float) -> frozenset[int]:
    rng = np.random.default_rng([settings.seed, 92])
    order = rng.permutation(settings.n_patients)
    return frozenset(int(patient) for patient in order[: round(share * settings.n_patients)])
