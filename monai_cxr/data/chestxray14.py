"""ChestX-ray14: NIH's images, official table, boxes and lists, as an index.

The tables come from the torchxrayvision wheel, so only the images need downloading.

Source: Wang et al., "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on
Weakly-Supervised Classification and Localization of Common Thorax Diseases", CVPR 2017.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cxr.data.png_check import check_all
from monai_cxr.errors import InvalidTable, MissingDependency, SettingsError, UnreadableImage
from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.tables import normalise_index, read_table, require_columns

_TABLES: Mapping[str, str] = {
    "v2020": "Data_Entry_2017_v2020.csv.gz",
    "boxes": "BBox_List_2017.csv.gz",
    "google2019": "google2019_nih-chest-xray-labels.csv.gz",
}


ARCHIVE_SIZES = (4_999, *[10_000] * 10, 7_121)
"""Images in NIH's archives images_001 to images_012, which hold them in order of their names."""


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
        archives: Of NIH's own tables only: what is here of each archive.
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


def wheel_table(name: str) -> Path:
    """A table that the torchxrayvision wheel carries, found without importing it.

    Args:
        name: ``"v2020"``, ``"boxes"`` or ``"google2019"``.

    Raises:
        MissingDependency: If torchxrayvision is not installed.
        SettingsError: If the name is unknown.
    """
    if name not in _TABLES:
        raise SettingsError(f"Unknown table '{name}'. Expected one of: {', '.join(_TABLES)}.")
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependency(
            "torchxrayvision brings NIH's metadata but is not installed. "
            "Install it with: pip install torchxrayvision"
        )
    return Path(spec.submodule_search_locations[0]) / "data" / _TABLES[name]


def read_labels(source: Path | str = "v2020") -> pd.DataFrame:
    """NIH's metadata as labels.

    Args:
        source: ``"v2020"`` (the official table), or the path of a Data_Entry CSV.

    Returns:
        Columns sop_uid (image name), patient_id, view, age, sex, follow_up, pixel spacing in mm
        of the original, and one label column (0 or 1) a finding.

    Raises:
        InvalidTable: If the file is not a Data_Entry table.
    """
    path = wheel_table("v2020") if str(source) == "v2020" else Path(source)
    table = read_table(path)
    require_columns(table, ("Image Index", "Finding Labels", "Patient ID"), what="NIH metadata")
    found = table["Finding Labels"].str.split("|")
    columns: dict[str, object] = {
        "sop_uid": table["Image Index"],
        # v2017 writes 1, lists and image names write 00000001.
        "patient_id": table["Patient ID"].astype(str).str.zfill(8),
        "view": table.get("View Position", ""),
        "sex": table.get("Patient Gender", table.get("Patient Sex", "")),
        "age": _age_years(table.get("Patient Age")),
        "follow_up": table.get("Follow-up #", np.nan),
    }
    exploded = pd.get_dummies(found.explode()).groupby(level=0).max()
    for name in FINDING_NAMES:
        columns[name] = exploded[name].astype("float64") if name in exploded else 0.0
    unknown = sorted(set(exploded.columns) - set(FINDING_NAMES) - {"No Finding"})
    if unknown:
        raise InvalidTable(
            f"The NIH metadata names the finding(s) {', '.join(unknown)}. Expected ChestX-ray14's "
            "14 findings and 'No Finding'."
        )
    result = pd.DataFrame(columns)
    ages = table.get("Patient Age", pd.Series(dtype=str)).astype(str)
    result.attrs["ages_have_units"] = bool(ages.str.contains("[YMD]$").any())
    return result


def _age_years(ages: pd.Series | None) -> object:
    if ages is None:
        return np.nan
    # v2017 writes 058Y; months and days occur ("013M").
    parts = ages.astype(str).str.extract(r"^0*(\d+)\s*([YMD]?)$")
    years = pd.to_numeric(parts[0], errors="coerce")
    scale = parts[1].map({"": 1.0, "Y": 1.0, "M": 1 / 12, "D": 1 / 365.25})
    return years * scale


