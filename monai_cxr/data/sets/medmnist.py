"""MedMNIST: its ``.npz`` files of small films, as PNG files and an index.

Yang et al., "MedMNIST v2 - A large-scale lightweight benchmark for 2D and 3D biomedical image
classification", Scientific Data 2023.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from monai_cxr.atomic import write_atomically
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.tables import SPLITS, normalise_index


def index_medmnist(
    file: Path,
    films: Path,
    *,
    findings: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Write the films of a MedMNIST file as PNG and index them with the official splits.

    The files name no patients, so each film counts as a patient of its own: intervals over them are
    too narrow where one patient has several films.

    Args:
        file: For example ``pneumoniamnist.npz``; any of train, val and test may be absent.
        films: Folder for the PNG files; those that are there already are kept.
        findings: Names of the labels. One name is that of label 1 against label 0; several are the
            exclusive classes 0, 1, 2 ... Default: ``Pneumonia`` for two classes, and NIH's 14 names
            for ChestMNIST's 14 columns.
        progress: Called with (done, total).

    Returns:
        An index with one label column a name.

    Raises:
        InvalidTable: If the file is absent, damaged, or holds no gray films with labels.
        SettingsError: If the names do not fit the labels.
    """
    arrays = _read(file)
    splits = [name for name in SPLITS if f"{name}_images" in arrays]
    names = _names(arrays[f"{splits[0]}_labels"], findings, arrays, splits)
    total = sum(len(arrays[f"{name}_images"]) for name in splits)
    rows: list[dict[str, object]] = []
    for split in splits:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        for i, (film, label) in enumerate(zip(images, labels, strict=True)):
            name = f"{split}_{i:05d}.png"
            path = films / name
            if not path.is_file():
                _write(film, path)
            keys = {"path": str(path.resolve()), "patient_id": name[:-4], "sop_uid": name}
            rows.append({**keys, "split": split, **_labels(label, names)})
            if progress is not None and (len(rows) % 100 == 0 or len(rows) == total):
                progress(len(rows), total)
    return normalise_index(pd.DataFrame(rows), names)


def _read(file: Path) -> dict[str, NDArray[np.generic]]:
    if not file.is_file():
        raise InvalidTable(f"Expected the file '{file.name}' here.", reason="missing_file")
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise InvalidTable(
            f"'{file.name}' is not a readable .npz file ({type(error).__name__}). Fetch it again.",
            reason="unreadable_table",
        ) from None
    present = [name for name in SPLITS if f"{name}_images" in arrays]
    if not present or any(f"{name}_labels" not in arrays for name in present):
        raise InvalidTable(
            f"'{file.name}' is not a MedMNIST file: expected train_images and train_labels (or "
            f"val, test), but it has {', '.join(sorted(arrays)[:6]) or 'nothing'}.",
            reason="missing_columns",
        )
    for name in present:
        images, labels = arrays[f"{name}_images"], arrays[f"{name}_labels"]
        if images.ndim != 3 or images.dtype != np.uint8 or labels.ndim != 2:
            raise InvalidTable(
                f"Expected gray films, uint8 (N, rows, columns), and labels (N, K) in '{name}', "
                f"but got {images.dtype} {images.shape} and {labels.shape}.",
                reason="bad_shape",
            )
        if len(images) != len(labels) or not len(images):
            raise InvalidTable(
                f"'{name}' has {len(images)} films and {len(labels)} labels.", reason="bad_shape"
            )
    return arrays


def _names(
    first: NDArray[np.generic],
    findings: Sequence[str],
    arrays: dict[str, NDArray[np.generic]],
    splits: Sequence[str],
) -> tuple[str, ...]:
    columns = first.shape[1]
    if columns > 1:
        names = tuple(findings) or FINDING_NAMES
        if len(names) != columns:
            raise SettingsError(f"Expected {columns} names for the labels, but got {len(names)}.")
        return names
    classes = 1 + max(int(arrays[f"{name}_labels"].max()) for name in splits)
    names = tuple(findings) or (("Pneumonia",) if classes == 2 else ())
    if (len(names) == 1 and classes > 2) or len(names) not in (1, classes):
        raise SettingsError(
            f"The labels are of {classes} classes, but got {len(names)} names: "
            f"{', '.join(names) or 'none'}. Name the classes in the order of their numbers."
        )
    return names


def _labels(label: NDArray[np.generic], names: Sequence[str]) -> dict[str, float]:
    if len(label) == len(names):
        return {name: float(value) for name, value in zip(names, label, strict=True)}
    return {name: float(int(label[0]) == i) for i, name in enumerate(names)}


def _write(film: NDArray[np.uint8], path: Path) -> None:
    picture = Image.fromarray(np.ascontiguousarray(film))
    write_atomically(path, lambda target: picture.save(target, format="PNG"))
