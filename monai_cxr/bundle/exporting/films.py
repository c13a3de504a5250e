"""Export films: what an export is calibrated on and compared on, given or drawn on the spot."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.bundle.engines.runtime import FilmBatch, available_cores
from monai_cxr.bundle.inference import input_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.data.folder import index_folder
from monai_cxr.errors import InvalidTable
from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.reading.film_input import PreparedFilm
from monai_cxr.reading.film_readers import read_ahead

Progress = Callable[[int, int], None]

_MAX_CALIBRATION, _MAX_COMPARISON = 256, 512
_PHANTOM_SEED = 20_261


@dataclass(frozen=True, slots=True)
class ExportFilms:
    """Network inputs with labels.

    Attributes:
        source: ``"given"`` or ``"phantom"``.
        calibration: Films whose ranges int8 is fitted to, shape (N, 1, S, S).
        comparison: Films on which both networks are compared, shape (M, 1, S, S).
        labels: Labels of the comparison, 0, 1 or NaN, shape (M, F).
    """

    source: str
    calibration: FilmBatch
    comparison: FilmBatch
    labels: NDArray[np.float64]


def given_films(
    model: BundleModel, inputs: Sequence[Path], progress: Progress | None = None
) -> ExportFilms:
    """Films that a user names: of an index the train rows calibrate and the val rows compare.

    Args:
        model: Whose input they become.
        inputs: Films, folders, or indexes.
        progress: Called with (done, total).

    Raises:
        InvalidTable: If none of them can be read.
    """
    table = input_table(inputs, model.findings)
    split = table["split"] if "split" in table else pd.Series("", index=table.index)
    train, val = table[split == "train"], table[split == "val"]
    train = _sample(train if len(train) else table, _MAX_CALIBRATION)
    val = _sample(val if len(val) else table, _MAX_COMPARISON)
    return _read(model, "given", train, val, progress)


def phantom_films(
    model: BundleModel, n_calibration: int, n_comparison: int, progress: Progress | None = None
) -> ExportFilms:
    """Phantom films with known findings, drawn into a temporary folder and deleted again."""
    settings = PhantomSettings(
        n_patients=n_calibration + n_comparison,
        seed=_PHANTOM_SEED,
        size=max(2 * model.image_size, 128),
        mean_films_per_patient=1.0,
    )
    with tempfile.TemporaryDirectory(prefix="monai-cxr-") as folder:
        labels = write_dicom_archive(Path(folder), settings, workers=1, progress=progress)
        index, _ = index_folder(Path(folder), labels)
        train, val = index[:n_calibration], index[n_calibration:]
        return _read(model, "phantom", train, val, None)


def _sample(table: pd.DataFrame, n_films: int) -> pd.DataFrame:
    return table if len(table) <= n_films else table.sample(n_films, random_state=0).sort_index()


def _read(
    model: BundleModel,
    source: str,
    train: pd.DataFrame,
    val: pd.DataFrame,
    progress: Progress | None,
) -> ExportFilms:
    calibration, _ = _inputs(model, train, progress)
    comparison, labels = _inputs(model, val, progress)
    if not len(calibration) or not len(comparison):
        raise InvalidTable(
            f"None of the {len(train)} films to calibrate with or none of the {len(val)} to "
            "compare on can be read. Give frontal chest films with --films.",
            reason="no_images",
        )
    return ExportFilms(source, calibration, comparison, labels)


def _inputs(
    model: BundleModel, table: pd.DataFrame, progress: Progress | None
) -> tuple[FilmBatch, NDArray[np.float64]]:
    """The films of a table that can be read, and their labels."""
    cores = available_cores()
    paths = [Path(path) for path in table["path"]]
    kept: list[NDArray[np.float32]] = []
    rows: list[int] = []
    films = read_ahead(paths, model.specs, workers=cores, ahead=4 * cores, processes=True)
    for row, film in enumerate(films):
        if isinstance(film, PreparedFilm):
            kept.append(film.inputs[0])
            rows.append(row)
        if progress is not None:
            progress(row + 1, len(paths))
    values = table.reindex(columns=list(model.findings)).to_numpy(dtype=np.float64)
    side = model.image_size
    empty = np.empty((0, 1, side, side), dtype=np.float32)
    return (np.stack(kept) if kept else empty), values[rows]
