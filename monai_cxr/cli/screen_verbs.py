"""Screening verbs: screen archive, and the service's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli import pull_verb, service_verbs
from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show

screen_app = typer.Typer(
    no_args_is_help=True,
    help="Screen films durably: an archive once, or a hospital's stream day and night.",
)


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    screen_app.command("archive")(archive)
    pull_verb.register(screen_app)
    service_verbs.register(screen_app)
    app.add_typer(screen_app, name="screen")


def archive(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Folder (searched with its subfolders), text file with one path a line, or table "
            "with a column path.",
        ),
    ],
    bundle: Annotated[str, typer.Option(help="Folder of a bundle, or a bundle's name.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="For results.parquet, sr/, summary.html and the ledger."
        ),
    ],
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Films at a time.")] = 8,
    reports: Annotated[
        bool, typer.Option("--sr/--no-sr", help="Write a structured report for each film.")
    ] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0 ...")] = "auto",
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Use a Ray cluster: its address, 'auto', or 'local' to start one here; then "
            "--workers is the number of actors.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Screen an archive: every film exactly one result and one structured report.

    Killed or stopped at any instant, the same command goes on with what is missing. What cannot be
    read or is not a frontal chest radiograph gets a reason code; duplicates are read once.

    Example: monai-cxr screen archive /archive/2019 --bundle demo/bundle --out screened --workers 8
    """
    from monai_cxr.screening.archive import PAGE_NAME, TABLE_NAME, ArchiveOptions, screen_archive

    options = ArchiveOptions(workers, batch_size, reports, device)
    with progress("files") as report:
        if ray is None:
            summary = screen_archive(source, bundle, out, options, progress=report)
        else:
            from monai_cxr.screening.archive_ray import screen_archive_on_ray

            summary = screen_archive_on_ray(
                source, bundle, out, options, address=ray, progress=report
            )
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
