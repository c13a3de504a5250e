"""Does an audit find wrong labels? NIH's labels against adjudicated ones, by published predictions.

    python benchmarks/label_audit.py [--data shared/data]

The predictions (10,012 films of reproduce-chexnet, out of sample) meet Google's adjudicated labels
of 2019 on a few hundred films. For each finding: AUROC of telling a wrong label from a right one,
and precision among the first 20 and 50, by queue, beside plain disagreement |label - probability|
over both labels and chance.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

GROUPS = {
    "Pneumothorax": ("Pneumothorax",),
    "Nodule or mass": ("Nodule", "Mass"),
    "Airspace opacity": ("Infiltration", "Consolidation", "Pneumonia", "Edema"),
}
REPLICATES = 1000


def films(data: Path) -> pd.DataFrame:
    """Predictions, NIH's labels and the adjudicated ones of the same films."""
    found = importlib.util.find_spec("torchxrayvision")
    folder = Path(found.origin).parent / "data"
    scores = pd.read_csv(data / "predictions" / "densenet121_published.csv")
    nih = pd.read_csv(folder / "Data_Entry_2017_v2020.csv.gz")[
        ["Image Index", "Finding Labels", "Patient ID"]
    ]
    google = pd.read_csv(folder / "google2019_nih-chest-xray-labels.csv.gz")
    google = google[["Image Index", *GROUPS]]
    return scores.merge(nih, on="Image Index").merge(google, on="Image Index")


def interval(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> str:
    """AUROC with a 95 % interval over patients."""
    if len(set(labels)) < 2:
        return "-"
    codes = np.unique(patients, return_inverse=True)[1]
    members = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    generator = np.random.default_rng(0)
    values = []
    for _ in range(REPLICATES):
        drawn = generator.integers(0, len(members), len(members))
        rows = np.concatenate([members[one] for one in drawn])
        if len(set(labels[rows])) == 2:
            values.append(roc_auc_score(labels[rows], scores[rows]))
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{roc_auc_score(labels, scores):.3f} ({low:.3f}-{high:.3f})"


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = os.environ.get("MONAI_CXR_DATA", Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default))
    table = films(parser.parse_args().data)
    n_patients = table["Patient ID"].nunique()
    print(f"{len(table)} films of {n_patients} patients")
    print("| finding | ranking | films | wrong | AUROC of finding them | of the first 20, 50 |")
    print("|---|---|--:|--:|--:|--:|")
    for name, findings in GROUPS.items():
        named = table["Finding Labels"].str.split("|")
        given = np.array([any(f in one for f in findings) for one in named])
        truth = (table[name] == "YES").to_numpy()
        wrong = given != truth
        score = table[[f"prob_{f}" for f in findings]].max(axis=1).to_numpy()
        order = pd.Series(score).rank(pct=True).to_numpy()
        patients = table["Patient ID"].to_numpy()
        rankings = {
            "queue: labelled present": (given, -score),
            "queue: labelled absent": (~given, score),
            "|label - probability|": (np.ones(len(table), bool), np.abs(given - score)),
            "|label - rank of probability|": (np.ones(len(table), bool), np.abs(given - order)),
            "by chance": (np.ones(len(table), bool), None),
        }
        for ranking, (part, by) in rankings.items():
            n, n_wrong = int(part.sum()), int(wrong[part].sum())
            if by is None:
                share = f"{wrong.mean():.2f}"
                print(f"| {name} | {ranking} | {n} | {n_wrong} | 0.500 | {share}, {share} |")
                continue
            first = np.argsort(-by[part], kind="stable")
            precisions = ", ".join(f"{wrong[part][first[:k]].mean():.2f}" for k in (20, 50))
            shown = interval(wrong[part], by[part], patients[part])
            print(f"| {name} | {ranking} | {n} | {n_wrong} | {shown} | {precisions} |")


if __name__ == "__main__":
    main()
