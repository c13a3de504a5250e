"""Does an audit find flipped labels, and does correcting them help? Phantoms with known truth.

    python benchmarks/label_audit_phantoms.py --out work

A tenth of the labels of the training patients are flipped at random; films of other patients keep
theirs. Every step is the command that a user types: `labels audit` trains the folds and ranks the
labels, a reader who is right answers for the first tenth of the queue, `labels corrections` and
`labels apply` correct, and two networks are trained, with and without the corrections.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from monai_cxr.evaluation.statistics.logistic import fit_logistic
from monai_cxr.evaluation.statistics.logits import sigmoid, to_logits
from monai_cxr.labels.audit import with_probabilities
from monai_cxr.tables import read_table, write_table

FINDINGS = ("Cardiomegaly", "Effusion", "Pneumothorax", "Consolidation")
FLIPPED, LOOKED_AT = 0.1, 0.1


def verb(*words: object) -> None:
    """Run monai-cxr as the command line does."""
    command = "import sys; from monai_cxr.cli import main; sys.argv[0] = 'monai-cxr'; main()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", command, *map(str, words)], check=True)


def films(out: Path, patients: int, size: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The index with true labels, and the same with a tenth of the training labels flipped."""
    archive = out / "films"
    verb("phantom", "--layout", "nih", "--patients", patients, "--size", size, "--seed", seed,
         "--out", archive)  # fmt: skip
    table = out / "index.parquet"
    entries = archive / "Data_Entry_2017_v2020.csv"
    verb("index", "nih", archive, "--metadata", entries, "--out", table)
    verb("split", table, "--fractions", "0.6,0.05,0.35", "--out", table)
    true = read_table(table)
    others = [name for name in true.columns if name[0].isupper() and name not in FINDINGS]
    true = true.drop(columns=others)
    given = true.copy()
    rng = np.random.default_rng(seed)
    in_training = (given["split"] != "test").to_numpy()
    for finding in FINDINGS:
        flips = in_training & (rng.random(len(given)) < FLIPPED)
        given[finding] = np.where(flips, 1.0 - given[finding], given[finding])
    return true, given


