"""Films of an attempt: indexes with corrections, and no patient of a test among the new films."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from monai_cxr.bundle.digests import file_digest
from monai_cxr.errors import InvalidTable
from monai_cxr.labels.overlay import apply_overlay, read_overlay
from monai_cxr.lifecycle.plan import PlanData
from monai_cxr.tables import normalise_index, read_table


def data_digests(data: PlanData) -> dict[str, str]:
    """SHA-256 of every index and overlay of a plan, by its role.

    Raises:
        InvalidTable: Naming the file that does not exist.
    """
    roles = {"training": data.training, **data.tests}
    roles |= {f"overlay {i}": path for i, path in enumerate(data.overlays, start=1)}
    missing = [path.name for path in roles.values() if not path.is_file()]
    if missing:
        raise InvalidTable(
            f"The plan names '{missing[0]}', which does not exist. Make it with monai-cxr index.",
            reason="missing_file",
        )
    return {role: file_digest(path) for role, path in roles.items()}


def training_films(
    data: PlanData, findings: Sequence[str], live: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The new films of train and val, with their corrections applied.

    Args:
        data: Of the plan.
        findings: Of the model.
        live: Further films, with labels and a split; those of the index go before them.

    Raises:
        InvalidTable: If there are none, or an overlay is for another index.
    """
    table = normalise_index(read_table(data.training), findings)
    for path in data.overlays:
        table = apply_overlay(table, read_overlay(path), findings).table
    if live is not None and len(live):
        more = normalise_index(live, findings)
        more = more[~more["sop_uid"].isin(set(table["sop_uid"]))]
        table = pd.concat([table, more], ignore_index=True)
    table = table[table["split"].isin(["train", "val"])].reset_index(drop=True)
    if table.empty:
        raise InvalidTable(
            "The plan's training films have no split train or val. Make them: monai-cxr split.",
            reason="no_split",
        )
    return table


def without_test_patients(live: pd.DataFrame, tests: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Films of a ledger but for those of a test's patients, who may come again at any time."""
    held = {str(name) for table in tests.values() for name in table["patient_id"]}
    return live[~live["patient_id"].astype(str).isin(held)].reset_index(drop=True)


def film_digests(table: pd.DataFrame) -> pd.Series:
    """SHA-256 of each film's bytes.

    Raises:
        InvalidTable: If a film does not exist; it is counted, not named.
    """
    paths = [Path(str(path)) for path in table["path"]]
    missing = sum(not path.is_file() for path in paths)
    if missing:
        raise InvalidTable(
            f"{missing} of {len(paths)} films of an index do not exist. Index their folder again.",
            reason="missing_file",
        )
    return pd.Series([file_digest(path) for path in paths], index=table.index, dtype=object)


def digest_of_films(digests: pd.Series) -> str:
    """One SHA-256 for a set of films, whatever their order."""
    return hashlib.sha256("\n".join(sorted(map(str, digests))).encode()).hexdigest()


def refuse_leaks(
    training: pd.DataFrame, tests: Mapping[str, pd.DataFrame], digests: Mapping[str, pd.Series]
) -> None:
    """Refuse new films that share a patient, a study, a film, or a file's bytes with a test.

    Args:
        training: The new films.
        tests: The tests by name.
        digests: :func:`film_digests` of ``"training"`` and of each test.

    Raises:
        InvalidTable: Naming how many, not who.
    """
    for name, table in tests.items():
        for column, what in (
            ("patient_id", "patients"),
            ("study_uid", "studies"),
            ("sop_uid", "films"),
        ):
            shared = (set(training[column].astype(str)) & set(table[column].astype(str))) - {""}
            if shared:
                raise _leak(len(shared), what, name)
        copies = set(digests["training"]) & set(digests[name])
        if copies:
            raise _leak(len(copies), "copies of films", name)


def _leak(n: int, what: str, test: str) -> InvalidTable:
    return InvalidTable(
        f"{n} {what} of the {test} test are among the new films, so its result would mean nothing. "
        "Take them out of the training index.",
        reason="leak",
    )
