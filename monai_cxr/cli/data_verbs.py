"""Data verbs: phantom, index nih, index folder, index medmnist, split."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monai_cxr.cli.output import JsonOption, emit, progress, say, show

OutTable = Annotated[Path, typer.Option("--out", help="Table to write: .parquet or .csv.")]

index_app = typer.Typer(
    no_args_is_help=True,
    help="Make an index: one row a film, with its patient, facts and labels.",
)


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    index_app.command("nih")(index_nih)
    index_app.command("folder")(index_folder)
    index_app.command("medmnist")(index_medmnist)
    app.add_typer(index_app, name="index")
    app.command()(phantom)
    app.command()(split)


def phantom(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    patients: Annotated[int, typer.Option(help="Number of patients.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same films.")] = 0,
    size: Annotated[int, typer.Option(help="Longer side of a film in pixels.")] = 512,
    label_noise: Annotated[
        float, typer.Option(help="Share of positive labels that are missed.")
    ] = 0.0,
    layout: Annotated[
        str, typer.Option(help="dicom (with labels.csv and truth.csv) or nih (NIH's folders).")
    ] = "dicom",
    masks: Annotated[bool, typer.Option(help="Also write a mask a finding (dicom).")] = False,
    json: JsonOption = False,
) -> None:
    """Write an archive of digital chest phantoms with known findings.

    Example: monai-cxr phantom --out phantoms --patients 50
    """
    from monai_cxr.errors import SettingsError
    from monai_cxr.phantom import PhantomSettings, write_dicom_archive, write_nih_archive

    settings = PhantomSettings(n_patients=patients, seed=seed, size=size, label_noise=label_noise)
    if layout not in ("dicom", "nih"):
        raise SettingsError(f"Expected --layout dicom or nih, but got '{layout}'.")
    with progress("films") as report:
        if layout == "dicom":
            table = write_dicom_archive(out, settings, progress=report, masks=masks)
        else:
            table = write_nih_archive(out, settings, progress=report)
    emit({"labels": table}) if json else say(f"Labels: {table}")


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


def index_medmnist(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An .npz file of MedMNIST.")],
    out: OutTable,
    films: Annotated[
        Path | None,
        typer.Option(help="Folder for the films as PNG. Default: films, beside the index."),
    ] = None,
    findings: Annotated[
        str | None,
        typer.Option(
            help="Names of the labels, by commas: one for label 1 against 0, or one a class. "
            "Default: Pneumonia for two classes, NIH's for 14 columns."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Index a MedMNIST file with its official splits; its films become PNG files.

    Example: monai-cxr index medmnist pneumoniamnist.npz --out index.parquet
    """
    from monai_cxr.data import medmnist
    from monai_cxr.tables import write_table

    names = [name.strip() for name in findings.split(",")] if findings else ()
    folder = films if films is not None else out.parent / "films"
    with progress("films") as report:
        index = medmnist.index_medmnist(file, folder, findings=names, progress=report)
    write_table(index, out)
    counts = [(str(name), len(rows)) for name, rows in index.groupby("split")]
    if json:
        emit({"splits": dict(counts), "films": folder, "out": out})
        return
    show("Found", ("split", "films"), counts)
    say(f"Index: {out}")


def split(
    index: Annotated[Path, typer.Argument(help="An index.")],
    out: OutTable,
    official: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of NIH's train_val_list.txt and test_list.txt."),
    ] = None,
    fractions: Annotated[
        tuple[float, float, float], typer.Option(help="Shares of train, val and test.")
    ] = (0.7, 0.1, 0.2),
    seed: Annotated[int, typer.Option(help="Seed of the order of patients.")] = 0,
    check: Annotated[
        bool, typer.Option("--check", help="Keep the split the index has; only refuse leakage.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Split an index by patient, or by NIH's official lists; leakage is refused.

    Example: monai-cxr split index.parquet --fractions 0.7 0.1 0.2 --out split.parquet
    """
    from monai_cxr.data import splits
    from monai_cxr.tables import normalise_index, read_table, write_table

    table = normalise_index(read_table(index))
    if check:
        splits.assert_no_leakage(table)
    elif official is not None:
        table = splits.split_official(table, official, seed=seed)
    else:
        table = splits.split_by_patient(table, fractions, seed=seed)
    write_table(table, out)
    used = table[table["split"] != ""].groupby("split")
    counts = [(name, len(rows), rows["patient_id"].nunique()) for name, rows in used]
    if json:
        emit({"splits": {n: {"images": i, "patients": p} for n, i, p in counts}, "out": out})
        return
    show("Split by patient", ("split", "films", "patients"), counts)
    say(f"Index: {out}")
