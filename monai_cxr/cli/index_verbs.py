"""Index verbs: index nih, index folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.data_verbs import OutTable
from monai_cxr.cli.output import JsonOption, emit, progress, say, show

index_app = typer.Typer(
    no_args_is_help=True,
    help="Make an index: one row a film, with its patient, facts and labels.",
)


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    index_app.command("nih")(index_nih)
    index_app.command("folder")(index_folder)
    app.add_typer(index_app, name="index")


def index_nih(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of NIH's PNG images.")],
    out: OutTable,
    metadata: Annotated[
        Path | None,
        typer.Option(help="Data_Entry CSV. Default: the v2020 table in torchxrayvision's wheel."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Index ChestX-ray14 as NIH ships it.

    Example: monai-cxr index nih CXR8/images --out index.parquet
    """
    from monai_cxr.data import chestxray14
    from monai_cxr.findings import FINDING_NAMES
    from monai_cxr.tables import write_table

    index, summary = chestxray14.index_nih(directory, metadata if metadata else "v2020")
    write_table(index, out)
    if json:
        emit({**asdict(summary), "out": out})
        return
    show(
        "Found",
        ("what", "count"),
        [(k[2:].replace("_", " "), v) for k, v in asdict(summary).items()],
    )
    show("Positive labels", ("finding", "films"), [(f, int(index[f].sum())) for f in FINDING_NAMES])
    say(f"Index: {out}")


def index_folder(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of DICOM or images.")],
    out: OutTable,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Table with a column path, sop_uid or image, and one 0/1 column a finding; "
            "patient_id where the films do not carry it."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Index any folder of films, with or without labels.

    Example: monai-cxr index folder phantoms --labels phantoms/labels.csv --out index.parquet
    """
    from monai_cxr.data import folder
    from monai_cxr.tables import write_table

    with progress("files") as report:
        index, summary = folder.index_folder(directory, labels, progress=report)
    write_table(index, out)
    if json:
        emit({**asdict(summary), "out": out})
        return
    rows = [("films", summary.n_images), ("patients", summary.n_patients)]
    show("Found", ("what", "count"), [*rows, ("with labels", summary.n_labelled)])
    if summary.skipped:
        reasons = sorted({reason for _, reason in summary.skipped})
        counts = [(r, sum(reason == r for _, reason in summary.skipped)) for r in reasons]
        show("Not films, left out", ("reason", "files"), counts)
    say(f"Index: {out}")
