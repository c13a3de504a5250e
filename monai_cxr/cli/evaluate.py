"""Report verbs: evaluate, compare."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.arguments import (
    BlankOption,
    BootstrapOption,
    CalibrationOption,
    LabelFloorOption,
    LabelsOption,
    OneImageOption,
    PredictionsArgument,
    SeedOption,
    UncertainOption,
    scored,
)
from monai_cxr.cli.output import JsonOption, emit, note, say, show

if TYPE_CHECKING:
    from monai_cxr.evaluation.classification import Classification
    from monai_cxr.evaluation.decisions.decision_rules import DecisionRules
    from monai_cxr.evaluation.results import EvaluationIdentity, Performance


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(evaluate)
    app.command()(compare)


def evaluate(
    predictions: PredictionsArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the report.")],
    labels: LabelsOption = None,
    calibration: CalibrationOption = None,
    operating_points: Annotated[
        Path | None,
        typer.Option(
            help="Check these rules (a file written by thresholds). Default: those of the bundle."
        ),
    ] = None,
    prevalence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FINDING=]SHARE",
            help="What if: PPV and NPV of the operating points at this prevalence; repeatable.",
        ),
    ] = None,
    bootstrap: BootstrapOption = 1000,
    seed: SeedOption = 0,
    uncertain: UncertainOption = "refuse",
    blank: BlankOption = "unknown",
    one_image_a_patient: OneImageOption = False,
    allow_overlap: Annotated[
        bool,
        typer.Option(
            "--allow-overlap",
            help="Go on although the calibration was fitted on some of these patients; the "
            "results are marked.",
        ),
    ] = False,
    bundle: Annotated[
        str | None,
        typer.Option(
            help="Bundle that made the predictions: adds the worst errors with heatmaps to the "
            "report."
        ),
    ] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            help="With --bundle: nih, or a table with sop_uid or path, finding, x, y, width and "
            "height."
        ),
    ] = None,
    robustness: Annotated[
        int, typer.Option(min=0, help="With --bundle: number of films to perturb. 0: none.")
    ] = 0,
    card: Annotated[
        bool,
        typer.Option("--card", help="With --bundle: write these numbers into its docs/README.md."),
    ] = False,
    data: Annotated[str, typer.Option(help="Name of the data set, for the report.")] = "",
    split: Annotated[
        str,
        typer.Option(
            help="Name of the split. 'official test' or 'random by patient' of ChestX-ray14 puts "
            "published results of the same split beside yours."
        ),
    ] = "",
    label_floor: LabelFloorOption = 0.8,
    json: JsonOption = False,
) -> None:
    """Evaluate predictions: AUROC and more with patient-level intervals; JSON, CSV and HTML.

    Example: monai-cxr evaluate predictions.parquet --out report
    """
    from monai_cxr.evaluation.calibration.calibrator import read_calibrator
    from monai_cxr.evaluation.decisions.criteria import parse_prevalences
    from monai_cxr.evaluation.performance import evaluate as run_evaluation
    from monai_cxr.labels.check import require_checked
    from monai_cxr.report.files import write_report
    from monai_cxr.report.official_test import require_official_names

    stated = parse_prevalences(prevalence or ())
    if bundle is None and (card or boxes is not None or robustness):
        raise typer.BadParameter("--card, --boxes and --robustness need --bundle.")
    rules = _rules(operating_points, bundle)
    scores = scored(predictions, labels, uncertain, blank, one_image_a_patient)
    for table in (predictions, Path(labels or "")):
        if table.is_file():
            require_checked(table, scores.findings, label_floor)
    identity = _identity(predictions, labels, bundle, data, split)
    unchecked = require_official_names(scores.image_ids, identity.data, identity.split)
    calibrator = None if calibration is None else read_calibrator(calibration)
    performance = run_evaluation(
        scores,
        n_bootstrap=bootstrap,
        seed=seed,
        calibrator=calibrator,
        allow_overlap=allow_overlap,
        rules=rules,
        prevalences=stated,
        identity=identity,
    )
    performance = replace(performance, warnings=(*unchecked, *performance.warnings))
    extras = None
    if bundle is not None:
        performance = _marked(performance, bundle)
        from monai_cxr.cli.inspection import inspect_films

        shown = scores if calibrator is None else calibrator.apply_to(scores)
        extras = inspect_films(predictions, shown, bundle, boxes=boxes, robustness=robustness)
    written = write_report(performance, out, extras=extras)
    if card and bundle is not None:
        from monai_cxr.bundle.packaging import write_card

        write_card(bundle, performance)
    if json:
        emit(performance.to_json())
    else:
        _tell(performance, written[-1])


def _marked(performance: Performance, bundle: str) -> Performance:
    """The same numbers, with a warning where the films may have trained the bundle's weights."""
    from monai_cxr.bundle.config import find_bundle, read_config
    from monai_cxr.evaluation.gaps import training_overlap

    trained_on = read_config(find_bundle(bundle), "metadata").get("trained_on", ())
    who = performance.identity
    found = training_overlap(trained_on, who.data, who.split)
    return replace(performance, warnings=(*found, *performance.warnings))


