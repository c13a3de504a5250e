"""Surveillance: the printable file of a period for an audit."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.monitoring.monitor import LedgerArgument, opened
from monai_cxr.cli.output import JsonOption, emit, say

_DAY = ["%Y-%m-%d"]


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command("surveillance")(surveillance)


def surveillance(
    first: Annotated[
        datetime, typer.Option("--from", formats=_DAY, metavar="DATE", help="First day, in UTC.")
    ],
    last: Annotated[
        datetime,
        typer.Option("--to", formats=_DAY, metavar="DATE", help="Last day; it must be over."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the two files.")],
    ledger: LedgerArgument = "screening.toml",
    signed_by: Annotated[
        str, typer.Option(help="Name of the person who is responsible for it.")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Write what ran in a period, its charts, alarms with their actions, and concordance.

    surveillance.html is for printing and surveillance.json for machines. The same ledger gives the
    same bytes again, even if films have arrived since.

    Example: monai-cxr surveillance screening.toml --from 2026-01-01 --to 2026-03-31 --out audit
    """
    from monai_cxr.screening.watching.surveillance import write_surveillance

    with opened(ledger) as open_:
        content = write_surveillance(open_, out, first.date(), last.date(), signed_by=signed_by)
    if json:
        emit({"out": out, "n_alarms": len(content["alarms"]), "n_films": content["films"]["n"]})
    else:
        say(f"{len(content['alarms'])} alarms; wrote {out / 'surveillance.html'}.")
