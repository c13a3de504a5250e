"""View verb: the viewer on a folder of films."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.output import note, say


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(view)


def view(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="[BUNDLE]", help="Bundle that reads the films. Default: only show them."
        ),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option("--files", metavar="DIR", help="Folder of films; new ones are noticed."),
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            metavar="TOML",
            help="Settings (TOML) with a section viewer, and perhaps a screening ledger.",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="TCP port; 0 takes any free one. Default: 8501.")
    ] = None,
    base_path: Annotated[
        str | None,
        typer.Option(
            "--base-path", metavar="PATH", help="Path under which a proxy serves the viewer."
        ),
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="SQLite file of reviews and audit. Default: your state folder."),
    ] = None,
    label_audit: Annotated[
        Path | None,
        typer.Option(
            "--label-audit",
            metavar="DIR",
            help="Folder that 'labels audit' wrote: a page asks readers one question a film.",
        ),
    ] = None,
    registry: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Registry whose history the model and audit pages show. Default: the one that "
            "BUNDLE leads through, as registry/champion does.",
        ),
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="Do not open a browser.")] = False,
) -> None:
    """Open the viewer: worklist, films with their findings, feedback, upload, model, monitoring.

    It listens on this machine only, unless the settings name an authentication. Without --files and
    --settings it shows only films that are uploaded to it.

    Example: monai-cxr view demo/bundle --files demo/archive
    """
    from monai_cxr.optional import require

    require("streamlit", extra="viewer")
    from clinical_app.launch import launch

    launch(
        bundle,
        files=files,
        settings=settings,
        port=port,
        base_path=base_path,
        store=store,
        label_audit=label_audit,
        registry=registry,
        headless=headless,
        say=say,
        note=note,
    )
