"""Demo verb: the main job, end to end, on the embedded phantom."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder of everything that it makes.")] = Path(
        "demo"
    ),
    patients: Annotated[int | None, typer.Option(help="Phantom patients; fewer is faster.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of training.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the archive and the training.")] = 0,
    json: JsonOption = False,
) -> None:
    """Run the main job on a digital phantom: archive, train, calibrate, evaluate, package, predict.

    Example: monai-cxr demo --out demo
    """
    from dataclasses import replace

    from monai_cxr.demo import DemoSettings, run_demo

    chosen: dict[str, Any] = {"patients": patients, "epochs": epochs, "seed": seed}
    given = {name: value for name, value in chosen.items() if value is not None}
    result = run_demo(out, replace(DemoSettings(), **given), say=note, progress=progress)
    if json:
        emit(result.to_json())
        return
    who = result.performance.identity
    show(
        f"{who.n_images} held-out films of {who.n_patients} patients",
        ("finding", "positive", "AUROC (95 % patient interval)", "ECE before", "ECE after"),
        result.rows(),
    )
    say(f"Macro AUROC {result.performance.macro.auroc}")
    say(f"Mean ECE {result.ece_before:.3f} before calibration, {result.ece_after:.3f} after")
    show("Five films", ("film", *result.film_columns), result.films)
    say(f"Bundle: {result.bundle}")
    say(f"Report: {result.report}")
    say(f"Look at the films: {view_command(out)}")


def view_command(out: Path) -> str:
    """The command that opens the viewer on the demo, with its installation where it is absent."""
    from importlib.util import find_spec

    command = shlex.join(
        ["monai-cxr", "view", str(out / "bundle"), "--files", str(out / "archive")]
    )
    if find_spec("streamlit") is None:
        return f"pip install 'monai-cxr[viewer]', then {command}"
    return command
