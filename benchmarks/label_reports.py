"""How right report labels are: Open-i's codes (English) and PadChest's physicians (Spanish).

    python benchmarks/label_reports.py --half even    # what the lexicons were tuned on
    python benchmarks/label_reports.py --half odd     # what nobody looked at while they were

Both sets come with torchxrayvision's wheel; nothing of them is part of this project. Open-i's codes
are an index of each report (MeSH), not labels by a reader: a floor. Uncertain is counted both ways.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import re
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from monai_cxr.labels.lexicon import Lexicon, read_lexicon
from monai_cxr.labels.report_text import PRESENT, UNCERTAIN, label_report

MESH = {
    **{"Pulmonary Atelectasis": "Atelectasis", "Cardiomegaly": "Cardiomegaly"},
    **{"Pleural Effusion": "Effusion", "Infiltrate": "Infiltration", "Mass": "Mass"},
    **{"Nodule": "Nodule", "Pneumonia": "Pneumonia", "Pneumothorax": "Pneumothorax"},
    **{"Hydropneumothorax": "Pneumothorax", "Consolidation": "Consolidation"},
    **{"Pulmonary Edema": "Edema", "Emphysema": "Emphysema", "Pulmonary Emphysema": "Emphysema"},
    **{"Bullous Emphysema": "Emphysema", "Pulmonary Fibrosis": "Fibrosis", "Fibrosis": "Fibrosis"},
    **{"Hernia, Hiatal": "Hernia", "Hernia, Diaphragmatic": "Hernia"},
}
PADCHEST = {
    "Atelectasis": "atelectasis|laminar atelectasis|lobar atelectasis|total atelectasis|round "
    "atelectasis|segmental atelectasis|volume loss",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion|loculated pleural effusion|loculated fissural effusion|"
    "hydropneumothorax|empyema|hemothorax",
    "Infiltration": "infiltrates",
    "Mass": "mass|pulmonary mass",
    "Nodule": "nodule|multiple nodules",
    "Pneumonia": "pneumonia|atypical pneumonia",
    "Pneumothorax": "pneumothorax|hydropneumothorax",
    "Consolidation": "consolidation",
    "Edema": "pulmonary edema",
    "Emphysema": "emphysema",
    "Fibrosis": "pulmonary fibrosis",
    "Pleural_Thickening": "pleural thickening|apical pleural thickening|calcified pleural "
    "thickening|pleural plaques|calcified pleural plaques|minor fissure thickening|major fissure "
    "thickening|fissure thickening",
    "Hernia": "hiatal hernia",
}
Report = tuple[str, set[str]]


def wheel() -> Path:
    """Folder of the tables in torchxrayvision's wheel."""
    found = importlib.util.find_spec("torchxrayvision")
    if found is None or found.origin is None:
        raise SystemExit("torchxrayvision is not installed.")
    return Path(found.origin).parent / "data"


def openi(half: int) -> list[Report]:
    """English reports with the findings of their codes."""
    reports = []
    with tarfile.open(wheel() / "NLMCXR_reports.tgz") as archive:
        for member in archive:
            number = re.search(r"(\d+)\.xml$", member.name)
            if number is None or int(number[1]) % 2 != half:
                continue
            root = ElementTree.parse(archive.extractfile(member)).getroot()
            codes = [node.text for node in root.iter("major") if node.text]
            if "No Indexing" in codes:
                continue
            parts = root.iter("AbstractText")
            text = "\n".join(f"{part.get('Label')}: {part.text or ''}" for part in parts)
            names = {MESH[code.split("/")[0]] for code in codes if code.split("/")[0] in MESH}
            if any(c.startswith("Thickening") and "pleura" in c for c in codes):
                names.add("Pleural_Thickening")
            reports.append((text, names))
    return reports


def padchest(half: int) -> list[Report]:
    """Spanish reports (stemmed, as published) with what physicians labelled."""
    table = pd.read_csv(
        next(wheel().glob("PADCHEST*.csv.gz")),
        usecols=["ReportID", "Report", "MethodLabel", "Labels"],
        low_memory=False,
    )
    table = table[table["MethodLabel"] == "Physician"].dropna().drop_duplicates("ReportID")
    table = table[table["ReportID"] % 2 == half]
    wanted = {name: set(words.split("|")) for name, words in PADCHEST.items()}
    reports = []
    for text, labels in zip(table["Report"], table["Labels"], strict=True):
        said = {word.strip() for word in ast.literal_eval(labels)}
        reports.append((text, {name for name, words in wanted.items() if words & said}))
    return reports


def measure(reports: Iterable[Report], lexicon: Lexicon) -> dict[str, object]:
    """F1 by finding, uncertain counted as absent and as present, and the time it took."""
    reports = list(reports)
    begin = time.process_time()
    states = [label_report(text, lexicon).states for text, _ in reports]
    seconds = time.process_time() - begin
    made = scores([names for _, names in reports], states, lexicon.findings)
    return {"reports": len(reports), "cpu_seconds": round(seconds, 2), **made}


def scores(
    true: Sequence[set[str]], states: Sequence[Mapping[str, int]], findings: Sequence[str]
) -> dict[str, Any]:
    """F1 by finding, macro and micro, uncertain counted as absent and as present."""
    result: dict[str, Any] = {}
    for name, positive in (("absent", {PRESENT}), ("present", {PRESENT, UNCERTAIN})):
        rows, total = {}, [0, 0, 0]
        for finding in findings:
            said = [state.get(finding) in positive for state in states]
            known = [finding in names for names in true]
            hits = sum(a and b for a, b in zip(said, known, strict=True))
            rows[finding] = (sum(known), _f1(hits, sum(said), sum(known)))
            total = [a + b for a, b in zip(total, (hits, sum(said), sum(known)), strict=True)]
        macro = sum(f1 for _, f1 in rows.values()) / len(rows)
        result[f"uncertain_as_{name}"] = {
            **{"macro": round(macro, 3), "micro": round(_f1(*total), 3)},
            "findings": {key: [n, round(f1, 3)] for key, (n, f1) in rows.items()},
        }
    return result


def _f1(hits: int, said: int, true: int) -> float:
    return 2 * hits / (said + true) if said + true else float("nan")


def main() -> None:
    """Measure one half of both sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("even", "odd"), default="even")
    half = 0 if parser.parse_args().half == "even" else 1
    for name, reports, language in (("Open-i", openi, "en"), ("PadChest", padchest, "es")):
        result = measure(reports(half), read_lexicon(language))
        print(name, json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
