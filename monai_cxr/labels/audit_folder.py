"""Audit folder: what ``labels audit`` leaves for readers, and what of it they may see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from monai_cxr.atomic import write_json
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import title_of
from monai_cxr.labels.overlay import index_digest
from monai_cxr.tables import read_table, require_columns

QUEUE, RECORD = "queue.csv", "audit.json"
"""Files of an audit: the films to look at, and which index they are of."""

_NO_ARTICLE = (
    *("pneumonia", "edema", "emphysema", "fibrosis", "pleural thickening"),
    *("atelectasis", "cardiomegaly", "consolidation", "infiltration"),
)


@dataclass(frozen=True, slots=True)
class AuditFolder:
    """An audit on disk.

    Attributes:
        path: Its folder.
        queue: ``queue.csv``: see :class:`monai_cxr.labels.audit.LabelAudit`.
        name: Sixteen digits that name its films and findings, and nothing of labels or scores.
        index_digest: Of the index that was audited; ``""`` where the audit is of a version that
            did not record it, so that no overlay can be made here.
    """

    path: Path
    queue: pd.DataFrame = field(repr=False)
    name: str
    index_digest: str = ""


def read_audit(path: Path) -> AuditFolder:
    """Read the folder of an audit.

    Raises:
        SettingsError: If it is no such folder.
        InvalidTable: If its queue lacks a column.
    """
    if not (path / QUEUE).is_file():
        raise SettingsError(
            f"Expected the folder that 'labels audit --out' wrote, but '{path.name}' holds no "
            f"{QUEUE}."
        )
    queue = read_table(path / QUEUE)
    require_columns(queue, ("finding", "sop_uid", "path", "given"), what=QUEUE)
    queue = queue.assign(sop_uid=queue["sop_uid"].astype(str), path=queue["path"].fillna(""))
    if queue.empty:
        raise InvalidTable(f"{QUEUE} names no film.", reason="no_images")
    return AuditFolder(path, queue, audit_name(queue), _recorded_digest(path / RECORD))


def _recorded_digest(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["index_digest"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidTable(
            f"'{path.name}' of the audit cannot be read ({type(error).__name__}). Run 'labels "
            "audit' again.",
            reason="damaged",
        ) from error


def audit_name(queue: pd.DataFrame) -> str:
    """Name the films and findings of a queue, whatever their order, labels and scores."""
    pairs = sorted(set(zip(queue["sop_uid"].astype(str), queue["finding"], strict=True)))
    text = "\n".join(f"{uid}\t{finding}" for uid, finding in pairs)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_record(path: Path, index: pd.DataFrame, findings: Sequence[str]) -> None:
    """Record beside a queue to which index it belongs."""
    write_json(path / RECORD, {"index_digest": index_digest(index, findings)})


def with_digests(queue: pd.DataFrame) -> pd.DataFrame:
    """The queue with ``sha256`` of each file, so that readers are shown the film that was audited.

    A file that cannot be read has an empty digest, and is shown to nobody who asks for it.
    """
    digests = {path: _digest(Path(path)) for path in dict.fromkeys(queue["path"].astype(str))}
    return queue.assign(sha256=[digests[path] for path in queue["path"].astype(str)])


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return ""


def question_of(finding: str) -> str:
    """The question about a film, for example "Is there a pneumothorax?"."""
    words = title_of(finding).lower()
    article = "" if words in _NO_ARTICLE else "an " if words[0] in "aeiou" else "a "
    return f"Is there {article}{words}?"