def found_in_queue(true: pd.DataFrame, given: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Every label of the audit, the most suspicious first, and whether it is wrong.

    Scores are calibrated on the given labels, wrong ones included, as a site could do it.
    """
    scores = with_probabilities(scores, FINDINGS)
    joined = scores.merge(given, on="sop_uid", suffixes=("", "_given"))
    joined = joined.dropna(subset=[f"probability_{FINDINGS[0]}"])  # films out of scope
    truth = true.set_index("sop_uid")
    parts = []
    for finding in FINDINGS:
        label = joined[finding].to_numpy()
        logit = to_logits(joined[f"probability_{finding}"].to_numpy(dtype=np.float64))
        intercept, slope = fit_logistic(logit[:, None], label.astype(np.float64))
        p = sigmoid(intercept + slope * logit)  # weighted losses overstate a rare finding
        parts.append(
            pd.DataFrame(
                {
                    "sop_uid": joined["sop_uid"],
                    "finding": finding,
                    "given": label,
                    "suspicion": np.where(label == 1.0, 1.0 - p, p),
                    "wrong": truth.loc[joined["sop_uid"], finding].to_numpy() != label,
                }
            )
        )
    return pd.concat(parts).sort_values("suspicion", ascending=False, kind="stable")


def say_what_was_found(rows: pd.DataFrame, patients: pd.Series) -> None:
    """Share of the wrong labels in the first tenth, with a 95 % interval over patients."""
    print("| finding | labels | wrong | found in the first tenth | times chance |")
    print("|---|--:|--:|--:|--:|")
    for name, part in [("all together", rows), *rows.groupby("finding", sort=False)]:
        first = np.arange(len(part)) < LOOKED_AT * len(part)
        wrong = part["wrong"].to_numpy()
        codes = np.unique(patients.loc[part["sop_uid"]].to_numpy(), return_inverse=True)[1]
        rng, shares = np.random.default_rng(0), []
        for _ in range(1000):
            weights = np.bincount(rng.integers(0, codes.max() + 1, codes.max() + 1),
                                  minlength=codes.max() + 1)[codes]  # fmt: skip
            shares.append((weights * (first & wrong)).sum() / (weights * wrong).sum())
        low, high = np.quantile(shares, [0.025, 0.975])
        share = (first & wrong).sum() / wrong.sum()
        print(
            f"| {name} | {len(part)} | {wrong.sum()} | {share:.2f} ({low:.2f}-{high:.2f}) | "
            f"{share / LOOKED_AT:.1f} |",
            flush=True,
        )


def corrected(out: Path, table: Path, rows: pd.DataFrame) -> Path:
    """The index after a reader who is right has looked at the first tenth."""
    looked = rows.head(round(LOOKED_AT * len(rows)))
    is_present = (looked["given"] == 1.0) != looked["wrong"]
    answers = looked[["sop_uid", "finding"]].assign(
        reader="A", answer=np.where(is_present, "present", "absent")
    )
    answers.to_csv(out / "answers.csv", index=False)
    overlay, made = out / "overlay.csv", out / "corrected.parquet"
    verb("labels", "corrections", table, "--answers", out / "answers.csv", "--out", overlay)
    verb("labels", "apply", table, "--overlay", overlay, "--out", made)
    return made


def scored_by_baseline(table: Path, out: Path, folds: int) -> Path:
    """Out-of-fold scores of the classical baseline, by the verb that fits it."""
    given = read_table(table)
    given = given[given["split"] != "test"].reset_index(drop=True)
    patients = np.unique(given["patient_id"].astype(str))
    dealt = dict(zip(patients, np.random.default_rng(0).permutation(len(patients)), strict=True))
    fold_of = given["patient_id"].astype(str).map(dealt) % folds
    parts = []
    for fold in range(folds):
        one = given.assign(split=np.where(fold_of == fold, "test", "train"))
        write_table(one, out / f"fold_{fold}.parquet")
        verb("baseline", out / f"fold_{fold}.parquet", "--split", "test", "--out",
             out / f"fold_{fold}")  # fmt: skip
        parts.append(read_table(out / f"fold_{fold}" / "predictions.parquet"))
    scores = out / "out_of_fold.parquet"
    write_table(pd.concat(parts, ignore_index=True), scores)
    return scores


def retrained(table: Path, out: Path, settings: list[str]) -> Path:
    """Scores of the clean test patients by what is trained on a table."""
    if not settings:
        verb("baseline", table, "--split", "test", "--out", out)
        return out / "predictions.parquet"
    scores = out.with_suffix(".parquet")
    verb("train", "chest_xray_classification", "--index", table, "--out", out, *settings)
    verb("predict", out, table, "--split", "test", "--out", scores)
    return scores


def main() -> None:
    """Print what the audit finds, and what its corrections buy."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--by", choices=("network", "baseline"), default="network")
    parser.add_argument("--patients", type=int, default=700)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0, help="Of the phantoms and the flips.")
    arguments = parser.parse_args()
    out, settings = arguments.out, []
    out.mkdir(parents=True, exist_ok=True)
    true, given = films(out, arguments.patients, arguments.size, arguments.seed)
    table, audit = out / "given.parquet", out / "audit"
    write_table(given, table)
    if arguments.by == "network":
        chosen = {
            "architecture": "small_resnet", "image_size": 64, "max_epochs": arguments.epochs,
            "batch_size": 16, "learning_rate": 0.002, "num_workers": 0,
            "findings": ",".join(FINDINGS),
        }  # fmt: skip
        settings = [word for k, v in chosen.items() for word in ("--set", f"{k}={v}")]
        verb("labels", "audit", table, "--out", audit, "--folds", arguments.folds, *settings)
        scores = audit / "out_of_fold.parquet"
    else:
        scores = scored_by_baseline(table, out, arguments.folds)
        verb("labels", "audit", table, "--predictions", scores, "--out", audit)
    rows = found_in_queue(true, given, read_table(scores))
    say_what_was_found(rows, given.set_index("sop_uid")["patient_id"])
    truth = true.set_index("sop_uid")
    made = {}
    for name, source in (("without", table), ("with", corrected(out, table, rows))):
        predicted = read_table(retrained(source, out / name, settings))
        for finding in FINDINGS:
            predicted[f"label_{finding}"] = truth.loc[predicted["sop_uid"], finding].to_numpy()
        made[name] = out / f"{name}_clean.parquet"
        write_table(predicted, made[name])
    verb("compare", made["with"], made["without"], "--out", out / "comparison")


if __name__ == "__main__":
    main()
