"""Service verbs: run, doctor, mercure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.arguments import DeviceOption
from monai_cxr.cli.output import JsonOption, emit, say, show


def register(app: typer.Typer) -> None:
    """Add these verbs to ``screen``."""
    app.command("run")(run)
    app.command("doctor")(doctor)
    app.command("mercure")(mercure)


def run(
    settings: Annotated[Path, typer.Option(metavar="FILE", help="The service's TOML.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="watch, listen, pull, work, deliver or housekeep. Repeatable. Default: all."
        ),
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            help="Port of /healthz, /readyz and /metrics instead of that of the settings, "
            "for a second process on one host. 0 takes any free port and logs it.",
        ),
    ] = None,
) -> None:
    """Run the service in the foreground; SIGTERM drains it, kill -9 loses nothing.

    Several processes may share a ledger, and several hosts may share one in PostgreSQL: run this
    command for each, with --only for a process with a single task. Logs are JSON lines on stderr.
    When a part fails, /readyz says so, the rest drains, and the exit status is not 0: let systemd
    start it again.

    Example: monai-cxr screen run --settings screening.toml
    """
    from monai_cxr.screening.service.service import PARTS, run_service
    from monai_cxr.screening.settings.checks import read_settings

    run_service(read_settings(settings), tuple(only) if only else PARTS, health_port=health_port)


def doctor(
    settings: Annotated[Path, typer.Option(metavar="FILE", help="The service's TOML.")],
    own: Annotated[
        bool,
        typer.Option(
            "--own/--all",
            help="Check only our own parts and ask no other system, as the systemd unit "
            "does before it starts the service.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Try everything that the settings name: ledger, spool, bundle, destinations.

    Example: monai-cxr screen doctor --settings screening.toml
    """
    from monai_cxr.screening.service.doctor import FAILED, examine
    from monai_cxr.screening.settings.checks import read_settings

    checks = list(examine(read_settings(settings), own=own))
    if json:
        emit({"checks": [{"name": c.name, "state": c.state, "text": c.text} for c in checks]})
    else:
        show("Doctor", ("check", "state", "found"), [(c.name, c.state, c.text) for c in checks])
    if any(check.state == FAILED for check in checks):
        raise typer.Exit(1)


def mercure(
    bundle: Annotated[
        str | None, typer.Option(help="A bundle. Default: 'bundle' in mercure's settings.")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Run as a module of mercure: MERCURE_IN_DIR to MERCURE_OUT_DIR, reports and result.json.

    Example: MERCURE_IN_DIR=in MERCURE_OUT_DIR=out monai-cxr screen mercure --bundle demo/bundle
    """
    import os

    from monai_cxr.bundle.model import BundleModel
    from monai_cxr.errors import SettingsError
    from monai_cxr.screening.mercure import run_task, task_folders, task_settings

    incoming, outgoing = task_folders(os.environ)
    name = bundle or task_settings(incoming).get("bundle")
    if not isinstance(name, str) or not name:
        raise SettingsError("Expected --bundle, or a 'bundle' in the module's settings of mercure.")
    result = run_task(BundleModel.load(name, device=device), incoming, outgoing)
    say(f"{len(result['films'])} films; result.json and the reports are in MERCURE_OUT_DIR.")
