"""Ledger verbs: status, retry, quarantine, export, backup, restore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, progress, say, show

if TYPE_CHECKING:
    from monai_cxr.screening.ledger import Ledger

SettingsOption = Annotated[
    Path | None, typer.Option("--settings", metavar="FILE", help="The service's TOML.")
]
LedgerOption = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        metavar="URL",
        help="Instead of --settings: sqlite:///FILE, a file, or a postgresql:// address.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add these verbs to ``screen``."""
    app.command("status")(status)
    app.command("retry")(retry)
    app.command("quarantine")(quarantine)
    app.command("export")(export)
    app.command("backup")(backup)
    app.command("restore")(restore)


@contextmanager
def opened_ledger(settings: Path | None, url: str | None) -> Iterator[Ledger]:
    """The ledger of the settings or of an address; it is never made here."""
    from monai_cxr.errors import SettingsError
    from monai_cxr.screening.ledger import open_ledger
    from monai_cxr.screening.settings.checks import read_settings

    if (settings is None) == (url is None):
        raise SettingsError("Expected one of --settings FILE and --ledger URL.")
    address = read_settings(settings).ledger.url if settings is not None else str(url)
    if "://" not in address and not Path(address).is_file():
        raise SettingsError(f"There is no ledger '{Path(address).name}' here.")
    with open_ledger(address) as ledger:
        yield ledger


def status(
    settings: SettingsOption = None, ledger: LedgerOption = None, json: JsonOption = False
) -> None:
    """Show what is in the ledger: queue, results, deliveries, quarantine, audit trail.

    Example: monai-cxr screen status --settings screening.toml
    """
    from monai_cxr.screening.ledger import audit, outbox
    from monai_cxr.screening.ledger.watching import counts

    with opened_ledger(settings, ledger) as opened:
        numbers, trail = counts.count(opened), audit.verify(opened, from_checkpoint=True)
        failures = outbox.deliveries(opened, state="failed", limit=10)
    deliveries = [
        {"kind": k, "destination": d, "state": s, "n": n}
        for (k, d, s), n in numbers.deliveries.items()
    ]
    if json:
        emit(
            {
                "films": numbers.films,
                "arrivals": numbers.arrivals,
                "deliveries": deliveries,
                "quarantine": numbers.quarantine,
                "n_results": numbers.n_results,
                "n_studies": numbers.n_studies,
                "n_reviews": numbers.n_reviews,
                "n_retries": numbers.n_retries,
                "queue_age_seconds": {str(k): v for k, v in numbers.queue_age_seconds.items()},
                "audit": {
                    "n_entries": trail.n_entries,
                    "head": trail.head,
                    "is_intact": trail.is_intact,
                },
            }
        )
        return
    show("Films", ("state", "films"), list(numbers.films.items()))
    if deliveries:
        rows = [(d["kind"], d["destination"], d["state"], d["n"]) for d in deliveries]
        show("Deliveries", ("kind", "destination", "state", "objects"), rows)
    if numbers.quarantine:
        show("Quarantine", ("reason", "objects"), list(numbers.quarantine.items()))
    if failures:
        rows_failed = [(f.id, f.destination, f.last_status, f.last_error) for f in failures]
        show("Failed deliveries", ("id", "destination", "status", "error"), rows_failed)
    state = "intact" if trail.is_intact else f"BROKEN at entry {trail.broken_at}"
    say(f"Audit trail: {trail.n_entries} entries, {state}, head {trail.head}")


