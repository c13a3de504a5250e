"""Change margins: how an attempt for a replaced scanner ends under margins that a hospital takes.

    python benchmarks/change_margins.py FOLDER --seeds 3 --films 500

For each seed it makes the site of benchmarks/change_story.py anew, with more films: a champion of
clean films, the new scanner's films, a locked test of the old scanner and a recent one of the new.
Then ``retrain`` tries new probabilities and new weights. It prints how each kind ended and which
checks did not pass. Without the service: benchmarks/change_story.py and its page tell that part.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import change_story as story
import pandas as pd

from monai_cxr.bundle.packaging import package
from monai_cxr.lifecycle.plan import seal_plan
from monai_cxr.lifecycle.promotion import adopt
from monai_cxr.lifecycle.retraining import retrain
from monai_cxr.tables import write_table
from monai_cxr.training.run import request, workflow

MARGINS = {"auroc": 0.05, "sensitivity": 0.1, "flag_rate": 0.1, "brier": 0.02, "n_positive": 50}


def plan_text() -> str:
    """The story's plan with other margins, and without its ledger."""
    text = story.PLAN.lstrip().partition("\n[triggers]")[0]
    text = re.sub(r"^ledger = .*\n", "", text, flags=re.MULTILINE)
    for name, value in MARGINS.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
    return text


def make(folder: Path, seed: int, n: int) -> None:
    """Films, indexes, a champion and a sealed plan."""
    tables = {}
    for name, (number, _, replaced) in story.FILMS.items():
        if name != "stream":
            own = 10 * seed + number
            tables[name] = story.films_of(folder / name, own, n, replaced=replaced)
    both = [tables["champion"], tables["training"]]
    tables["training"] = pd.concat(both, ignore_index=True)
    for name, table in tables.items():
        write_table(table, folder / f"{name}.parquet")
    wanted = request.TrainingRequest(
        bundle="chest_xray_classification",
        index=folder / "champion.parquet",
        out=folder / "run",
        settings=(*story.TRAINING, f"seed={seed}"),
        source=None,
    )
    workflow.train(request.prepare(wanted))
    package(folder / "run", folder / "bundle", criterion="youden")
    adopt(folder / "registry", folder / "bundle", by="Dr Example", reason="Accepted.")
    (folder / "plan.toml").write_text(plan_text(), encoding="utf-8")
    seal_plan(folder / "plan.toml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--films", type=int, default=500, help="a set, half with the finding")
    given = parser.parse_args()
    for seed in range(1, given.seeds + 1):
        folder = given.folder / str(seed)
        make(folder, seed, given.films)
        attempt = retrain(folder / "plan.toml", folder / "attempt")
        for tried in attempt.content["tried"]:
            kind = tried["kind"]
            verdict = json.loads((folder / "attempt" / kind / "verdict.json").read_text())
            print(f"seed {seed}, {kind}: {tried['outcome']}", flush=True)
            for check in verdict["checks"]:
                values = f"{check['champion']} to {check['challenger']}"
                print(f"  {check['outcome']}: {check['test']} {check['measure']}: {values}; "
                      f"{check['reason']}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
