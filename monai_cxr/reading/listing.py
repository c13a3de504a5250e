"""Archive source: the files of a folder tree or a list, one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.reading.plain_images import is_nifti, is_plain_image
from monai_cxr.tables import read_table, require_columns

_NO_FILMS = frozenset(
    [
        ".csv",
        ".tsv",
        ".txt",
        ".json",
        ".xml",
        ".html",
        ".htm",
        ".md",
        ".log",
        ".pdf",
        ".parquet",
        ".xlsx",
        ".xls",
        ".docx",
        ".zip",
        ".tar",
        ".py",
        ".ipynb",
        ".sqlite",
        ".yaml",
        ".yml",
        ".toml",
        ".pt",
        ".onnx",
        ".mp4",
        ".gif",
        ".svg",
    ]
)
_TABLES = (".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of an archive.

    Attributes:
        path: Where it lies.
        name: Its path within the archive, with slashes.
    """

    path: Path
    name: str


def archive_files(source: Path, *, excluded: Sequence[Path] = ()) -> Iterator[ArchiveFile]:
    """The files of an archive that may be films, in an order that does not change.

    Args:
        source: A folder, searched with its subfolders; a text file with one path a line; a table
            with a column ``path``; or one film. Relative paths are relative to the list.
        excluded: Folders that are left out.

    Raises:
        InvalidTable: If the source does not exist.
        SettingsError: If it is neither of these.
    """
    if source.is_dir():
        yield from _walk(source.absolute(), [folder.absolute() for folder in excluded])
    elif source.suffix in _TABLES and source.is_file():
        table = read_table(source)
        require_columns(table, ("path",), what="list")
        yield from _listed(source, (str(path) for path in table["path"]))
    elif source.is_file():
        with source.open("rb") as stream:
            beginning = stream.read(1024)
        if is_dicom(beginning) or is_plain_image(beginning) or is_nifti(beginning):
            yield ArchiveFile(source.absolute(), source.name)
        else:
            yield from _listed(source, _lines(source))
    else:
        raise InvalidTable(
            f"The source '{source.name}' does not exist. Name a folder, a list of paths or a film.",
            reason="missing_file",
        )


def count_files(source: Path, *, excluded: Sequence[Path] = ()) -> int:
    """How many there are."""
    return sum(1 for _ in archive_files(source, excluded=excluded))


def _walk(root: Path, excluded: Sequence[Path]) -> Iterator[ArchiveFile]:
    for folder, subfolders, names in os.walk(root):
        here = Path(folder)
        subfolders[:] = sorted(
            name for name in subfolders if name[0] != "." and here / name not in excluded
        )
        for name in sorted(names):
            path = here / name
            if name[0] != "." and path.suffix.lower() not in _NO_FILMS and path.is_file():
                yield ArchiveFile(path, path.relative_to(root).as_posix())


def _lines(source: Path) -> Iterator[str]:
    try:
        with source.open(encoding="utf-8-sig") as stream:
            for line in stream:
                text = line.strip()
                if text and not text.startswith("#"):
                    yield text
    except UnicodeDecodeError:
        raise SettingsError(
            f"'{source.name}' is neither a film nor a text file with one path a line (UTF-8)."
        ) from None


def _listed(source: Path, names: Iterator[str]) -> Iterator[ArchiveFile]:
    folder = source.absolute().parent
    for name in names:
        yield ArchiveFile(folder / name, name)
