"""De-identify verb: films for research that name nobody."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show


def register(app: typer.Typer) -> None:
    """Add this verb."""
    app.command()(deidentify)


def deidentify(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A DICOM file or a folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")],
    key: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="The project's secret; it is written if there is none yet. The same key "
            "gives the same pseudonyms. Keep it apart from the export.",
        ),
    ],
    keep_age_and_sex: Annotated[
        bool,
        typer.Option(
            "--keep-age-and-sex", help="Keep the patient's age (89 for older patients) and sex."
        ),
    ] = False,
    accept_unknown_annotation: Annotated[
        bool,
        typer.Option(
            "--accept-unknown-annotation",
            help="Accept films that do not say whether text is burned into the pixels. Look at "
            "the films of this source first.",
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """De-identify films for research: the basic profile of DICOM PS3.15, with keyed pseudonyms.

    Names, numbers, private elements and free text are removed, UIDs are replaced, and the dates of
    each patient move by the same number of weeks. Films with burned-in annotation are refused. The
    pixels are not examined, so nothing is guaranteed: a person must check a sample before data
    leave the hospital.

    Example: monai-cxr deidentify films --key project.key --out export
    """
    from monai_cxr.dicom.deidentified.deidentification import DeidentificationPolicy
    from monai_cxr.dicom.deidentified.export import export, read_key

    policy = DeidentificationPolicy(
        read_key(key),
        keep_age_and_sex=keep_age_and_sex,
        accept_unknown_annotation=accept_unknown_annotation,
    )
    with progress("films") as report:
        summary = export(source, out, policy, progress=report)
    if json:
        emit({**asdict(summary), "out": out})
        return
    show("Export", ("what", "count"), [("films", summary.n_written),
                                       ("patients", summary.n_patients)])  # fmt: skip
    if summary.refused:
        show("Refused", ("reason", "files"), sorted(summary.refused.items()))
        if "annotation_unknown" in summary.refused:
            note("annotation_unknown: see --accept-unknown-annotation in --help.")
    say(f"Index: {out / 'index.csv'}")
