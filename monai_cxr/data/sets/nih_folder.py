"""NIH folder: ChestX-ray14's images on disk as an index, and how much of it is there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cxr.data.sets.chestxray14 import ARCHIVE_SIZES, label_version, read_boxes, read_labels
from monai_cxr.data.sets.png_check import check_all, refuse_unreadable
from monai_cxr.errors import InvalidTable
from monai_cxr.folders import require_folder
from monai_cxr.tables import normalise_index


@dataclass(frozen=True, slots=True)
class ArchiveCount:
    """One of NIH's twelve archives.

    Attributes:
        archive: ``"images_001"`` to ``"images_012"``.
        n_found: Images of it that are here, in whatever folder.
        n_expected: Images that it holds.
    """

    archive: str
    n_found: int
    n_expected: int

    @property
    def state(self) -> str:
        """``"complete"``, ``"incomplete"`` or ``"missing"``."""
        if self.n_found == self.n_expected:
            return "complete"
        return "incomplete" if self.n_found else "missing"


@dataclass(frozen=True, slots=True)
class IndexSummary:
    """What indexing a folder found.

    Attributes:
        n_images: Image files that are in the index.
        n_listed: Rows of the metadata table.
        n_missing: Rows of the metadata table without an image here.
        n_unlisted: Image files without a row, left out.
        n_duplicates: Image names found in more than one folder; the first is kept.
        n_unreadable: Image files that are not whole, left out.
        n_patients: Patients in the index.
        n_boxes: Reference boxes on images of the index.
        label_version: ``"v2020"``, ``"v2017"`` or ``"other"``.
        n_labels_changed: Films whose labels differ from v2020's.
        archives: How much of each archive is here; only for NIH's own tables.
        unreadable: (image, reason code) of what is not whole.
        lists: Images of the index by official list, for the lists that lie here.
    """

    n_images: int
    n_listed: int
    n_missing: int
    n_unlisted: int
    n_duplicates: int
    n_unreadable: int
    n_patients: int
    n_boxes: int
    label_version: str
    n_labels_changed: int
    archives: tuple[ArchiveCount, ...]
    unreadable: tuple[tuple[str, str], ...]
    lists: Mapping[str, int]

    @property
    def missing_archives(self) -> tuple[str, ...]:
        """Archives of which nothing is here."""
        return tuple(part.archive for part in self.archives if part.state == "missing")


def index_nih(
    directory: Path,
    metadata: Path | str = "v2020",
    *,
    check_pixels: bool = False,
    on_unreadable: str = "skip",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, IndexSummary]:
    """Index a folder of ChestX-ray14 images, and say how much of it is there.

    Args:
        directory: NIH's layout (``images_001/images/*.png`` and so on) or any folder of its PNGs.
        metadata: ``"v2020"`` or the path of a Data_Entry CSV, v2017's or v2020's.
        check_pixels: Decode every image; else the ends of each file are looked at, which finds
            empty and truncated ones.
        on_unreadable: ``"skip"`` leaves such an image out; ``"stop"`` raises.
        progress: Told as files are checked.

    Returns:
        The index, in the metadata's order, and what was found.

    Raises:
        InvalidTable: If the folder is absent or holds none of the listed images.
        UnreadableImage: If an image is not whole and ``on_unreadable`` is ``"stop"``.
    """
    require_folder(directory, "a folder of ChestX-ray14 images")
    labels = read_labels(metadata)
    by_name, n_duplicates = _images(directory)
    listed = [name for name in labels["sop_uid"] if name in by_name]
    if not listed:
        raise InvalidTable(
            f"None of the {len(by_name)} PNG files here is listed in the metadata. Expected names "
            "such as 00000001_000.png.",
            reason="no_images",
        )
    reasons = check_all([by_name[name] for name in listed], pixels=check_pixels, progress=progress)
    unreadable = tuple((name, why) for name, why in zip(listed, reasons, strict=True) if why)
    refuse_unreadable(unreadable, len(listed), on_unreadable)
    kept = set(listed) - {name for name, _ in unreadable}
    table = labels[labels["sop_uid"].isin(kept)].copy()
    table["path"] = [str(by_name[name]) for name in table["sop_uid"]]
    index = normalise_index(table)
    version, n_changed = label_version(labels)
    boxes = read_boxes(_beside(directory, "BBox_List_2017.csv"))
    return index, IndexSummary(
        n_images=len(index),
        n_listed=len(labels),
        n_missing=len(labels) - len(listed),
        n_unlisted=len(by_name) - len(listed),
        n_duplicates=n_duplicates,
        n_unreadable=len(unreadable),
        n_patients=index["patient_id"].nunique(),
        n_boxes=int(boxes["sop_uid"].isin(kept).sum()),
        label_version=version,
        n_labels_changed=n_changed,
        archives=count_archives(labels["sop_uid"], listed),
        unreadable=unreadable,
        lists=_count_lists(directory, kept),
    )


def _images(directory: Path) -> tuple[dict[str, Path], int]:
    """PNG files of a folder by name, and the number of further files of the same names."""
    by_name: dict[str, Path] = {}
    n_duplicates = 0
    for path in sorted(directory.rglob("*.png")):
        n_duplicates += path.name in by_name
        by_name.setdefault(path.name, path.resolve())
    if not by_name:
        raise InvalidTable(
            f"Expected ChestX-ray14 images, but '{directory.name}' holds no PNG file. Unpack NIH's "
            "archives (images_001.tar.gz to images_012.tar.gz) into it.",
            reason="no_images",
        )
    return by_name, n_duplicates


def count_archives(listed: pd.Series, found: Sequence[str]) -> tuple[ArchiveCount, ...]:
    """How much of each NIH archive is here, by image names; only for NIH's full tables.

    NIH's archives all unpack into a folder ``images``, so that folders tell nothing.
    """
    if len(listed) != sum(ARCHIVE_SIZES):
        return ()
    names, here = sorted(listed), set(found)
    ends = np.cumsum(ARCHIVE_SIZES)
    return tuple(
        ArchiveCount(
            f"images_{number:03d}", sum(name in here for name in names[end - size : end]), size
        )
        for number, (end, size) in enumerate(zip(ends, ARCHIVE_SIZES, strict=True), start=1)
    )


def _beside(directory: Path, name: str) -> Path | None:
    """A file of NIH's in the folder of images or the one above."""
    return next((p / name for p in (directory, directory.parent) if (p / name).is_file()), None)


def _count_lists(directory: Path, images: Collection[str]) -> dict[str, int]:
    counts = {}
    for name in ("train_val", "test"):
        path = _beside(directory, f"{name}_list.txt")
        if path is not None:
            listed = path.read_text(encoding="utf-8", errors="replace").split()
            counts[name] = len(set(listed) & set(images))
    return counts
