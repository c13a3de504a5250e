"""Pull verb: films of a date range out of a PACS, into the queue."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, progress, show

DateOption = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Study date, included.")]


def register(app: typer.Typer) -> None:
    """Add this verb to ``screen``."""
    app.command("pull")(pull)


def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a pull in the settings.")],
    first: DateOption,
    last: DateOption,
    settings: Annotated[Path, typer.Option(metavar="FILE", help="The service's TOML.")],
    listen: Annotated[
        bool,
        typer.Option(
            help="Run the listener meanwhile, for C-MOVE; use --no-listen where 'screen "
            "run' runs it."
        ),
    ] = True,
    json: JsonOption = False,
) -> None:
    """Fetch the films of a range of study dates by DICOMweb, or by C-FIND and C-MOVE.

    Films go into the queue of 'screen run'. An image that cannot be fetched does not stop the
    others: it is recorded as not_retrieved, and the exit status is 1 until a later pull fetches it.
    If the command is stopped, repeat it: it continues from the day it had reached, and fetches
    nothing twice.

    Example: monai-cxr screen pull archive --first 2026-01-01 --last 2026-01-31 --settings s.toml
    """
    from monai_cxr.errors import DeliveryError, SettingsError
    from monai_cxr.screening.arriving.pull import IncompletePull, not_delivered
    from monai_cxr.screening.arriving.pull import pull as run_pull
    from monai_cxr.screening.arriving.spool import GIB, Spool
    from monai_cxr.screening.ledger import open_ledger
    from monai_cxr.screening.service.parts import listener_of, pull_source_of
    from monai_cxr.screening.settings.checks import pull_named, read_settings

    read = read_settings(settings)
    table = pull_named(read, name)
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(read.ledger.url))
        spool = Spool(read.spool.folder, reserve_bytes=int(read.spool.reserve_gib * GIB))
        if table.kind == "pacs" and listen:
            if read.listener is None:
                raise SettingsError("A pull by C-MOVE needs [listener] in the settings.")
            stack.enter_context(listener_of(read.listener, ledger, spool))
        source = pull_source_of(table, ledger, spool)
        report = stack.enter_context(progress("days"))
        incomplete: IncompletePull | None = None
        try:
            done = run_pull(ledger, source, first.date(), last.date(), progress=report)
        except IncompletePull as error:
            done, incomplete = error.pulled, error
        except DeliveryError as error:
            raise not_delivered(error) from None
    lost = {"not_retrieved": done.n_not_retrieved} if incomplete else {}
    if json:
        emit({"days": done.days, "found": done.n_found, "fetched": done.n_fetched, **lost})
    else:
        rows = [("days", done.days), ("films found", done.n_found), ("fetched", done.n_fetched)]
        show("Pulled", ("what", "count"), [*rows, *lost.items()])
    if incomplete is not None:
        raise incomplete
