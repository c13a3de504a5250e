"""Archive: the verb screen archive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.arguments import DeviceOption, ReaderMemoryOption, ReaderTimeoutOption
from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show
from monai_cxr.errors import DeliveryError, SettingsError

if TYPE_CHECKING:
    from monai_cxr.screening.archive.summary import ArchiveSummary


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(archive)


def archive(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Folder (searched with its subfolders), text file with one path on each "
            "line, or table with a column path. Or a PACS, with --first and --last: "
            "https://HOST/ROOT (DICOMweb), dimse://AET@HOST:PORT (C-FIND and C-MOVE), "
            "or, with --settings, the name of a pull.",
        ),
    ],
    bundle: Annotated[str, typer.Option(help="Folder of a bundle, or a bundle's name.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for results.parquet, sr/, summary.html and the ledger.",
        ),
    ],
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Films at a time.")] = 8,
    reports: Annotated[
        bool, typer.Option("--sr/--no-sr", help="Write a structured report for each film.")
    ] = True,
    device: DeviceOption = "auto",
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Use a Ray cluster: its address, 'auto', or 'local' to start one here; then "
            "--workers is the number of actors.",
        ),
    ] = None,
    first: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="PACS: first study date.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="PACS: last study date, included.")
    ] = None,
    listener: Annotated[
        str,
        typer.Option(
            metavar="AET@HOST:PORT",
            help="dimse: our address for films that C-MOVE sends; the PACS must know it.",
        ),
    ] = "MONAI_CXR@127.0.0.1:11112",
    settings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="PACS: settings (TOML) with a section pulls, for TLS and passwords.",
        ),
    ] = None,
    discard: Annotated[
        bool,
        typer.Option(
            "--discard-films/--keep-films",
            help="PACS: delete each fetched film when it is finished, for an archive that is "
            "larger than the disk.",
        ),
    ] = False,
    reader_timeout: ReaderTimeoutOption = 60.0,
    reader_memory: ReaderMemoryOption = 4.0,
    json: JsonOption = False,
) -> None:
    """Screen an archive: every film gets exactly one result and one structured report.

    If it is killed or stopped at any instant, repeat the command: it does what is missing. A file
    that cannot be read or is not a frontal chest radiograph gets a reason code; duplicates are read
    once. A DICOMweb service may need the variables MONAI_CXR_DICOMWEB_USERNAME and _PASSWORD, or
    _TOKEN.

    Example: monai-cxr screen archive /archive/2019 --bundle demo/bundle --out screened --workers 8

    Example: monai-cxr screen archive https://pacs.example/dicom-web --first 2019-01-01
    --last 2019-12-31 --bundle demo/bundle --out screened
    """
    from monai_cxr.reading.reader_limits import ReaderLimits
    from monai_cxr.screening.archive.archive import ArchiveOptions, screen_archive
    from monai_cxr.screening.archive.pacs import PacsArchive, is_pacs, pacs_archive

    films: Path | PacsArchive = Path(source)
    days = [None if day is None else day.date() for day in (first, last)]
    if settings is not None or is_pacs(source):
        films = pacs_archive(source, *days, listener=listener, settings=settings, discard=discard)
    elif any(days):
        raise SettingsError("--first and --last are for a PACS, but SOURCE is a path.")
    limits = ReaderLimits(reader_timeout, reader_memory)
    options = ArchiveOptions(workers, batch_size, reports, device, limits)
    with progress("files", rate=True) as report:
        if ray is None:
            summary = screen_archive(films, bundle, out, options, progress=report)
        else:
            from monai_cxr.screening.archive.ray import screen_archive_on_ray

            summary = screen_archive_on_ray(
                films, bundle, out, options, address=ray, progress=report
            )
    _tell(summary, out, json=json)
    _refuse_days_left(summary.days_left)


def _tell(summary: ArchiveSummary, out: Path, *, json: bool) -> None:
    from monai_cxr.screening.archive.archive import PAGE_NAME, TABLE_NAME

    numbers = summary.counts
    n_duplicates = numbers.arrivals.get("duplicate", 0)
    if json:
        emit(
            {
                "n_scored": numbers.films["completed"],
                "not_scored": dict(numbers.quarantine),
                "n_duplicates": n_duplicates,
                "n_reports": summary.n_reports("delivered"),
                "n_new": summary.n_new,
                "seconds": summary.seconds,
                "model_digest": summary.model_digest,
                "out": out,
            }
        )
        return
    rows: list[tuple[str, int]] = [("scored", numbers.films["completed"])]
    rows += sorted(numbers.quarantine.items(), key=lambda item: -item[1])
    rows += [("duplicate", n_duplicates)] if n_duplicates else []
    show("Archive", ("result", "files"), rows)
    failed = summary.n_reports("failed")
    if failed:
        note(f"{failed} structured reports could not be made: monai-cxr screen status shows why.")
    say(f"{summary.n_new} films in {summary.seconds:.0f} s.")
    say(f"Results: {out / TABLE_NAME}")
    say(f"Summary: {out / PAGE_NAME}")


def _refuse_days_left(days: Sequence[date]) -> None:
    """Say at the end what a PACS did not give; status 0 means that everything was had."""
    if days:
        shown = ", ".join(map(str, days[:5])) + (" ..." if len(days) > 5 else "")
        raise DeliveryError(
            f"The PACS did not give everything of {len(days)} study dates ({shown}); what it gave "
            "is screened. Repeat the command to ask again for the rest."
        )
