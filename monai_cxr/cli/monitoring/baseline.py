"""Baseline verb: baseline."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, progress, say, show


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(baseline)


def baseline(
    index: Annotated[
        Path, typer.Argument(metavar="INDEX", help="An index with train and val or test splits.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for predictions.parquet.")
    ],
    features: Annotated[
        str, typer.Option(help="hog (gradients in cells) or sift (bag of visual words).")
    ] = "hog",
    size: Annotated[int, typer.Option(min=32, help="Side of the films in pixels.")] = 128,
    split: Annotated[
        str | None, typer.Option(help="Predict only this split. Default: all except train.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of folds and vocabulary.")] = 0,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that read films and make features.")
    ] = 2,
    json: JsonOption = False,
) -> None:
    """Fit a classical baseline on the train split, and predict the films of the other splits.

    It uses HOG or SIFT features and one calibrated logistic regression for each finding: a network
    has to beat this. The predictions are a table like that of predict, so evaluate and compare
    read it.

    Example: monai-cxr baseline split.parquet --out baseline
    """
    from monai_cxr.data.cache import CacheSettings, FilmCache
    from monai_cxr.errors import InvalidTable
    from monai_cxr.tables import normalise_index, read_table, write_table
    from monai_cxr.training.classical import fit_and_predict

    table = normalise_index(read_table(index))
    cache = FilmCache(out / "cache", table, CacheSettings(size))
    with progress("films") as report:
        predictions, fitted = fit_and_predict(
            table, cache, features=features, seed=seed, workers=workers, progress=report
        )
    if split is not None:
        predictions = predictions[predictions["split"] == split].reset_index(drop=True)
        if predictions.empty:
            raise InvalidTable(f"No film to predict belongs to split '{split}'.", reason="no_split")
    target = out / "predictions.parquet"
    write_table(predictions, target)
    n_scored = int((predictions["reason"] == "").sum())
    if json:
        films = {"n_scored": n_scored, "n_unreadable": len(predictions) - n_scored}
        made = {"features": features, "findings": [asdict(finding) for finding in fitted]}
        emit({**made, **films, "out": target})
        return
    rows = [
        (f.finding, f.n_positive, f.n_negative, f"{f.penalty:g}" if f.penalty else "prevalence")
        for f in fitted
    ]
    show(f"Fitted on {features}", ("finding", "positive", "negative", "C"), rows)
    say(f"Scored: {n_scored} films; unreadable: {len(predictions) - n_scored}.")
    say(f"Predictions: {target}")
