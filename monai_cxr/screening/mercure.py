"""mercure: one task by mercure's contract: a folder of films in, results out, then done.

mercure starts a module with ``MERCURE_IN_DIR`` (one series or study as ``<series UID>#<SOP Instance
UID>.dcm`` and ``task.json``) and ``MERCURE_OUT_DIR``; what lies there afterwards is dispatched.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_cxr.atomic import write_atomically
from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.header.scope import for_presentation
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import InputError, SettingsError
from monai_cxr.findings import FINDINGS
from monai_cxr.prediction import Prediction
from monai_cxr.reading.files import read_bytes
from monai_cxr.reading.film_readers import read_apart
from monai_cxr.reading.readings import NetworkInputs
from monai_cxr.screening.ledger.presentation import RAW_FLAG

IN_VARIABLE, OUT_VARIABLE = "MERCURE_IN_DIR", "MERCURE_OUT_DIR"
_URGENT = 1


def task_folders(environment: Mapping[str, str]) -> tuple[Path, Path]:
    """The folders that mercure names.

    Raises:
        SettingsError: If a variable is absent or no folder.
    """
    folders = []
    for name in (IN_VARIABLE, OUT_VARIABLE):
        folder = Path(environment.get(name, ""))
        if not environment.get(name) or not folder.is_dir():
            raise SettingsError(f"Expected {name} to name a folder, as mercure does.")
        folders.append(folder)
    return folders[0], folders[1]


def task_settings(folder: Path) -> Mapping[str, Any]:
    """The module's settings of ``task.json``; empty without them.

    Raises:
        SettingsError: If the file is damaged.
    """
    path = folder / "task.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SettingsError("mercure's task.json cannot be read as JSON.") from None
    process = content.get("process") if isinstance(content, dict) else None
    if isinstance(process, list):  # newer versions run several modules in a row
        process = process[0] if process else None
    settings = process.get("settings") if isinstance(process, dict) else None
    return settings if isinstance(settings, dict) else {}


def run_task(model: BundleModel, incoming: Path, outgoing: Path) -> Mapping[str, Any]:
    """Screen the films of one task.

    Args:
        model: The model.
        incoming: mercure's in folder.
        outgoing: mercure's out folder: a structured report per film and ``result.json``.

    Returns:
        What ``result.json`` holds.
    """
    films: list[dict[str, Any]] = []
    urgent: set[str] = set()
    paths = sorted(incoming.glob("*.dcm"))
    needless = _needless(paths)
    for path in paths:
        if path in needless:
            films.append({"sop_uid": path.stem.rpartition("#")[2], "reason": RAW_FLAG})
            continue
        try:
            film = read_apart(NetworkInputs(model.specs), path)
            (prediction,) = model.predict_prepared(
                [(film.facts.key, film.facts.flags)],
                np.stack(film.inputs),
                [film.facts.patient_age_years],
            )
            data, _ = read_bytes(path)
            report = structured_report(ReportedFilm(data, prediction), **model.stated)
        except InputError as error:
            films.append({"sop_uid": path.stem.rpartition("#")[2], "reason": error.reason})
            continue
        write_atomically(
            outgoing / f"{report.series_uid}#{report.sop_uid}.dcm",
            lambda part, report=report: part.write_bytes(report.data),  # type: ignore[misc]
            private=True,
        )
        films.append(_film(prediction))
        urgent |= {s.finding for s in prediction.scores if s.positive and _is_urgent(s.finding)}
    result: dict[str, Any] = {"model": model.identity.name, "films": films}
    result["model_digest"] = model.identity.digest
    if urgent:
        text = f"Suspected: {', '.join(sorted(urgent))}. Research use only."
        result["__mercure_notification"] = {"text": text, "requested": True}
    write_atomically(
        outgoing / "result.json",
        lambda part: part.write_text(json.dumps(result, indent=2), encoding="utf-8"),
        private=True,
    )
    return result


def _needless(paths: Sequence[Path]) -> set[Path]:
    """Raw images of a task that also has them for presentation."""
    facts = {}
    for path in paths:
        with contextlib.suppress(InputError):
            facts[path] = open_dicom(read_bytes(path)[0]).facts
    shown = {id(one) for one in for_presentation(list(facts.values()))}
    return {path for path, one in facts.items() if id(one) not in shown}


def _film(prediction: Prediction) -> dict[str, Any]:
    return {
        "sop_uid": prediction.key.sop_uid,
        "reason": "",
        "flags": list(prediction.flags),
        "findings": {
            score.finding: {"probability": score.probability, "positive": score.positive}
            for score in prediction.scores
        },
    }


def _is_urgent(finding: str) -> bool:
    return finding in FINDINGS and FINDINGS[finding].urgency <= _URGENT
