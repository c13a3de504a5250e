"""Screen: the verbs of the screening service and of archives."""

from __future__ import annotations

import os

import typer

from monai_cxr.cli.screen import archive, ledger, pull, reports, service

screen_app = typer.Typer(
    no_args_is_help=True,
    help="Screen films durably: an archive once, or a hospital's stream day and night.",
)


@screen_app.callback()
def _private() -> None:
    """Whatever is made here is for this user alone: it is of patients."""
    os.umask(0o077)


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    for verbs in (archive, pull, service, ledger, reports):
        verbs.register(screen_app)
    app.add_typer(screen_app, name="screen")