def retry(
    settings: SettingsOption = None,
    ledger: LedgerOption = None,
    delivery: Annotated[
        list[int] | None, typer.Option(help="Only these deliveries. Default: all.")
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(help="Only those with this error or status, for example refused or 0xA700."),
    ] = None,
    dismiss: Annotated[
        bool,
        typer.Option(
            "--dismiss", help="Give them up for good instead; their films may then be deleted."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Try undelivered results again now, including those that were given up; or dismiss them.

    Example: monai-cxr screen retry --settings screening.toml --reason 0xA700
    """
    import getpass

    from monai_cxr.screening.ledger import outbox

    actor = getpass.getuser()
    with opened_ledger(settings, ledger) as opened:
        if dismiss:
            n = outbox.dismiss(opened, delivery, reason=reason, actor=actor)
        else:
            n = outbox.retry(opened, delivery, reason=reason, actor=actor)
    if json:
        emit({"n_dismissed" if dismiss else "n_retried": n})
    else:
        say(f"{n} deliveries are " + ("dismissed." if dismiss else "due now."))


def quarantine(
    settings: SettingsOption = None,
    ledger: LedgerOption = None,
    reason: Annotated[str | None, typer.Option(help="Only entries with this reason.")] = None,
    release: Annotated[
        list[int] | None, typer.Option(metavar="ID", help="Schedule this film again. Repeatable.")
    ] = None,
    dismiss: Annotated[
        list[int] | None,
        typer.Option(metavar="ID", help="Close this entry; its file is deleted. Repeatable."),
    ] = None,
    release_all: Annotated[
        bool, typer.Option("--release-all", help="Schedule all films with --reason again.")
    ] = False,
    dismiss_all: Annotated[
        bool, typer.Option("--dismiss-all", help="Close all entries with --reason.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Entries to show.")] = 50,
    json: JsonOption = False,
) -> None:
    """Show what could not be screened and why; release or dismiss entries.

    Example: monai-cxr screen quarantine --settings screening.toml --reason lateral --dismiss-all
    """
    import getpass

    from monai_cxr.errors import SettingsError
    from monai_cxr.screening.arriving.release import release as release_entries
    from monai_cxr.screening.ledger import quarantine as entries

    if (release_all or dismiss_all) and (reason is None or (release_all and dismiss_all)):
        raise SettingsError("Expected one of --release-all and --dismiss-all, with a --reason.")
    actor, n_released, n_dismissed = getpass.getuser(), 0, 0
    with opened_ledger(settings, ledger) as opened:
        of_reason = entries.open_ids(opened, reason) if release_all or dismiss_all else []
        to_release = [*(release or ()), *(of_reason if release_all else ())]
        to_dismiss = [*(dismiss or ()), *(of_reason if dismiss_all else ())]
        if to_release:
            n_released = release_entries(opened, to_release, actor=actor)
        if to_dismiss:
            n_dismissed = entries.dismiss(opened, to_dismiss, actor=actor)
        found = entries.entries(opened, reason=reason, limit=limit)
    if json:
        listed = [
            {"id": e.id, "sop_uid": e.sop_uid, "reason": e.reason, "message": e.message}
            for e in found
        ]
        emit({"n_released": n_released, "n_dismissed": n_dismissed, "entries": listed})
        return
    if to_release:
        say(f"{n_released} films are scheduled again.")
    if to_dismiss:
        say(f"{n_dismissed} entries are closed.")
    rows = [(e.id, e.sop_uid, e.reason, e.message) for e in found]
    show("Quarantine", ("id", "SOP Instance UID", "reason", "message"), rows)


def export(
    out: Annotated[
        Path, typer.Option("--out", help="Table to write, .parquet or .csv; for messages a folder.")
    ],
    settings: SettingsOption = None,
    ledger: LedgerOption = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="table; or fhir (R4 transaction bundles) or hl7 (2.5.1 ORU messages), one "
            "file for each study.",
        ),
    ] = "table",
    first: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Table: only films received on this day or later."),
    ] = None,
    last: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], help="Table: only films received up to this day, included."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a table of every film with its result or its reason, or a message for each study.

    Example: monai-cxr screen export --settings screening.toml --out results.parquet

    Example: monai-cxr screen export --settings screening.toml --first 2026-11-28
    --last 2026-11-28 --out yesterday.csv
    """
    from datetime import timedelta

    from monai_cxr.errors import SettingsError
    from monai_cxr.screening.archive.results_table import export_results
    from monai_cxr.screening.delivering.study_messages import MESSAGES, export_messages

    if format_ not in ("table", *MESSAGES):
        known = ", ".join(("table", *MESSAGES))
        raise SettingsError(f"Expected --format of {known}, but got '{format_}'.")
    if (first or last) and format_ != "table":
        raise SettingsError("--first and --last are for --format table.")
    since = first.timestamp() if first else None
    until = (last + timedelta(days=1)).timestamp() if last else None
    with opened_ledger(settings, ledger) as opened:
        if format_ == "table":
            n = export_results(opened, out, since=since, until=until)
            emit({"n_rows": n, "out": out}) if json else say(f"{n} rows: {out}")
            return
        with progress("studies") as report:
            n = export_messages(opened, out, format_, progress=report)
        emit({"n_messages": n, "out": out}) if json else say(f"{n} messages: {out}")


def backup(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write.")],
    settings: SettingsOption = None,
    ledger: LedgerOption = None,
    json: JsonOption = False,
) -> None:
    """Copy a SQLite ledger while it is in use, and check the copy.

    Example: monai-cxr screen backup --settings screening.toml --out ledger-2026-11-24.sqlite
    """
    from monai_cxr.screening.service.backup import back_up

    with opened_ledger(settings, ledger) as opened:
        note = back_up(opened, out)
    if json:
        emit({"n_entries": note.n_entries, "head": note.head, "out": out})
    else:
        say(f"Backup: {out}; audit trail of {note.n_entries} entries, head {note.head}")


def restore(
    copy: Annotated[Path, typer.Argument(metavar="BACKUP", help="A copy made by backup.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Path of the restored ledger.")
    ],
    json: JsonOption = False,
) -> None:
    """Check a backup and restore it; an existing ledger is never overwritten.

    Example: monai-cxr screen restore ledger-2026-11-24.sqlite --out ledger.sqlite
    """
    from monai_cxr.screening.service.backup import restore as put_back

    note = put_back(copy, out)
    if json:
        emit({"n_entries": note.n_entries, "head": note.head, "out": out})
    else:
        say(f"Ledger: {out}; audit trail of {note.n_entries} entries, head {note.head}")
