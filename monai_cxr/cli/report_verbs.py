"""Report verbs: calibrate, evaluate, compare, thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, note, say, show

if TYPE_CHECKING:
    from monai_cxr.evaluation.predictions import PredictionSet

PredictionsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PREDICTIONS",
        help="Parquet of predict, or any CSV with an image column and prob_<finding> columns.",
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        help="nih (ChestX-ray14 v2020), google2019 (adjudicated), or a table with an image "
        "column, patient_id and a column a finding. Default: label_<finding> columns."
    ),
]


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(calibrate)
    app.command()(evaluate)
    app.command()(compare)
    app.command()(thresholds)


def scored(predictions: Path, labels: str | None) -> PredictionSet:
    """Predictions aligned with the labels that a user named."""
    from monai_cxr.data import chestxray14
    from monai_cxr.evaluation.predictions import load_predictions
    from monai_cxr.tables import read_table

    named = {"nih": chestxray14.read_labels, "google2019": chestxray14.read_adjudicated}
    if labels is None:
        return load_predictions(predictions)
    truth = named[labels]() if labels in named else read_table(Path(labels))
    return load_predictions(predictions, labels=truth)


def calibrate(
    predictions: PredictionsArgument,
    out: Annotated[Path, typer.Option("--out", help="calibration.json")],
    labels: LabelsOption = None,
    split: Annotated[str, typer.Option(help="Name of the split, for the provenance.")] = "",
    json: JsonOption = False,
) -> None:
    """Fit one calibration a finding, chosen by patient-wise cross-validated log loss.

    Example: monai-cxr calibrate val.parquet --out calibration.json
    """
    from monai_cxr.evaluation.calibration import fit_calibrator, write_calibrator

    data = scored(predictions, labels)
    calibrator = fit_calibrator(data, split=split)
    write_calibrator(calibrator, out)
    if json:
        emit({**calibrator.to_json(), "out": out})
        return
    for sentence in data.notes:
        note(sentence)
    rows = [(part.finding, part.method, part.n_positive) for part in calibrator.findings]
    show("Calibration", ("finding", "method", "positive films"), rows)
    say(f"Calibration: {out}")


def evaluate(
    predictions: PredictionsArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the report.")],
    labels: LabelsOption = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Apply this calibration.json first.")
    ] = None,
    operating_points: Annotated[
        Path | None, typer.Option(help="Check these operating points (file of thresholds).")
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=0, help="Patient bootstrap replicates.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    bundle: Annotated[
        str | None,
        typer.Option(help="Bundle that made them: adds worst errors with heatmaps to the report."),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(help="With --bundle: nih, or a table of sop_uid or path, finding, x, y, ..."),
    ] = None,
    robustness: Annotated[
        int, typer.Option(min=0, help="With --bundle: perturb so many films. 0: none.")
    ] = 0,
    data: Annotated[str, typer.Option(help="Name of the data set, for the report.")] = "",
    split: Annotated[
        str, typer.Option(help="Name of the split, e.g. 'official test', for the report.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Evaluate predictions: AUROC and more with patient-level intervals; JSON, CSV and HTML.

    Example: monai-cxr evaluate predictions.parquet --out report
    """
    from monai_cxr.evaluation.calibration import read_calibrator
    from monai_cxr.evaluation.operating_points import read_operating_points
    from monai_cxr.evaluation.performance import evaluate as run_evaluation
    from monai_cxr.evaluation.report import write_report
    from monai_cxr.evaluation.results import EvaluationIdentity

    scores = scored(predictions, labels)
    performance = run_evaluation(
        scores,
        n_bootstrap=bootstrap,
        seed=seed,
        calibrator=read_calibrator(calibration) if calibration is not None else None,
        operating_points=read_operating_points(operating_points) if operating_points else (),
        identity=EvaluationIdentity(
            data=data, split=split, labels=labels or "", model=_model_of(predictions, bundle)
        ),
    )
    extras = None
    if bundle is not None:
        from monai_cxr.cli.inspection import inspect_films

        extras = inspect_films(predictions, scores, bundle, boxes=boxes, robustness=robustness)
    written = write_report(performance, out, extras=extras)
    if json:
        emit(performance.to_json())
        return
    for sentence in performance.warnings:
        note(sentence)
    who = performance.identity
    rows = [
        (
            item.finding,
            item.n_positive,
            str(item.auroc),
            item.average_precision.estimate,
            item.brier.estimate,
            item.ece.estimate,
        )
        for item in performance.findings
    ]
    show(
        f"{who.n_images} films of {who.n_patients} patients",
        ("finding", "positive", "AUROC (95 % interval)", "AP", "Brier", "ECE"),
        rows,
    )
    say(f"Macro AUROC {performance.macro.auroc}")
    say(f"Report: {written[-1]}")


def _model_of(predictions: Path, bundle: str | None) -> dict[str, str]:
    """Name and digest of the model that made a predictions table, where it says so."""
    from monai_cxr.tables import read_table

    table = read_table(predictions)
    known = sorted(set(table["model_digest"])) if "model_digest" in table else []
    name = {"name": Path(bundle).name} if bundle is not None else {}
    return {**name, "digest": known[0]} if len(known) == 1 else name


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Predictions of one model.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Predictions of another.")],
    labels: LabelsOption = None,
    bootstrap: Annotated[int, typer.Option(min=100, help="Patient bootstrap replicates.")] = 1000,
    json: JsonOption = False,
) -> None:
    """Compare two models on the same films: paired patient bootstrap, DeLong, Holm.

    Example: monai-cxr compare a.parquet b.parquet
    """
    from monai_cxr.evaluation.comparison import compare as run_comparison

    result = run_comparison(scored(first, labels), scored(second, labels), n_bootstrap=bootstrap)
    if json:
        emit(result.to_json())
        return
    table = result.table()
    show("A minus B", tuple(map(str, table.columns)), table.to_numpy().tolist())


def thresholds(
    predictions: PredictionsArgument,
    out: Annotated[Path, typer.Option("--out", help="operating_points.json")],
    criterion: Annotated[
        str,
        typer.Option(
            help="sensitivity>=0.90, specificity>=0.90, ppv>=0.3@0.05, npv>=0.99@0.05, youden, "
            "net_benefit@0.1"
        ),
    ] = "sensitivity>=0.90",
    labels: LabelsOption = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Apply this calibration.json first.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Choose operating points, each with its interval, n and criterion.

    Example: monai-cxr thresholds val.parquet --criterion youden --out operating_points.json
    """
    from monai_cxr.evaluation.calibration import read_calibrator
    from monai_cxr.evaluation.operating_points import (
        choose_operating_points,
        operating_points_to_json,
        write_operating_points,
    )

    data = scored(predictions, labels)
    if calibration is not None:
        data = read_calibrator(calibration).apply_to(data)
    points = choose_operating_points(
        data.probabilities, data.labels, data.patient_ids, criterion, findings=data.findings
    )
    write_operating_points(points, out)
    if json:
        emit(operating_points_to_json(points))
        return
    rows = [
        (p.finding, p.threshold, str(p.sensitivity), str(p.specificity), p.n_positive, p.n)
        for p in points
    ]
    columns = ("finding", "threshold", "sensitivity", "specificity", "positive", "n")
    show(criterion, columns, rows)
    say(f"Operating points: {out}")