def _tell(performance: Performance, page: Path) -> None:
    for sentence in performance.warnings:
        note(sentence)
    who = performance.identity
    rows = [
        (
            *(item.finding, item.n, item.n_positive, str(item.auroc)),
            *(part.estimate for part in (item.average_precision, item.brier, item.ece)),
        )
        for item in performance.findings
    ]
    show(
        f"{who.n_images} films of {who.n_patients} patients",
        ("finding", "n", "positive", "AUROC (95 % interval)", "AP", "Brier", "ECE"),
        rows,
    )
    say(f"Macro AUROC {performance.macro.auroc}")
    if performance.classification is not None:
        _tell_classes(performance.classification)
    points = performance.operating_points
    if points and len(performance.findings) == 1:
        show(
            "At the given threshold",
            ("finding", "threshold", "sensitivity", "specificity", "accuracy"),
            [
                (
                    c.point.finding,
                    c.point.threshold,
                    *map(str, (c.sensitivity, c.specificity, c.accuracy)),
                )
                for c in points
            ],
        )
    say(f"Report: {page}")


def _tell_classes(found: Classification) -> None:
    """Confusion matrix, accuracy and kappa."""
    rows = [
        (name, *map(int, counts), str(found.recall[name]))
        for name, counts in zip(found.classes, found.confusion, strict=True)
    ]
    show("True class by likeliest class", ("films", *found.classes, "found"), rows)
    say(f"Accuracy {found.accuracy}")
    say(f"Balanced accuracy {found.balanced_accuracy}; Cohen's kappa {found.kappa}")


def _rules(path: Path | None, bundle: str | None) -> DecisionRules | None:
    """Those of a file, else the bundle's."""
    from monai_cxr.evaluation.decisions.decision_rules import read_rules

    if path is not None:
        return read_rules(path)
    if bundle is None:
        return None
    from monai_cxr.bundle.config import find_bundle
    from monai_cxr.bundle.model import rules_of

    return rules_of(find_bundle(bundle))


def _identity(
    predictions: Path, labels: str | None, bundle: str | None, data: str, split: str
) -> EvaluationIdentity:
    """Names for the report; labels named nih or google2019 name the data set too."""
    from monai_cxr.evaluation.results import EvaluationIdentity
    from monai_cxr.report.published import split_named

    named = {"nih": "NIH, version 2020", "google2019": "adjudicated by radiologists (Google 2019)"}
    return EvaluationIdentity(
        data=data or ("ChestX-ray14" if (labels or "").casefold() in named else ""),
        split=split_named(split),
        labels=named.get((labels or "").casefold(), Path(labels or "").name),
        model=_model_of(predictions, bundle),
    )


def _model_of(predictions: Path, bundle: str | None) -> dict[str, str]:
    """Name and digest of the model that made a predictions table, where it says so."""
    from monai_cxr.tables import read_table

    table = read_table(predictions)
    known = sorted(set(table["model_digest"].dropna())) if "model_digest" in table else []
    name = {} if bundle is None else _name_of(bundle)
    return {**name, "digest": str(known[0])} if len(known) == 1 else name


def _name_of(bundle: str) -> dict[str, str]:
    from monai_cxr.bundle.config import find_bundle, read_config

    metadata = read_config(find_bundle(bundle), "metadata")
    return {key: str(metadata[key]) for key in ("name", "version") if key in metadata}


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Predictions of one model.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Predictions of another.")],
    labels: LabelsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of comparison.json and comparison.csv."),
    ] = None,
    bootstrap: Annotated[int, typer.Option(min=100, help="Patient bootstrap replicates.")] = 1000,
    seed: SeedOption = 0,
    uncertain: UncertainOption = "refuse",
    blank: BlankOption = "unknown",
    one_image_a_patient: OneImageOption = False,
    json: JsonOption = False,
) -> None:
    """Compare two models on the same films: paired patient bootstrap, DeLong, Holm.

    Differences are B minus A. p (patient) comes from the paired patient bootstrap, p (image) from
    DeLong's test, which assumes independent films; Holm's correction is for the number of
    findings.

    Example: monai-cxr compare a.parquet b.parquet --out comparison
    """
    from monai_cxr.evaluation.comparison import compare as run_comparison
    from monai_cxr.evaluation.comparison import write_comparison

    both = [scored(path, labels, uncertain, blank, one_image_a_patient) for path in (first, second)]
    names = (first.stem, second.stem)
    result = run_comparison(*both, names=names, n_bootstrap=bootstrap, seed=seed)
    written = None if out is None else write_comparison(result, out)[0]
    if json:
        emit(result.to_json())
        return
    for sentence in result.warnings:
        note(sentence)
    rows = [
        (
            *(item.finding, item.n, item.n_positive),
            *(item.auroc_a.estimate, item.auroc_b.estimate, str(item.difference)),
            *(_p(item.p_patient, result.n_bootstrap), _p(item.p_delong), _p(item.p_adjusted)),
        )
        for item in result.findings
    ]
    columns = ("finding", "n", "positive", "A", "B", "B - A (95 % interval)")
    show(
        f"AUROC on {result.n_images} films of {result.n_patients} patients",
        (*columns, "p (patient)", "p (image)", "p (Holm)"),
        rows,
    )
    say(f"Macro AUROC, B - A: {result.macro}, p {_p(result.macro_p, result.n_bootstrap)}")
    if written is not None:
        say(f"Comparison: {written}")


def _p(value: float, n_replicates: int = 0) -> str:
    """A p value; never 0, and of replicates never less than they resolve."""
    if math.isnan(value):
        return "-"
    least = max(0.001, math.ceil(1000 / (n_replicates + 1)) / 1000 if n_replicates else 0.0)
    return f"< {least:.3f}" if value < least else f"{value:.3f}"
