"""Acceptance verb: accept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.arguments import BootstrapOption, SeedOption
from monai_cxr.cli.output import JsonOption, emit, note, say, show

if TYPE_CHECKING:
    from monai_cxr.evaluation.predictions.prediction_set import PredictionSet
    from monai_cxr.lifecycle.acceptance import Acceptance


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(accept)


def accept(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="BUNDLE|PREDICTIONS", help="Folder of a bundle, or any model's predictions."
        ),
    ],
    site: Annotated[
        Path | None,
        typer.Option(
            metavar="INDEX", help="The site's labelled films. Default: only print the sample size."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder of the report.")
    ] = None,
    seal: Annotated[
        bool,
        typer.Option(
            "--seal",
            help="Only fix the site's films and labels by SHA-256, before a score is seen. From "
            "then on a changed set is refused, and the report states the seal.",
        ),
    ] = False,
    criterion: Annotated[
        str, typer.Option(help="Rule for the site's thresholds, as for the verb thresholds.")
    ] = "sensitivity>=0.90",
    width: Annotated[
        float, typer.Option(help="Wanted width of the 95 % interval of a sensitivity.")
    ] = 0.1,
    prevalence: Annotated[
        float | None,
        typer.Option(
            help="Prevalence of the rarest finding that matters; gives the number of patients "
            "to read."
        ),
    ] = None,
    bootstrap: BootstrapOption = 1000,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Test a model on a site's own films before go-live: sample size, then a report to sign.

    Half of the patients choose the site's thresholds, the other half judge them.

    Example: monai-cxr accept bundle --site site.parquet --out acceptance
    """
    from monai_cxr.lifecycle.acceptance import accept as run
    from monai_cxr.lifecycle.acceptance import write_acceptance
    from monai_cxr.lifecycle.site_seal import check_site

    if site is None:
        _size(criterion, width, prevalence, json=json)
        return
    if seal:
        _seal(site, json=json)
        return
    if out is None:
        raise typer.BadParameter("With --site, name the folder of the report with --out.")
    sealed = check_site(site)
    predictions = _predictions(model, site)
    found = run(
        predictions,
        criterion=criterion,
        width=width,
        n_bootstrap=bootstrap,
        seed=seed,
        sealed_at="" if sealed is None else sealed.at,
    )
    page = write_acceptance(found, out)
    if json:
        emit({**found.to_json(), "page": page})
    else:
        _tell(found, page)


def _size(criterion: str, width: float, prevalence: float | None, *, json: bool) -> None:
    """How many patients a site needs."""
    from monai_cxr.lifecycle.acceptance import expected_share
    from monai_cxr.lifecycle.sample_size import for_interval, patients_for

    wanted = for_interval(expected_share(criterion), width)
    to_read = None if prevalence is None else patients_for(2 * wanted, prevalence)
    if json:
        emit({"n_wanted": wanted, "patients_to_read": to_read})
        return
    say(
        f"An interval no wider than {width:g} needs {wanted} patients with a finding in the "
        f"half that judges, {2 * wanted} in all."
    )
    if to_read is not None:
        say(f"At a prevalence of {prevalence:g} that is about {to_read} patients to read.")


def _tell(found: Acceptance, page: Path) -> None:
    for sentence in found.performance.warnings:
        note(sentence)
    rows = [
        (
            c.point.finding,
            c.n_positive,
            c.point.threshold,
            str(c.sensitivity),
            str(c.specificity),
            "reached" if found.is_narrow_enough(c) else "not reached",
        )
        for c in found.checked
    ]
    columns = ("finding", "positive", "threshold", "sensitivity", "specificity", "interval")
    show("The half that chose no thresholds", columns, rows)
    say(f"Report to sign: {page}")


def _seal(site: Path, *, json: bool) -> None:
    from dataclasses import asdict

    from monai_cxr.lifecycle.site_seal import seal_site, site_seal_path

    made = seal_site(site)
    if json:
        emit({**asdict(made), "seal": site_seal_path(site)})
        return
    say(f"Index SHA-256: {made.index}")
    say(f"Seal: {site_seal_path(site)}")


def _predictions(model: Path, site: Path) -> PredictionSet:
    """Predictions of the site's films, made here or read, with the site's labels."""
    from monai_cxr.evaluation.predictions.prediction_set import load_predictions
    from monai_cxr.tables import read_table

    labels = read_table(site)
    if not model.is_dir():
        return load_predictions(model, labels=labels)
    from monai_cxr.bundle.ensemble import load_predictor
    from monai_cxr.bundle.inference import input_table, predict_table

    predictor = load_predictor([str(model)])
    return load_predictions(predict_table(predictor, input_table([site], predictor.findings)))
