"""Explain verb: what the model used on one film."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.arguments import DeviceOption
from monai_cxr.cli.output import JsonOption, emit, say, show


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(explain)


def explain(
    film: Annotated[Path, typer.Argument(metavar="FILE", help="Film to explain.")],
    bundle: Annotated[str, typer.Option("--bundle", help="Folder of a bundle or run.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the pictures.")],
    finding: Annotated[
        list[str] | None,
        typer.Option(help="Finding whose map is drawn; repeatable. Default: the most probable."),
    ] = None,
    method: Annotated[str, typer.Option(help="cam, grad_cam or occlusion.")] = "cam",
    device: DeviceOption = "auto",
    json: JsonOption = False,
) -> None:
    """Show what the model used: the film, and beside it the film under its map.

    Example: monai-cxr explain film.dcm --bundle demo/bundle --out explained
    """
    from monai_cxr.bundle.explaining.explanation import explain as run_explanation
    from monai_cxr.bundle.model import BundleModel

    runtime = "auto" if method == "cam" else "torch"
    model = BundleModel.load(bundle, device=device, runtime=runtime)
    content = run_explanation(model, model.read(film), out, findings=finding, method=method)
    if json:
        emit({**content, "out": out})
        return
    rows = [
        (name, float("nan") if score["probability"] is None else score["probability"])
        for name, score in content["findings"].items()
    ]
    show("Calibrated probabilities", ("finding", "probability"), rows)
    for name, entry in content["maps"].items():
        say(f"{name}: {out / entry['picture']}")
