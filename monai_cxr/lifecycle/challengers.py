"""Challengers: the bundle that each kind of change makes of the champion, the smallest first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd

from monai_cxr.bundle.model import CALIBRATION_NAME, OPERATING_POINTS_NAME, rules_of
from monai_cxr.bundle.packaging import TRAINING_NAME, finish_package, package, staged_bundle
from monai_cxr.evaluation.calibration.calibrator import (
    Calibrator,
    fit_calibrator,
    read_calibrator,
    write_calibrator,
)
from monai_cxr.evaluation.decisions.decision_rules import DecisionRules, choose_rules, write_rules
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.lifecycle.plan import ChangePlan
from monai_cxr.training.run import request, workflow


def recalibrated(champion: Path, val: pd.DataFrame, plan: ChangePlan, out: Path) -> None:
    """The champion with probabilities fitted on new films; its thresholds stay as they are.

    Args:
        champion: Its bundle.
        val: Its predictions of the val split, with labels.
        plan: The plan.
        out: Folder of the bundle to make.
    """
    scored = load_predictions(val)
    fitted = fit_calibrator(scored, seed=plan.seed, split="val")
    before = read_calibrator(champion / CALIBRATION_NAME)
    new = {part.finding: part for part in fitted.findings}
    parts = tuple(new.get(part.finding, part) for part in before.findings)
    calibrator = Calibrator(parts, fitted.provenance)
    rules = rules_of(champion)
    refitted = choose_rules(
        calibrator.apply_to(scored), plan.gate.criterion, alpha=_alpha(rules), n_bootstrap=0
    )
    kept = DecisionRules(rules.points, refitted.conformal, refitted.patients)
    _made_of(champion, out, calibrator, kept)


def with_new_thresholds(champion: Path, val: pd.DataFrame, plan: ChangePlan, out: Path) -> None:
    """The champion with thresholds chosen on new films; its probabilities stay as they are.

    Args:
        champion: Its bundle.
        val: Its predictions of the val split, with labels.
        plan: The plan.
        out: Folder of the bundle to make.
    """
    before = rules_of(champion)
    rules = choose_rules(load_predictions(val), plan.gate.criterion, alpha=_alpha(before))
    new = rules.by_finding
    points = (*rules.points, *(p for p in before.points if p.finding not in new))
    calibrator = read_calibrator(champion / CALIBRATION_NAME)
    _made_of(champion, out, calibrator, DecisionRules(points, rules.conformal, rules.patients))


def retrained(
    champion: Path,
    index: Path,
    plan: ChangePlan,
    run: Path,
    out: Path,
    *,
    another_network: bool = False,
) -> None:
    """A bundle of new weights, calibrated, with its own thresholds.

    A run that was stopped goes on from its last complete epoch.

    Args:
        champion: Its bundle.
        index: The new films.
        plan: The plan.
        run: Folder of the run.
        out: Folder of the bundle to make.
        another_network: Whether to train the plan's other architecture, from scratch.

    Raises:
        TrainingFailed: If training ends with an error.
    """
    from_champion = plan.training.start == "champion" and not another_network
    network = plan.training.architecture if another_network else ()
    wanted = request.TrainingRequest(
        bundle=None if from_champion else str(champion),
        index=index,
        out=run,
        settings=(*plan.training.settings, *network, f"seed={plan.seed}"),
        source=str(champion) if from_champion else None,
    )
    workflow.train(request.prepare(wanted))
    package(run, out, criterion=plan.gate.criterion)


def _made_of(champion: Path, out: Path, calibrator: Calibrator, rules: DecisionRules) -> None:
    manifest = json.loads((champion / TRAINING_NAME).read_text(encoding="utf-8"))
    with staged_bundle(out) as staging:
        shutil.copytree(champion, staging)
        write_calibrator(calibrator, staging / CALIBRATION_NAME)
        write_rules(rules, staging / OPERATING_POINTS_NAME)
        finish_package(staging, manifest)


def _alpha(rules: DecisionRules) -> float | None:
    return rules.conformal[0].alpha if rules.conformal else None
