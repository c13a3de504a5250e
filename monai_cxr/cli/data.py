"""Data verbs: phantom, split, cache."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_cxr.cli.arguments import ReaderMemoryOption, ReaderTimeoutOption, WorkersOption
from monai_cxr.cli.output import JsonOption, emit, note, progress, say, show, show_unreadable

if TYPE_CHECKING:
    import pandas as pd

OnUnreadable = Annotated[
    str,
    typer.Option(
        help="What to do about a film that cannot be read: skip (name it and leave it out) or stop."
    ),
]
OutTable = Annotated[Path, typer.Option("--out", help="Table to write: .parquet or .csv.")]


def register(app: typer.Typer) -> None:
    """Add these verbs."""
    app.command()(phantom)
    app.command()(split)
    app.command()(cache)


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
    masks: Annotated[
        bool, typer.Option(help="Also write one mask for each finding (dicom).")
    ] = False,
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


def split(
    index: Annotated[list[str], typer.Argument(metavar="INDEX", help="An index.")],
    out: OutTable,
    official: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of NIH's train_val_list.txt and test_list.txt."),
    ] = None,
    fractions: Annotated[
        str, typer.Option(metavar="TRAIN VAL TEST", help="Shares, separated by spaces or commas.")
    ] = "0.7 0.1 0.2",
    seed: Annotated[int, typer.Option(help="Seed of the order of patients.")] = 0,
    val_list: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --official: a published list of the val images, for example that of "
            "medical_mae. Default: train_list.txt and val_list.txt of that folder, or "
            "else an eighth of the patients of train_val, by --seed.",
        ),
    ] = None,
    stratify: Annotated[
        bool,
        typer.Option(help="Keep each finding's share; CheXNet's random split is --no-stratify."),
    ] = True,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Keep the split that the index has; only check it for leakage."
        ),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Split an index by patient, or by NIH's official lists; leakage is refused.

    Example: monai-cxr split index.parquet --fractions 0.7 0.1 0.2 --out split.parquet
    """
    from monai_cxr.data import splits
    from monai_cxr.labels.check import carry_check
    from monai_cxr.tables import normalise_index, read_table, write_table

    path, shares = _index_and_shares(index, fractions)
    given = read_table(path)
    tell_left_out([given])
    table = normalise_index(given)
    if check:
        splits.assert_no_leakage(table)
    elif official is not None:
        table = splits.split_official(table, official, seed=seed, val_list=val_list)
    else:
        table = splits.split_by_patient(table, shares, seed=seed, stratify=stratify)
    write_table(table, out)
    carry_check(path, out)
    used = table[table["split"] != ""].groupby("split")
    counts = [(name, len(rows), rows["patient_id"].nunique()) for name, rows in used]
    if json:
        emit({"splits": {n: {"images": i, "patients": p} for n, i, p in counts}, "out": out})
        return
    show("Split by patient", ("split", "films", "patients"), counts)
    say(f"Index: {out}")


def tell_left_out(indexes: Iterable[pd.DataFrame]) -> None:
    """Name the columns of indexes that are not kept, on stderr."""
    from monai_cxr.tables import columns_left_out

    names = dict.fromkeys(name for table in indexes for name in columns_left_out(table))
    if names:
        note(f"Columns that hold no labels (0, 1), left out: {', '.join([*names][:12])}.")


def _index_and_shares(positional: list[str], fractions: str) -> tuple[Path, list[float]]:
    """Tell the index from the shares that spaces have separated from their option."""
    numbers = [text for text in positional if _is_number(text)]
    paths = [text for text in positional if not _is_number(text)]
    shares = " ".join([fractions, *numbers]).replace(",", " ").split()
    if len(paths) != 1:
        raise typer.BadParameter(f"Expected one index, but got {len(paths)}.")
    if not all(_is_number(text) for text in shares):
        raise typer.BadParameter(f"Expected --fractions as three numbers, but got {shares}.")
    return Path(paths[0]), [float(text) for text in shares]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def cache(
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="An index; its films are cached.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of caches.")],
    size: Annotated[int, typer.Option(min=1, help="Side of the films in pixels.")] = 224,
    resize: Annotated[
        str,
        typer.Option(
            help="stretch, pad, center_crop, center_crop_0.875 or center_crop_bicubic, as the "
            "bundle's `resize`."
        ),
    ] = "stretch",
    policy: Annotated[
        str, typer.Option(help="Grayscale policy for DICOM: auto, header, percentile or none.")
    ] = "auto",
    workers: WorkersOption = None,
    on_unreadable: OnUnreadable = "skip",
    reader_timeout: ReaderTimeoutOption = 60.0,
    reader_memory: ReaderMemoryOption = 4.0,
    json: JsonOption = False,
) -> None:
    """Read every film once and keep it as 8-bit pixels on disk, for training at full speed.

    If it is stopped or killed, repeat the command: it continues after the finished blocks. A block
    with damaged bytes, or whose source has changed, is made again. Another size or policy makes
    another cache in the same folder.

    Example: monai-cxr cache split.parquet --size 224 --out cache
    """
    from monai_cxr.data import cache as caches
    from monai_cxr.data.cache_build import build_cache
    from monai_cxr.reading.reader_limits import ReaderLimits
    from monai_cxr.tables import normalise_index, read_table

    settings = caches.CacheSettings(size, resize, policy)  # type: ignore[arg-type]
    films = caches.FilmCache(out, normalise_index(read_table(index)), settings)
    _say_where_space_is_short(films.folder, films.n_bytes)
    with progress("films") as report:
        summary = build_cache(
            films,
            workers=workers,
            on_unreadable=on_unreadable,
            progress=report,
            limits=ReaderLimits(reader_timeout, reader_memory),
        )
    if json:
        emit({**asdict(summary), "unreadable": dict(summary.unreadable), "out": films.folder})
        return
    rows = [
        ("films", summary.n_films),
        ("read now", summary.n_made),
        ("kept from before", summary.n_kept),
        ("damaged or changed blocks made again", summary.n_rebuilt_blocks),
        ("unreadable", len(summary.unreadable)),
        ("MiB", round(summary.n_bytes / 2**20)),
    ]
    show("Cache", ("what", "count"), rows)
    show_unreadable(summary.unreadable)
    say(f"Cache: {films.folder}")
    say(f"Train from it: monai-cxr train ... --set cache_dir={out} --set image_size={size}")


def _say_where_space_is_short(folder: Path, n_bytes: int) -> None:
    import shutil

    here = next(
        parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir()
    )
    free = shutil.disk_usage(here).free
    made = sum(path.stat().st_blocks * 512 for path in folder.glob("films.npy"))
    if n_bytes - made > free:
        note(
            f"The cache needs {(n_bytes - made) / 2**20:.0f} MiB more and {free / 2**20:.0f} MiB "
            "are free: it will stop when the disk is full, and go on when you repeat the command."
        )