def read_boxes(path: Path | None = None) -> pd.DataFrame:
    """NIH's 984 reference boxes.

    Args:
        path: A BBox_List CSV; None for the wheel's.

    Returns:
        Columns sop_uid, finding (our spelling), x, y, width, height in pixels of the 1024-px
        original, x along columns.
    """
    # The header's "Bbox [x,y,w,h]" holds commas, so it is read as four columns by position.
    names = ["sop_uid", "finding", "x", "y", "width", "height"]
    table = pd.read_csv(
        path or wheel_table("boxes"), skiprows=1, header=None, usecols=range(6), names=names
    )
    table["finding"] = [FINDINGS[name].name for name in table["finding"]]  # "Infiltrate" occurs
    return table


def read_adjudicated() -> pd.DataFrame:
    """Adjudicated labels of 4,376 NIH films (Majkowska et al., Radiology 2020), where they map.

    Returns:
        Columns sop_uid, patient_id and one label column a finding: Pneumothorax as read; the
        others unknown (NaN), because the readers' classes are not NIH's.
    """
    table = read_table(wheel_table("google2019"))
    columns: dict[str, object] = {
        "sop_uid": table["Image Index"],
        "patient_id": table["Patient ID"].astype(str).str.zfill(8),
    }
    for name in FINDING_NAMES:
        columns[name] = np.nan
    columns["Pneumothorax"] = (table["Pneumothorax"] == "YES").astype("float64")
    return pd.DataFrame(columns).drop_duplicates("sop_uid")


def index_nih(
    directory: Path,
    metadata: Path | str = "v2020",
    *,
    check_pixels: bool = False,
    on_unreadable: str = "skip",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, IndexSummary]:
    """Index a folder of ChestX-ray14 images, and say what is there of it.

    Args:
        directory: NIH's layout (``images_001/images/*.png`` ...) or any folder of its PNGs.
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
    if not directory.is_dir():
        raise InvalidTable(
            f"Expected a folder of ChestX-ray14 images, but '{directory.name}' is not a folder.",
            reason="missing_file",
        )
    labels = read_labels(metadata)
    by_name: dict[str, Path] = {}
    n_duplicates = 0
    for path in sorted(directory.rglob("*.png")):
        n_duplicates += path.name in by_name
        by_name.setdefault(path.name, path.resolve())
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


def refuse_unreadable(
    unreadable: Sequence[tuple[str, str]], n_images: int, on_unreadable: str
) -> None:
    """Stop at images that cannot be read where that is asked for, or where none can be.

    Raises:
        UnreadableImage: Naming the first image.
        SettingsError: If ``on_unreadable`` is neither ``"skip"`` nor ``"stop"``.
    """
    if on_unreadable not in ("skip", "stop"):
        raise SettingsError(f"Expected on_unreadable skip or stop, but got '{on_unreadable}'.")
    if unreadable and (on_unreadable == "stop" or len(unreadable) == n_images):
        name, reason = unreadable[0]
        raise UnreadableImage(
            f"{len(unreadable)} of {n_images} images cannot be read; the first is '{name}' "
            f"({reason}). Fetch them again, or leave them out: --on-unreadable skip.",
            reason=reason,
        )


def count_archives(listed: pd.Series, found: Sequence[str]) -> tuple[ArchiveCount, ...]:
    """What is here of each of NIH's archives, told by image names; of NIH's full tables only.

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


def label_version(labels: pd.DataFrame) -> tuple[str, int]:
    """Which of NIH's label versions a Data_Entry table holds.

    Args:
        labels: Of :func:`read_labels`.

    Returns:
        ``"v2020"`` where no label differs from it; ``"v2017"`` where the full table has v2017's
        1,353 films with Pneumonia (v2020 has 1,431), or ages are written as v2017 writes them;
        else ``"other"``. And how many films' labels differ from v2020's.
    """
    official = read_labels().set_index("sop_uid")
    common = labels[labels["sop_uid"].isin(official.index)]
    if common.empty:
        return "other", len(labels)
    names = list(FINDING_NAMES)
    differs = common[names].to_numpy() != official.loc[common["sop_uid"], names].to_numpy()
    n_changed = int(differs.any(axis=1).sum()) + len(labels) - len(common)
    if n_changed == 0:
        return "v2020", 0
    full_2017 = len(labels) == sum(ARCHIVE_SIZES) and int(labels["Pneumonia"].sum()) == 1_353
    return "v2017" if full_2017 or labels.attrs["ages_have_units"] else "other", n_changed


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
