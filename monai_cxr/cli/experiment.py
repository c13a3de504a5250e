"""Experiment verbs: runs, search, fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, note, say, show


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(runs)
    app.command()(search)
    app.command()(fetch)


def runs(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Runs, or folders that hold runs.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Also write the table: .csv or .parquet.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Compare runs: best epoch, validation AUROC, speed, and the settings that differ.

    Example: monai-cxr runs experiments
    """
    from monai_cxr.tables import write_table
    from monai_cxr.training.runs import FACTS, compare_runs, find_runs

    table = compare_runs(find_runs(folders))
    if out is not None:
        write_table(table, out)
    if json:
        emit({"runs": table.to_dict("records")})
        return
    changed = table.drop(columns=[*FACTS]).to_dict("records")
    rows = [
        [*facts, ", ".join(f"{key}={value}" for key, value in settings.items() if value)]
        for facts, settings in zip(table[[*FACTS]].to_numpy().tolist(), changed, strict=True)
    ]
    show("Runs", (*FACTS.values(), "settings that differ"), rows)


def search(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Folder or name of a bundle.")],
    index: Annotated[Path, typer.Option(help="Index with train and val splits.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Study and its runs.")],
    knob: Annotated[
        list[str],
        typer.Option(
            "--knob",
            help="learning_rate=log:1e-4:1e-2, label_smoothing=float:0:0.2, batch_size=int:8:64, "
            "weighting=none,chexnet. Repeatable.",
        ),
    ],
    trials: Annotated[int, typer.Option(min=1, help="Trials in all.")] = 10,
    preset: Annotated[str | None, typer.Option(help="Settings of every trial, by name.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of every trial. Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0,
    json: JsonOption = False,
) -> None:
    """Search settings with Optuna; each trial is a run, judged on the validation split.

    Stopped, it goes on where it was when the same command is given again.

    Example: monai-cxr search chest_xray_classification --index split.parquet --out sweep --knob
    learning_rate=log:1e-4:1e-2 --trials 8
    """
    from monai_cxr.bundle.config import find_bundle, parse_setting
    from monai_cxr.bundle.presets import read_preset
    from monai_cxr.training.search import parse_knob
    from monai_cxr.training.search import search as run_search

    settings = read_preset(find_bundle(bundle), preset) if preset else {}
    settings |= dict(parse_setting(text) for text in setting or ())
    best = run_search(
        bundle,
        index,
        out,
        [parse_knob(text) for text in knob],
        n_trials=trials,
        settings=settings,
        seed=seed,
        say=note,
    )
    emit({"best": best}) if json else say(f"Best run: {best}")


def fetch(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the bundle.")],
    bundle: Annotated[
        str, typer.Argument(metavar="[BUNDLE]", help="Whose network and preprocessing.")
    ] = "chest_xray_xrv",
    weights: Annotated[
        str,
        typer.Option(
            help="torchxrayvision:NAME, which is downloaded, or a file of its DenseNet's weights."
        ),
    ] = "torchxrayvision:densenet121-res224-all",
    json: JsonOption = False,
) -> None:
    """Make a ready bundle of a published, pretrained network; this is what downloads.

    Example: monai-cxr fetch --out xrv
    """
    from monai_cxr.bundle.pretrained import package_published

    verified = package_published(bundle, weights, out)
    if json:
        emit({"name": verified.name, "digest": verified.digest, "bundle": out})
        return
    say(f"Model digest: {verified.digest}")
    say(f"Bundle: {out}")
