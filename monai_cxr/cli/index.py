"""Index verbs: index nih, index folder, index xrv, index medmnist, index join."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.arguments import BlankOption, OneImageOption, UncertainOption
from monai_cxr.cli.data import OnUnreadable, OutTable, tell_left_out
from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show, show_unreadable

if TYPE_CHECKING:
    import pandas as pd

    from monai_cxr.data.sets.nih_folder import IndexSummary

index_app = typer.Typer(
    no_args_is_help=True, help="Make an index: one row a film, with its patient, facts and labels."
)


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    index_app.command("nih")(index_nih)
    index_app.command("folder")(index_folder)
    index_app.command("xrv")(index_xrv)
    index_app.command("medmnist")(index_medmnist)
    index_app.command("join")(index_join)
    app.add_typer(index_app, name="index")


def index_nih(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of NIH's PNG images.")],
    out: OutTable,
    metadata: Annotated[
        Path | None,
        typer.Option(help="Data_Entry CSV. Default: the v2020 table in torchxrayvision's wheel."),
    ] = None,
    check_pixels: Annotated[
        bool,
        typer.Option(
            "--check-pixels",
            help="Decode every image. Default: only look at both ends of each file.",
        ),
    ] = False,
    on_unreadable: OnUnreadable = "skip",
    json: JsonOption = False,
) -> None:
    """Index ChestX-ray14 as NIH ships it, and report what there is: archives, labels, boxes, lists.

    Example: monai-cxr index nih CXR8/images --out index.parquet
    """
    from monai_cxr.data.sets import nih_folder
    from monai_cxr.tables import write_table

    with progress("images") as report:
        index, summary = nih_folder.index_nih(
            directory,
            metadata if metadata else "v2020",
            check_pixels=check_pixels,
            on_unreadable=on_unreadable,
            progress=report,
        )
    write_table(index, out)
    if json:
        emit(
            {
                **asdict(summary),
                "archives": [asdict(a) | {"state": a.state} for a in summary.archives],
                "missing_archives": summary.missing_archives,
                "unreadable": dict(summary.unreadable),
                "out": out,
            }
        )
        return
    _tell_nih(index, summary)
    say(f"Index: {out}")


def _tell_nih(index: pd.DataFrame, summary: IndexSummary) -> None:
    from monai_cxr.findings import FINDING_NAMES

    counts = [
        ("images in the index", summary.n_images),
        ("patients", summary.n_patients),
        ("reference boxes", summary.n_boxes),
        ("films listed in the metadata", summary.n_listed),
        ("listed, no image here", summary.n_missing),
        ("images that are not listed, left out", summary.n_unlisted),
        ("image names met again, the first kept", summary.n_duplicates),
        ("unreadable, left out", summary.n_unreadable),
        ("films labelled otherwise than in v2020", summary.n_labels_changed),
    ]
    show("Found", ("what", "count"), counts)
    archives = [(a.archive, a.n_found, a.n_expected, a.state) for a in summary.archives]
    if archives:
        show("NIH's archives", ("archive", "found", "expected", "state"), archives)
    show("Positive labels", ("finding", "films"), [(f, int(index[f].sum())) for f in FINDING_NAMES])
    show_unreadable(summary.unreadable)
    say(f"Label version: {summary.label_version}.")
    lists = ", ".join(f"{name}_list.txt ({n} images)" for name, n in summary.lists.items())
    say(f"Official lists here: {lists or 'none'}.")
    if summary.missing_archives:
        say(f"Nothing here of: {', '.join(summary.missing_archives)}. Fetch and index again.")


def index_folder(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of DICOM files or images.")
    ],
    out: OutTable,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Table with an image column (path, sop_uid or image), one 0/1 column for "
            "each finding, of any name, and the patient if the films do not name it."
        ),
    ] = None,
    uncertain: UncertainOption = "refuse",
    blank: BlankOption = "unknown",
    one_image_a_patient: OneImageOption = False,
    json: JsonOption = False,
) -> None:
    """Index any folder of films, with or without labels.

    Example: monai-cxr index folder phantoms --labels phantoms/labels.csv --out index.parquet
    """
    from monai_cxr.data import folder
    from monai_cxr.label_policy import LabelPolicy
    from monai_cxr.labels.check import carry_check
    from monai_cxr.tables import write_table

    with progress("files") as report:
        index, summary = folder.index_folder(
            directory,
            labels,
            policy=LabelPolicy(uncertain, blank),
            one_image_a_patient=one_image_a_patient,
            progress=report,
        )
    write_table(index, out)
    if labels is not None:
        carry_check(labels, out)
    if json:
        emit({**asdict(summary), "out": out})
        return
    rows = [("films", summary.n_images), ("patients", summary.n_patients)]
    rows.append(("with labels", summary.n_labelled))
    if labels is not None:
        rows.append(("labels without a film here", summary.n_labels_without_film))
    show("Found", ("what", "count"), rows)
    if summary.skipped:
        reasons = sorted({reason for _, reason in summary.skipped})
        counts = [(r, sum(reason == r for _, reason in summary.skipped)) for r in reasons]
        show("Not films, left out", ("reason", "files"), counts)
    if summary.own_labels:
        say(f"Labels of your own: {', '.join(summary.own_labels)}.")
    if summary.columns_left_out:
        note(f"Neither labels (0, 1) nor known facts, left out: {_list(summary.columns_left_out)}.")
    say(f"Index: {out}")


def _list(names: tuple[str, ...], limit: int = 12) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def index_xrv(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="chexpert, mimic, padchest, vindr, rsna, openi, siim or brax."
        ),
    ],
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="The images of the set, in the layout in which it is distributed."
        ),
    ],
    out: OutTable,
    csv: Annotated[
        Path | None,
        typer.Option(help="The set's labels. Default: those in torchxrayvision's wheel."),
    ] = None,
    meta_csv: Annotated[Path | None, typer.Option(help="MIMIC's metadata table.")] = None,
    uncertain: UncertainOption = "unknown",
    blank: BlankOption = "unknown",
    views: Annotated[str, typer.Option(help="frontal or all.")] = "frontal",
    json: JsonOption = False,
) -> None:
    """Index another data set, read by torchxrayvision's class for it.

    Labels that are not among our findings are left out and named; a finding that the set does not
    label is unknown.

    Example: monai-cxr index xrv chexpert CheXpert-v1.0-small --csv train.csv --out chexpert.parquet
    """
    from monai_cxr.data.sets import xrv
    from monai_cxr.tables import write_table

    counted = {"uncertain": uncertain, "blank": blank, "views": views}
    index, summary = xrv.index_xrv(name, directory, csv=csv, meta_csv=meta_csv, **counted)
    write_table(index, out)
    if json:
        emit({**asdict(summary), "out": out})
        return
    rows = [
        ("films in the index", summary.n_images),
        ("patients", summary.n_patients),
        ("listed", summary.n_listed),
        ("listed, no image here", summary.n_missing),
        ("other views, left out", summary.n_other_views),
        (f"uncertain labels ({uncertain})", summary.n_uncertain),
    ]
    show(summary.title, ("what", "count"), rows)
    positive = [(f, n, int((index[f] == 1).sum())) for f, n in summary.known.items() if n]
    show("Labels", ("finding", "known", "positive"), positive)
    if summary.dropped:
        say(f"Not among our findings, left out: {', '.join(summary.dropped)}.")
    if summary.patients_unknown:
        say("This set does not tell its patients: each film counts as one.")
    say(f"Index: {out}")


def index_join(
    indexes: Annotated[list[Path], typer.Argument(metavar="INDEX...", help="Two or more indexes.")],
    out: OutTable,
    uncertain: UncertainOption = "refuse",
    blank: BlankOption = "unknown",
    json: JsonOption = False,
) -> None:
    """Join indexes, to train on several data sets at once; their file names become the set names.

    The set name becomes a prefix of each patient, so that patients are not mixed up. Do not join
    sets that share films: those of RSNA and SIIM are NIH's.

    Example: monai-cxr index join nih.parquet chexpert.parquet --out both.parquet
    """
    from monai_cxr.data.join import join_indexes
    from monai_cxr.errors import SettingsError
    from monai_cxr.label_policy import LabelPolicy
    from monai_cxr.tables import read_table, write_table

    names = [path.stem for path in indexes]
    if len(set(names)) < len(names):
        raise SettingsError(f"The file names name the sets, but two are alike: {', '.join(names)}.")
    tables = {path.stem: read_table(path) for path in indexes}
    joined = join_indexes(tables, policy=LabelPolicy(uncertain, blank))
    write_table(joined, out)
    tell_left_out(tables.values())
    sets = joined["patient_id"].str.split(":").str[0]
    counts = [
        (name, int((sets == name).sum()), joined["patient_id"][sets == name].nunique())
        for name in names
    ]
    if json:
        emit({"sets": {n: {"images": i, "patients": p} for n, i, p in counts}, "out": out})
        return
    show("Joined", ("set", "films", "patients"), counts)
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
            help="Names of the labels, separated by commas: one for label 1 against 0, or "
            "one for each class. Default: Pneumonia for two classes, NIH's names for "
            "14 columns."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Index a MedMNIST file with its official splits; its films become PNG files.

    Example: monai-cxr index medmnist pneumoniamnist.npz --out index.parquet
    """
    from monai_cxr.data.sets import medmnist
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
