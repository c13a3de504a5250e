"""Is the phantom more than a cartoon? A linear model of block means against the network.

Run ``monai-cxr demo --out demo`` first; then ``python benchmarks/phantom_baseline.py demo``. The
baseline sees 16 x 16 block means of the training films; its regularisation is the one that does
best on the test films, which flatters it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_cxr import FINDING_NAMES, read_radiograph
from monai_cxr.preprocessing import prepare
from monai_cxr.tables import label_column, logit_column, read_table


def block_means(index: pd.DataFrame, side: int) -> np.ndarray:
    """Shape (films, side * side)."""
    return np.stack([prepare(read_radiograph(path), side).ravel() for path in index["path"]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="Folder of a finished demo.")
    parser.add_argument("--side", type=int, default=16)
    arguments = parser.parse_args()

    index = read_table(arguments.demo / "index.parquet")
    train, test = (index[index["split"] == name] for name in ("train", "test"))
    scored = read_table(arguments.demo / "predictions_test.parquet")
    scored = scored[scored["reason"] == ""]  # both judge the films that the network read
    test = test[test["sop_uid"].isin(scored["sop_uid"])]
    seen, unseen = block_means(train, arguments.side), block_means(test, arguments.side)
    rows = []
    for finding in FINDING_NAMES:
        baseline = max(
            roc_auc_score(test[finding], model.fit(seen, train[finding]).decision_function(unseen))
            for model in (
                make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=500))
                for c in (1e-4, 1e-3, 1e-2, 1e-1)
            )
        )
        network = roc_auc_score(scored[label_column(finding)], scored[logit_column(finding)])
        rows.append((finding, baseline, network))
    table = pd.DataFrame(rows, columns=["finding", "block means", "network"]).set_index("finding")
    table.loc["macro"] = table.mean()
    print(table.round(3).to_string())
    gap = table.loc["macro", "network"] - table.loc["macro", "block means"]
    print(f"The network is {gap:.3f} above the baseline.")


if __name__ == "__main__":
    main()
