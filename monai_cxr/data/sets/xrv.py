"""Other data sets: through torchxrayvision's classes, as an index with our findings.

The classes read each set's own tables and know their traps; here their labels are brought to our 14
findings, their uncertain ones by a named policy, and each row to a file on disk. A finding that a
set does not label stays unknown (NaN), and so does what its labeller left blank.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monai_cxr.data.sets.xrv_sets import SETS, Row, XrvSet
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.folders import require_folder
from monai_cxr.label_policy import LabelPolicy
from monai_cxr.tables import normalise_index, read_table

VIEWS = ("frontal", "all")

_RENAMED = {"Pulmonary Fibrosis": "Fibrosis"}
_EITHER = {"Nodule/Mass": ("Nodule", "Mass"), "Lung Lesion": ("Nodule", "Mass")}
"""One label for either of two findings: where it is 0 both are absent, where it is 1 neither is
known (for CheXpert's lesion not even that it is one of the two)."""

_VIEWS = {
    "PA": "PA", "AP": "AP", "AP Supine": "AP", "AP AXIAL": "AP",
    "L": "LATERAL", "LL": "LATERAL", "LATERAL": "LATERAL", "Lateral": "LATERAL", "RL": "LATERAL",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class XrvSummary:
    """What indexing a set found.

    Attributes:
        title: The set's name.
        n_images: Films in the index.
        n_patients: Patients in the index.
        n_listed: Rows of the set's tables.
        n_missing: Rows without a file here, left out.
        n_other_views: Rows of other views, left out.
        n_uncertain: Uncertain labels of our findings, to which the policy was applied.
        patients_unknown: Each film counts as a patient, because the set does not tell.
        known: Films with a known label by finding.
        dropped: Labels of the set that are none of our findings.
    """

    title: str
    n_images: int
    n_patients: int
    n_listed: int
    n_missing: int
    n_other_views: int
    n_uncertain: int
    patients_unknown: bool
    known: Mapping[str, int]
    dropped: tuple[str, ...]


def index_xrv(
    name: str,
    directory: Path,
    *,
    csv: Path | None = None,
    meta_csv: Path | None = None,
    uncertain: str = "unknown",
    blank: str = "unknown",
    views: str = "frontal",
) -> tuple[pd.DataFrame, XrvSummary]:
    """Index a data set that torchxrayvision knows.

    Args:
        name: One of :data:`SETS`.
        directory: The set's images, as it ships them.
        csv: The set's labels; None for those in torchxrayvision's wheel.
        meta_csv: MIMIC's metadata table.
        uncertain: What -1 counts as (CheXpert, MIMIC, BRAX); see
            :class:`~monai_cxr.label_policy.LabelPolicy`.
        blank: What a blank counts as in a finding that the set labels.
        views: ``"frontal"`` leaves lateral and other views out; ``"all"`` keeps them.

    Returns:
        The index and what was found.

    Raises:
        SettingsError: If a name or policy is unknown, or a table is not given.
        InvalidTable: If the tables are not the set's, or no listed image is here.
    """
    policy = LabelPolicy(uncertain, blank)
    how = _named(name, views)
    require_folder(directory, "a folder of images")
    dataset = _dataset(how, directory, csv, meta_csv)
    table = dataset.csv.reset_index(drop=True)
    labels, n_uncertain, dropped = _labels(dataset, table, policy)
    records: list[dict[str, Any]] = table.to_dict("records")
    if not records:
        raise InvalidTable(f"The tables of {how.title} list no film.", reason="no_images")
    rows = pd.concat([_facts(table, records, how), labels], axis=1)
    frontal = rows["view"] != "LATERAL" if views == "frontal" else pd.Series(True, rows.index)
    rows["path"] = [_find(directory, how.files(row)) for row in records]
    here = rows["path"] != ""
    kept = here & frontal
    if not kept.any():
        raise _none_here(how, records)
    index = normalise_index(_once(rows[kept]))
    index.attrs["label_policy"] = policy.to_json()
    return index, XrvSummary(
        title=how.title,
        n_images=len(index),
        n_patients=index["patient_id"].nunique(),
        n_listed=len(rows),
        n_missing=int((frontal & ~here).sum()),
        n_other_views=int((~frontal).sum()),
        n_uncertain=int(n_uncertain[kept].sum()),
        patients_unknown=how.patient_id is None,
        known={finding: int(index[finding].notna().sum()) for finding in FINDING_NAMES},
        dropped=dropped,
    )


def _named(name: str, views: str) -> XrvSet:
    if views not in VIEWS:
        raise SettingsError(f"Expected views as one of {', '.join(VIEWS)}, but got '{views}'.")
    if name not in SETS:
        raise SettingsError(f"Unknown data set '{name}'. Expected one of: {', '.join(SETS)}.")
    return SETS[name]


def _none_here(how: XrvSet, records: Sequence[Row]) -> InvalidTable:
    return InvalidTable(
        f"None of the {len(records)} films that {how.title} lists is in this folder. Expected, for "
        f"example, '{how.files(records[0])[0]}' below it.",
        reason="no_images",
    )


def _dataset(how: XrvSet, directory: Path, csv: Path | None, meta_csv: Path | None) -> Any:
    given = {"csv": csv, "meta_csv": meta_csv}
    for what in how.needs:
        if given[what] is None:
            raise SettingsError(
                f"{how.title} does not come with its tables: give --{what.replace('_', '-')} FILE."
            )
    for path in (csv, meta_csv):
        if path is not None and not path.is_file():
            raise InvalidTable(f"There is no file '{path.name}' here.", reason="missing_file")
    state = np.random.get_state()  # the classes seed the global generator
    with warnings.catch_warnings(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # their use of pandas is theirs
        names = None
        if how.title == "CheXpert" and csv is not None:
            csv, names = _like_train(csv, Path(folder))
        import torchxrayvision.datasets as xrv

        kind = getattr(xrv, how.class_name)
        accepted = inspect.signature(kind).parameters
        options: dict[str, Any] = {
            "views": ["*"], "unique_patients": False, **(how.options or {}),
            **({"csvpath": str(csv)} if csv else {}),
            **({"metacsvpath": str(meta_csv)} if meta_csv else {}),
        }  # fmt: skip
        try:
            dataset = kind(str(directory), **{k: v for k, v in options.items() if k in accepted})
            if names is not None:
                dataset.csv["Path"] = names.loc[dataset.csv.index]
            return dataset
        except (KeyError, ValueError, IndexError, AttributeError, NotImplementedError) as error:
            raise InvalidTable(
                f"The tables are not {how.title}'s ({type(error).__name__}: {error}). Give its own "
                "CSV as it ships.",
                reason="missing_columns",
            ) from error
        finally:
            np.random.set_state(state)


def _like_train(csv: Path, folder: Path) -> tuple[Path, pd.Series | None]:
    """A table of CheXpert's that its class can read, and the paths that the rows really have.

    The class wants ``train`` or ``valid`` in the table's name and in each path, and columns that
    the official test labels (CheXlocalize) do not have. What a table does not say stays unknown.
    """
    table = read_table(csv)
    if "Path" not in table:
        return csv, None  # the class says what it misses
    paths = table["Path"].astype(str)
    lateral = paths.str.contains("lateral", case=False)
    absent: dict[str, Any] = {
        "Sex": "Unknown", "Age": np.nan, "AP/PA": "unknown", "No Finding": np.nan,
        "Frontal/Lateral": np.where(lateral, "Lateral", "Frontal"),
    }  # fmt: skip
    missing = {name: value for name, value in absent.items() if name not in table}
    copy = folder / "train.csv"
    table.assign(**missing, Path="train/" + paths).to_csv(copy, index=False)
    return copy, paths


def _labels(
    dataset: Any, table: pd.DataFrame, policy: LabelPolicy
) -> tuple[pd.DataFrame, NDArray[np.int64], tuple[str, ...]]:
    """Our findings; how many labels were uncertain by row; what of the set is none of ours."""
    result = pd.DataFrame(np.nan, index=table.index, columns=list(FINDING_NAMES))
    n_uncertain = np.zeros(len(table), dtype=np.int64)
    dropped: list[str] = []
    for column, pathology in enumerate(map(str, dataset.pathologies)):
        values = np.array(dataset.labels[:, column], dtype=np.float64)
        doubtful = _uncertain(table, pathology)
        if policy.uncertain == "refuse" and doubtful.any():
            raise InvalidTable(
                f"{int(doubtful.sum())} labels of {pathology} are uncertain (-1). Say what they "
                "count as: --uncertain unknown, absent or present.",
                reason="bad_labels",
            )
        values = policy.apply(np.where(doubtful, -1.0, values))
        name = _RENAMED.get(pathology, pathology)
        if name in FINDINGS:
            result[FINDINGS[name].name] = values
        elif name in _EITHER:
            for finding in _EITHER[name]:
                result[finding] = np.where(values == 0, 0.0, np.nan)
        else:
            dropped.append(pathology)
            continue
        n_uncertain += doubtful
    return result, n_uncertain, tuple(dropped)


def _uncertain(table: pd.DataFrame, pathology: str) -> NDArray[np.bool_]:
    """Where the set's own column says -1; the classes have made that NaN."""
    for column in (pathology, f"Pleural {pathology}"):
        if column in table and pd.api.types.is_numeric_dtype(table[column]):
            return (table[column] == -1).to_numpy(dtype=bool)
    return np.zeros(len(table), dtype=bool)


def _facts(table: pd.DataFrame, records: Sequence[Row], how: XrvSet) -> pd.DataFrame:
    names = [how.image_id(row) for row in records]
    ages = table.get("age_years", table.get("PatientAge", pd.Series(np.nan, table.index)))
    sexes = table.get("Sex", table.get("PatientSex", table.get("PatientSex_DICOM", "")))
    sexes = pd.Series(sexes, table.index).fillna("").astype(str).str[:1].str.upper()
    views = table["view"].map(_VIEWS).fillna("") if "view" in table else ""
    return pd.DataFrame(
        {
            "sop_uid": names,
            "patient_id": names if how.patient_id is None else [how.patient_id(r) for r in records],
            "view": views,
            "age": pd.to_numeric(ages, errors="coerce"),
            "sex": sexes.where(sexes.isin(["M", "F"]), ""),
        }
    )


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per film: SIIM lists a film once a region, and it is positive where any row is."""
    films = rows.groupby("sop_uid", sort=False)
    facts = films.first().drop(columns=list(FINDING_NAMES))
    return pd.concat([facts, films[list(FINDING_NAMES)].max()], axis=1).reset_index()


def _find(directory: Path, candidates: Sequence[str]) -> str:
    paths = (directory / candidate for candidate in candidates)
    return next((str(path.resolve()) for path in paths if path.is_file()), "")
