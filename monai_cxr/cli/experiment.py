"""Experiment verbs: runs, search, fetch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, note, say, show

if TYPE_CHECKING:
    from monai_cxr.bundle.pretrained_register import PretrainedWeights


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(runs)
    app.command()(search)
    app.command()(fetch)


def runs(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Runs, or folders that contain runs.")
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
    from monai_cxr.training.run.runs import FACTS, compare_runs, find_runs

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
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder of the study and its runs.")
    ],
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
    seed: Annotated[int, typer.Option(help="Seed of the sampler.")] = 0,
    json: JsonOption = False,
) -> None:
    """Search settings with Optuna; each trial is a run, judged on the validation split.

    If it is stopped, repeat the command: it continues where it was.

    Example: monai-cxr search chest_xray_classification --index split.parquet --out sweep --knob
    learning_rate=log:1e-4:1e-2 --trials 8
    """
    from monai_cxr.bundle.config import find_bundle, parse_setting
    from monai_cxr.bundle.presets import read_preset
    from monai_cxr.training.run.search import parse_knob
    from monai_cxr.training.run.search import search as run_search

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
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Weights in the register; or a bundle whose network and preprocessing to use with "
            "--weights (chest_xray_xrv).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the bundle. Default: only list."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="The weights of NAME, fetched by hand; nothing is downloaded."),
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence and data terms of NAME.")
    ] = False,
    weights: Annotated[
        str,
        typer.Option(
            help="Without NAME: torchxrayvision:NAME, which is downloaded, or a file of its "
            "DenseNet's weights."
        ),
    ] = "torchxrayvision:densenet121-res224-all",
    json: JsonOption = False,
) -> None:
    """List pretrained weights, or make a ready bundle of them; only this verb downloads anything.

    Without --out it lists the register, or prints what is known about NAME.

    Example: monai-cxr fetch densenet121-medmae-cxr14 --out medmae --accept-licence
    """
    from monai_cxr.bundle.pretrained_register import register, weights_named

    if name is None and out is None:
        _tell_weights(tuple(register().values()), json)
        return
    if name is None or (name not in register() and _is_bundle(name)):
        if out is None or file is not None:
            raise typer.BadParameter("A bundle's own weights need --out DIR, and --weights FILE.")
        from monai_cxr.bundle.pretrained import package_published

        verified = package_published(name or "chest_xray_xrv", weights, out)
    else:
        entry = weights_named(name)
        if out is None:
            _tell_weights((entry,), json)
            return
        _require_acceptance(entry, accept_licence)
        from monai_cxr.bundle.pretrained import package_pretrained

        verified = package_pretrained(entry, out, file)
    if json:
        emit({"name": verified.name, "digest": verified.digest, "bundle": out})
        return
    say(f"Model digest: {verified.digest}")
    say(f"Bundle: {out}")


def _require_acceptance(entry: PretrainedWeights, accept_licence: bool) -> None:
    from monai_cxr.errors import SettingsError

    if not accept_licence:
        raise SettingsError(
            f"The weights '{entry.name}' have terms. {entry.terms} Accept them with "
            "--accept-licence."
        )
    note(f"{entry.name}: {entry.terms}")


def _is_bundle(name: str) -> bool:
    from monai_cxr.bundle.config import find_bundle
    from monai_cxr.errors import InvalidBundle

    try:
        find_bundle(name)
    except InvalidBundle:
        return False
    return True


def _tell_weights(entries: Sequence[PretrainedWeights], json: bool) -> None:
    """What is known of pretrained weights."""
    if json:
        emit({"weights": [{**asdict(entry), "url": entry.url} for entry in entries]})
        return
    splits = [", ".join(dict.fromkeys(part["split"] for part in e.trained_on)) for e in entries]
    rows = [
        (entry.name, entry.architecture, split, entry.auroc.partition(" (")[0], entry.size)
        for entry, split in zip(entries, splits, strict=True)
    ]
    show("Pretrained weights", ("name", "architecture", "split", "AUROC", "size"), rows)
    for entry in entries:
        sets = ", ".join(part["data"] for part in entry.trained_on)
        say(
            f"{entry.name}: trained on {sets}. AUROC: {entry.auroc}. {entry.terms} Source: "
            f"{entry.url or entry.source} {entry.note}".strip()
        )
