"""Column names: which column of anybody's table holds images, patients, scores, labels or facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from monai_cxr.errors import InvalidTable
from monai_cxr.findings import FINDINGS

if TYPE_CHECKING:
    import pandas as pd

IMAGE_COLUMNS = (
    *("sop_uid", "SOPInstanceUID", "Image Index", "image_id", "image", "image_name", "image_file"),
    *("filename", "file_name", "file", "dicom_id", "image_path", "image_file_path", "file_path"),
    *("path", "img", "images", "fname", "uid", "id"),
)
"""Spellings of the image column, in the order in which they are tried; case, spaces and
underscores make no difference."""

PATIENT_COLUMNS = ("patient_id", "patient", "subject_id", "subject", "patient_name_hash", "pid")
"""Spellings of the patient column, likewise."""

FACT_ALIASES: Mapping[str, tuple[str, ...]] = {
    "view": ("view", "view_position", "AP/PA", "projection"),
    "age": ("age", "patient_age"),
    "sex": ("sex", "patient_sex", "gender", "patient_gender"),
    "follow_up": ("follow_up", "Follow-up #"),
    "manufacturer": ("manufacturer", "maker", "site", "hospital"),
}
"""Spellings of the facts that subgroups are made of, likewise."""

_WHOLE_FILM = ("nofinding", "nofindings", "normal", "abnormal", "anyfinding")

_PROBABILITY = ("probability", "probabilities", "prob", "probs", "p")
_SCORE = (
    *("pred", "preds", "prediction", "predictions", "score", "scores", "output", "outputs"),
    *("confidence", "sigmoid", "y[ _](?:pred|prob|score)"),
)
"""Taken where nothing is called a probability."""

_LOGIT = ("logit", "logits")
_LABEL = (
    *("label", "labels", "target", "truth", "true", "gt", "y[ _]true"),
    "y(?![ _.:-](?:true|pred|prob|score))",
)


def folded(name: object) -> str:
    """A name without case, spaces and punctuation."""
    return "".join(character for character in str(name).casefold() if character.isalnum())


def columns_named(table: pd.DataFrame, spellings: Sequence[str]) -> list[str]:
    """The table's columns that have one of these names, in the order of the names."""
    by_name: dict[str, str] = {}
    for column in table.columns:
        by_name.setdefault(folded(column), column)
    wanted = dict.fromkeys(map(folded, spellings))
    return [by_name[name] for name in wanted if name in by_name]


def canonical_finding(name: str) -> str:
    """NIH's spelling of a known finding; other names stay as they are."""
    return FINDINGS[name].name if name in FINDINGS else name


def sums_up(name: str) -> bool:
    """Whether a column says something of the whole film, as "No Finding", not of one finding."""
    return folded(name) in _WHOLE_FILM


def probability_columns(table: pd.DataFrame, *, bare: bool = False) -> dict[str, str]:
    """Finding to its column: ``probability_``, ``prob_`` or ``p_<finding>``; else ``pred_`` ...

    Where nothing is called a probability, ``pred_<finding>`` and ``score_<finding>`` are taken.

    Args:
        table: The predictions.
        bare: Where no column has such a name, take the columns that are named as a known finding;
            right only where the labels come from another table.

    Raises:
        InvalidTable: If two columns are of one finding.
    """
    found = _marked(table, _PROBABILITY, "probabilities")
    found = found or _marked(table, _SCORE, "probabilities")
    if found or not bare or logit_columns(table):
        return found
    return _by_finding(((c, str(c)) for c in table.columns if str(c) in FINDINGS), "probabilities")


def logit_columns(table: pd.DataFrame) -> dict[str, str]:
    """Finding to logit column: ``logit_<finding>`` or ``logits_<finding>``."""
    return _marked(table, _LOGIT, "logits")


def label_columns(table: pd.DataFrame) -> dict[str, str]:
    """Finding to label column: ``label_<finding>`` if there are any, else the finding's name."""
    found = _marked(table, _LABEL, "labels")
    if found:
        return found
    known = _by_finding(((c, str(c)) for c in table.columns if str(c) in FINDINGS), "labels")
    others = {str(c): str(c) for c in table.columns if str(c) not in FINDINGS}
    return {**known, **others}


def _marked(table: pd.DataFrame, words: Sequence[str], what: str) -> dict[str, str]:
    """Columns of ``<word>_<finding>``, or ``<finding>_<word>`` where the finding is known."""
    before = re.compile(rf"(?:{'|'.join(words)})[ _.:-](?P<finding>.+)", re.IGNORECASE)
    after = re.compile(rf"(?P<finding>.+)[ _.:-](?:{'|'.join(words)})", re.IGNORECASE)
    pairs = []
    for column in map(str, table.columns):
        first, last = before.fullmatch(column), after.fullmatch(column)
        if first is not None:
            pairs.append((column, first["finding"]))
        elif last is not None and last["finding"] in FINDINGS:
            pairs.append((column, last["finding"]))
    return _by_finding(pairs, what)


def _by_finding(pairs: Iterable[tuple[str, str]], what: str) -> dict[str, str]:
    columns: dict[str, str] = {}
    for column, name in pairs:
        finding = canonical_finding(name)
        if finding in columns:
            raise InvalidTable(
                f"Columns '{columns[finding]}' and '{column}' both hold {what} of {finding}. "
                "Expected one: drop the other.",
                reason="repeated_columns",
            )
        columns[finding] = column
    return columns
