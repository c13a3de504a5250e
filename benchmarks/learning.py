"""Learning from little, measured: probes of features by their origin, and few-shot episodes.

Usage:
    python benchmarks/learning.py probe INDEX --out DIR NAME=RUN...
    python benchmarks/learning.py scratch RUN_LIKE --out RUN
    python benchmarks/learning.py few-shot RUN INDEX --finding NAME --out DIR [--episodes 20]

``probe`` is ``monai-cxr probe`` for several runs or bundles on the same draws of patients; printed
are the mean over findings of each and its difference to the first, paired by draw (where all
patients train, a draw is a bootstrap sample of the patients judged). ``scratch`` writes the
untrained network of a run, as a run. ``few-shot`` adds a finding that RUN was not trained on, from
k positive and k negative patients of split train, whose negatives hold the other findings. Each
episode is judged on all patients of val and test; beside it stands the best of the run's own
outputs, chosen on train.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.digests import WEIGHTS_NAME
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.few_shot import few_shots
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.linear_head import features_of, fit_head
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.probe import probe
from monai_cxr.evaluation.statistics.delong import delong
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.tables import (
    EMBEDDING_COLUMN,
    logit_column,
    normalise_index,
    read_table,
    write_table,
)

SHARES = (0.05, 0.2, 1.0)
SHOTS = (4, 16, 64)


def probes(index: Path, out: Path, runs: dict[str, Path], draws: int) -> None:
    curves = {}
    for name, run in runs.items():
        curve, _ = probe(run, index, shares=SHARES, draws=draws)
        write_table(curve, out / f"curve_{name}.csv")
        curves[name] = curve
    first = next(iter(curves))
    for target in ("findings", "view"):
        for name, curve in curves.items():
            here, there = (_macro(one, target) for one in (curve, curves[first]))
            for n in here.columns:
                both = pd.concat([here[n], there[n]], axis=1).dropna()
                gain = both.iloc[:, 0] - both.iloc[:, 1]
                print(
                    f"{target:9} {name:24} {n:5} patients  {here[n].mean():.3f} "
                    f"(draws {here[n].min():.3f}-{here[n].max():.3f})  "
                    f"to {first} {gain.mean():+.3f} ({gain.min():+.3f} to {gain.max():+.3f})"
                )


def _macro(curve: pd.DataFrame, target: str) -> pd.DataFrame:
    """Mean AUROC of the findings that every draw could judge: a row a draw, a column a size."""
    is_fact = curve["finding"].str.contains("=")
    part = curve[is_fact if target == "view" else ~is_fact]
    wide = part.pivot_table(index=["n", "draw"], columns="finding", values="auroc")
    return wide.dropna(axis=1).mean(axis=1).unstack("n")


def scratch(like: Path, out: Path, seed: int) -> None:
    shutil.copytree(like / "configs", out / "configs", dirs_exist_ok=True)
    shutil.copy2(like / "run.json", out / "run.json")
    (out / "models").mkdir(exist_ok=True)
    torch.manual_seed(seed)
    torch.save(build_network(read_config(out, "inference")).state_dict(), out / WEIGHTS_NAME)


def few_shot(run: Path, index: Path, finding: str, out: Path, episodes: int) -> None:
    model = BundleModel.load(run, runtime="torch")
    table = normalise_index(read_table(index), [*model.findings, finding])
    rows = table[table[finding].isin([0, 1])].reset_index(drop=True)
    seen = predict_table(model, rows, embeddings=True)
    outputs = [logit_column(name) for name in model.findings]
    rows = rows.assign(**{name: seen[name] for name in [*outputs, EMBEDDING_COLUMN]})
    rows = rows[seen["reason"] == ""].reset_index(drop=True)
    train = rows[rows["split"] == "train"].reset_index(drop=True)
    judged = rows[rows["split"] != "train"].drop_duplicates("patient_id").reset_index(drop=True)
    labels, features = judged[finding].to_numpy(float), features_of(judged)
    made = []
    for k in SHOTS:
        for episode in range(episodes):
            chosen = few_shots(train, finding, k, episode)
            head = fit_head(
                features_of(chosen), chosen[finding].to_numpy(float), chosen["patient_id"]
            )
            made.append((finding, k, episode, auroc(head.logits(features), labels)))
    everything = fit_head(features_of(train), train[finding].to_numpy(float), train["patient_id"])
    curve = pd.DataFrame(made, columns=["finding", "n", "draw", "auroc"])
    write_table(curve.assign(n=2 * curve["n"]), out / f"curve_{finding}.csv")
    for k, part in curve.groupby("n")["auroc"]:
        low, high = np.quantile(part, [0.025, 0.975])
        print(f"{finding} {k:4} films  {part.mean():.3f} (episodes {low:.3f}-{high:.3f})")
    print(f"{finding} all {everything.n_positive} positive films  "
          f"{delong(everything.logits(features), labels)} (patients)")  # fmt: skip
    values = {
        name: auroc(train[logit_column(name)].to_numpy(), train[finding].to_numpy(float))
        for name in model.findings
    }
    best = max(values, key=lambda name: values[name])
    known = delong(judged[logit_column(best)].to_numpy(), labels)
    print(f"{finding} best of the other outputs, {best}: {known}")
    facts = {"judged": len(judged), "positive": int(labels.sum())}
    (out / f"facts_{finding}.json").write_text(json.dumps(facts) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("probe")
    one.add_argument("index", type=Path)
    one.add_argument("runs", nargs="+", metavar="NAME=RUN")
    one.add_argument("--draws", type=int, default=5)
    one.add_argument("--out", type=Path, required=True)
    one = verbs.add_parser("scratch")
    one.add_argument("run", type=Path)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--out", type=Path, required=True)
    one = verbs.add_parser("few-shot")
    one.add_argument("run", type=Path)
    one.add_argument("index", type=Path)
    one.add_argument("--finding", required=True)
    one.add_argument("--episodes", type=int, default=20)
    one.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.verb == "probe":
        pairs = (text.partition("=") for text in chosen.runs)
        probes(chosen.index, chosen.out, {name: Path(run) for name, _, run in pairs}, chosen.draws)
    elif chosen.verb == "scratch":
        scratch(chosen.run, chosen.out, chosen.seed)
    else:
        few_shot(chosen.run, chosen.index, chosen.finding, chosen.out, chosen.episodes)


if __name__ == "__main__":
    main()
