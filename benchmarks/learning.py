"""Learning from little, measured: features and weights by their origin, and few-shot episodes.

Usage:
    python benchmarks/learning.py probe INDEX --out DIR NAME=RUN... [hog=hog]
    python benchmarks/learning.py tune INDEX --out DIR NAME=WEIGHTS... scratch= [--set KEY=VALUE]
    python benchmarks/learning.py scratch RUN_LIKE --out RUN
    python benchmarks/learning.py few-shot RUN INDEX --finding NAME... --out DIR [--episodes 20]

``probe`` fits linear models on the frozen features of several runs or bundles, as ``monai-cxr
probe`` does, and ``tune`` trains networks on from several weights, each on 5, 20 and 100 % of the
train patients, in the same draws; printed are the macro AUROC on val of each and its difference to
the first, paired by patient and draw. ``scratch`` writes the untrained network of a run, as a run.
``few-shot`` adds a finding that RUN was not trained on, from k positive and k negative patients of
split train, whose negatives hold the other findings. Each episode is judged on all patients of val
and test; beside it stands the best of the run's own outputs, chosen on train.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from learning_shares import Films, probe_origin, tell, tune

from monai_cxr.bundle.config import parse_setting, read_config
from monai_cxr.bundle.digests import WEIGHTS_NAME
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.learning.few_shot import few_shots
from monai_cxr.bundle.learning.linear_head import features_of, fit_head
from monai_cxr.bundle.model import BundleModel
from monai_cxr.evaluation.statistics.delong import delong
from monai_cxr.evaluation.statistics.discrimination import auroc
from monai_cxr.tables import (
    EMBEDDING_COLUMN,
    logit_column,
    normalise_index,
    read_table,
    write_table,
)

SHOTS = (4, 16, 64)


def shares(chosen: argparse.Namespace) -> None:
    films = Films.of(chosen.index)
    origins = {name: origin for name, _, origin in (text.partition("=") for text in chosen.origins)}
    if chosen.verb == "tune":
        settings = dict(parse_setting(text) for text in chosen.set)
        tune(films, origins, chosen.out, chosen.draws, settings)
    for name, origin in origins.items() if chosen.verb == "probe" else ():
        probe_origin(films, name, origin, chosen.out, chosen.draws)
    tell(films, chosen.out, chosen.verb, list(origins), chosen.replicates)


def scratch(like: Path, out: Path, seed: int) -> None:
    shutil.copytree(like / "configs", out / "configs", dirs_exist_ok=True)
    shutil.copy2(like / "run.json", out / "run.json")
    (out / "models").mkdir(exist_ok=True)
    torch.manual_seed(seed)
    torch.save(build_network(read_config(out, "inference")).state_dict(), out / WEIGHTS_NAME)


def few_shot(run: Path, index: Path, findings: list[str], out: Path, episodes: int) -> None:
    model = BundleModel.load(run, runtime="torch")
    names = list(dict.fromkeys([*model.findings, *findings]))
    rows = normalise_index(read_table(index), names)
    rows = rows[rows[findings].isin([0, 1]).any(axis=1)].reset_index(drop=True)
    seen = predict_table(model, rows, embeddings=True)
    outputs = [logit_column(name) for name in model.findings]
    rows = rows.assign(**{name: seen[name] for name in [*outputs, EMBEDDING_COLUMN]})
    rows = rows[seen["reason"] == ""].reset_index(drop=True)
    for finding in findings:
        others = [name for name in model.findings if name != finding]
        episodes_of(finding, rows[rows[finding].isin([0, 1])], others, out, episodes)


def episodes_of(
    finding: str, rows: pd.DataFrame, others: list[str], out: Path, episodes: int
) -> None:
    train = rows[rows["split"] == "train"].reset_index(drop=True)
    judged = rows[rows["split"] != "train"].drop_duplicates("patient_id").reset_index(drop=True)
    labels, features = judged[finding].to_numpy(float), features_of(judged)
    there = train.loc[train[finding] == 1, "patient_id"].nunique()
    made = []
    for k in (shots for shots in SHOTS if shots <= there):
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
        for name in others
    }
    best = max(values, key=lambda name: values[name])
    known = delong(judged[logit_column(best)].to_numpy(), labels)
    print(f"{finding} best of the other outputs, {best}: {known}")
    facts = {"judged": len(judged), "positive": int(labels.sum())}
    (out / f"facts_{finding}.json").write_text(json.dumps(facts) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, draws in (("probe", 5), ("tune", 3)):
        one = verbs.add_parser(verb)
        one.add_argument("index", type=Path)
        one.add_argument("origins", nargs="+", metavar="NAME=RUN")
        one.add_argument("--draws", type=int, default=draws)
        one.add_argument("--replicates", type=int, default=1000)
        one.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
        one.add_argument("--out", type=Path, required=True)
    one = verbs.add_parser("scratch")
    one.add_argument("run", type=Path)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--out", type=Path, required=True)
    one = verbs.add_parser("few-shot")
    one.add_argument("run", type=Path)
    one.add_argument("index", type=Path)
    one.add_argument("--finding", nargs="+", required=True)
    one.add_argument("--episodes", type=int, default=20)
    one.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.verb in ("probe", "tune"):
        shares(chosen)
    elif chosen.verb == "scratch":
        scratch(chosen.run, chosen.out, chosen.seed)
    else:
        few_shot(chosen.run, chosen.index, chosen.finding, chosen.out, chosen.episodes)


if __name__ == "__main__":
    main()
