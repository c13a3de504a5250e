"""Labels of reports beside medspaCy's ConText, on the same Open-i reports, taking turns.

    python -m venv beside && beside/bin/pip install medspacy==1.3.1
    python benchmarks/label_peers.py --medspacy beside/bin/python

Findings and impressions of the reports of one half, in blocks; both read a block before either
reads the next, so that a slow moment hits both. Times are of the processor, without start and
loading, after one block that does not count. medspaCy searches a few literal terms for each finding
with its own cues, and its log is off. The terms were not tuned: its F1 is a lower bound.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from statistics import median

from label_reports import openi, scores

from monai_cxr.labels.lexicon import read_lexicon
from monai_cxr.labels.report_text import label_report

TERMS = {
    "Atelectasis": ["atelectasis", "atelectases", "atelectatic", "volume loss"],
    "Cardiomegaly": ["cardiomegaly", "enlarged heart", "heart is enlarged", "cardiac enlargement"],
    "Effusion": ["effusion", "effusions", "pleural fluid", "hydropneumothorax"],
    "Infiltration": ["infiltrate", "infiltrates", "infiltration"],
    "Mass": ["mass", "masses", "tumor", "neoplasm"],
    "Nodule": ["nodule", "nodules", "micronodules", "pulmonary lesion"],
    "Pneumonia": ["pneumonia", "bronchopneumonia", "pneumonitis", "infectious process"],
    "Pneumothorax": ["pneumothorax", "pneumothoraces", "hydropneumothorax"],
    "Consolidation": ["consolidation", "consolidations", "consolidated"],
    "Edema": ["edema", "pulmonary edema", "interstitial edema"],
    "Emphysema": ["emphysema", "emphysematous"],
    "Fibrosis": ["fibrosis", "fibrotic"],
    "Pleural_Thickening": ["pleural thickening", "thickened pleura", "apical thickening"],
    "Hernia": ["hernia", "hiatal hernia", "diaphragmatic hernia"],
}
PEER = """
import json, sys, time
from loguru import logger
logger.remove()
import medspacy
from medspacy.target_matcher import TargetRule
terms = json.loads(sys.stdin.readline())
nlp = medspacy.load()
nlp.get_pipe("medspacy_target_matcher").add(
    [TargetRule(word, name) for name, words in terms.items() for word in words])
for line in sys.stdin:
    begin, rows = time.process_time(), []
    for text in json.loads(line):
        row = {}
        for one in nlp(text).ents:
            state = 0 if one._.is_negated else -1 if one._.is_uncertain else 1
            if not one._.is_historical and row.get(one.label_) != 1:
                row[one.label_] = state
        rows.append(row)
    print(json.dumps([time.process_time() - begin, rows]), flush=True)
"""


def main() -> None:
    """Read the blocks with both and print times, their ratio and agreement with the codes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--medspacy", required=True, help="Python with medspacy installed.")
    parser.add_argument("--half", choices=("even", "odd"), default="even")
    parser.add_argument("--block", type=int, default=150)
    options = parser.parse_args()
    reports = [(_read(text), names) for text, names in openi(("even", "odd").index(options.half))]
    lexicon = read_lexicon("en")
    peer = subprocess.Popen(
        [options.medspacy, "-W", "ignore", "-c", PEER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert peer.stdin is not None
    assert peer.stdout is not None
    print(json.dumps(TERMS), file=peer.stdin, flush=True)
    times: list[tuple[float, float]] = []
    ours: list[dict[str, int]] = []
    theirs: list[dict[str, int]] = []
    for start in (0, *range(0, len(reports), options.block)):
        texts = [text for text, _ in reports[start : start + options.block]]
        begin = time.process_time()
        own = [dict(label_report(text, lexicon).states) for text in texts]
        seconds = time.process_time() - begin
        print(json.dumps(texts), file=peer.stdin, flush=True)
        peer_seconds, rows = json.loads(peer.stdout.readline())
        times.append((seconds, peer_seconds))
        ours, theirs = (ours + own, theirs + rows) if len(times) > 1 else (ours, theirs)
    peer.stdin.close()
    peer.wait()
    counted = times[1:]
    ratios = sorted(peer_seconds / seconds for seconds, peer_seconds in counted)
    print(
        f"{len(reports)} reports, CPU seconds: {sum(a for a, _ in counted):.2f} here, "
        f"{sum(b for _, b in counted):.2f} medspaCy; ratio by block: median {median(ratios):.1f}, "
        f"{ratios[0]:.1f} to {ratios[-1]:.1f}"
    )
    for name, states in (("here", ours), ("medspaCy", theirs)):
        made = scores([names for _, names in reports], states, lexicon.findings)
        absent = made["uncertain_as_absent"]
        print(f"{name}: macro F1 {absent['macro']:.3f}, micro {absent['micro']:.3f}")


def _read(text: str) -> str:
    """The sections that say something of the film: medspaCy is not asked to read the others."""
    kept = [line for line in text.split("\n") if line.startswith(("FINDINGS:", "IMPRESSION:"))]
    return "\n".join(kept)


if __name__ == "__main__":
    main()
