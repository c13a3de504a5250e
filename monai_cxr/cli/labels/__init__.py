"""Labels: the verbs that make, check, audit and correct labels."""

from __future__ import annotations

import typer

from monai_cxr.cli.labels import audit, budget, check, overlay, reports

labels_app = typer.Typer(
    no_args_is_help=True,
    help="Make labels of reports, check them, find the wrong ones, correct them, count them.",
)


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    for verbs in (reports, check, audit, overlay, budget):
        verbs.register(labels_app)
    app.add_typer(labels_app, name="labels")
