"""Calibration verbs: calibrate, thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.arguments import (
    BlankOption,
    CalibrationOption,
    LabelsOption,
    OneImageOption,
    PredictionsArgument,
    UncertainOption,
    calibrated,
    scored,
)
from monai_cxr.cli.output import JsonOption, emit, note, say, show


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(calibrate)
    app.command()(thresholds)


def calibrate(
    predictions: PredictionsArgument,
    out: Annotated[Path, typer.Option("--out", help="File to write, usually calibration.json.")],
    labels: LabelsOption = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Use prior_shift, temperature, platt, beta, pooled_beta or isotonic for "
            "all findings. Default: choose for each finding."
        ),
    ] = None,
    folds: Annotated[int, typer.Option(min=2, help="Patient-wise folds.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the folds.")] = 0,
    split: Annotated[str, typer.Option(help="Name of the split, for the provenance.")] = "",
    uncertain: UncertainOption = "refuse",
    blank: BlankOption = "unknown",
    one_image_a_patient: OneImageOption = False,
    json: JsonOption = False,
) -> None:
    """Fit one calibration for each finding, chosen by patient-wise cross-validated log loss.

    With a site's own labelled films, this recalibrates a model for the site.

    Example: monai-cxr calibrate val.parquet --out calibration.json
    """
    from monai_cxr.evaluation.calibration.calibrator import fit_calibrator, write_calibrator

    data = scored(predictions, labels, uncertain, blank, one_image_a_patient)
    calibrator = fit_calibrator(data, method=method, n_folds=folds, seed=seed, split=split)
    write_calibrator(calibrator, out)
    if json:
        emit({**calibrator.to_json(), "out": out})
        return
    for sentence in data.notes:
        note(sentence)
    rows = [
        (part.finding, part.n_positive, part.method.replace("_", " "))
        for part in calibrator.findings
    ]
    show("Calibration", ("finding", "positive", "method"), rows)
    say(f"Calibration: {out}")


def thresholds(
    predictions: PredictionsArgument,
    out: Annotated[
        Path, typer.Option("--out", help="File to write, usually operating_points.json.")
    ],
    criterion: Annotated[
        str,
        typer.Option(
            help="sensitivity>=0.90, specificity>=0.90, ppv>=0.3@0.05, npv>=0.99@0.05 (at a site's "
            "prevalence), youden, net_benefit@0.1"
        ),
    ] = "sensitivity>=0.90",
    conformal: Annotated[
        float | None,
        typer.Option(
            metavar="ALPHA",
            help="Also calibrate absent, uncertain and present with at most this error in "
            "each class, for example 0.1.",
        ),
    ] = None,
    labels: LabelsOption = None,
    calibration: CalibrationOption = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            min=0, help="0: no intervals. Any other number gives intervals; nothing is drawn here."
        ),
    ] = 1000,
    seed: Annotated[int, typer.Option(hidden=True, help="Of no effect: nothing is drawn.")] = 0,
    uncertain: UncertainOption = "refuse",
    blank: BlankOption = "unknown",
    one_image_a_patient: OneImageOption = False,
    json: JsonOption = False,
) -> None:
    """Choose operating points, each with its interval, n and criterion.

    Check them on other patients with monai-cxr evaluate --operating-points.

    Example: monai-cxr thresholds val.parquet --criterion youden --out operating_points.json
    """
    from monai_cxr.evaluation.decisions.decision_rules import choose_rules, write_rules

    raw = scored(predictions, labels, uncertain, blank, one_image_a_patient)
    data = calibrated(raw, calibration)
    rules = choose_rules(data, criterion, alpha=conformal, n_bootstrap=bootstrap)
    write_rules(rules, out)
    if json:
        emit(rules.to_json())
        return
    for sentence in data.notes:
        note(sentence)
    rows = [
        (p.finding, p.threshold, str(p.sensitivity), str(p.specificity), p.n_positive, p.n)
        for p in rules.points
    ]
    show(criterion, ("finding", "threshold", "sensitivity", "specificity", "positive", "n"), rows)
    none = [name for name in data.findings if name not in {p.finding for p in rules.points}]
    if none:
        say(f"No threshold meets the criterion, or a class is absent: {', '.join(none)}")
    say(f"Operating points: {out}")
