"""Listing: which files may be films, for every verb that is given a folder, a list or an archive.

A name that says film is believed, and the film may turn out to be none. Every other name says
nothing (media name films by number or UID, PS3.10 8.2), so the content is looked at: a film has the
beginning of one, under whatever suffix; what has the beginning of nothing known may be a damaged
one, and is read and counted as refused. Tables, documents, archives and programs are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_cxr.dicom.header.parsing import is_dicom
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.folders import files_below, path_text
from monai_cxr.reading.plain_images import is_nifti, is_plain_image
from monai_cxr.tables import read_table, require_columns

FILM_SUFFIXES = frozenset(
    {".dcm", ".dicom", ".dic", ".ima", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".nii"}
)
"""Suffixes that say film; ``.nii.gz`` as well."""

_NO_FILMS = frozenset({
    ".csv", ".tsv", ".txt", ".json", ".xml", ".html", ".htm", ".md", ".log", ".pdf", ".parquet",
    ".xlsx", ".xls", ".docx", ".zip", ".tar", ".py", ".ipynb", ".sqlite", ".yaml", ".yml",
    ".toml", ".pt", ".onnx", ".mp4", ".gif", ".svg",
})  # fmt: skip
_TABLES = (".parquet", ".csv")
_BEGINNING = 1024
_OTHER_CONTENT = (
    b"%PDF", b"PK\x03\x04", b"PAR1", b"SQLite format 3\0", b"\x7fELF", b"GIF8", b"7z\xbc\xaf",
    b"Rar!", b"\x93NUMPY", b"\x89HDF", b"\xd0\xcf\x11\xe0", b"MZ", b"BZh", b"\xfd7zXZ\0",
    b"\xca\xfe\xba\xbe", b"RIFF", b"ID3", b"OggS", b"\0\x05\x16\x07", b"\0\0\0\x01Bud1",
)  # fmt: skip
"""Beginnings of documents, archives, tables and programs."""


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """A file of an archive.

    Attributes:
        path: Where it is.
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
        root = source.absolute()
        for path in film_paths(root, excluded=[folder.absolute() for folder in excluded]):
            yield ArchiveFile(path, path_text(path.relative_to(root).as_posix()))
    elif source.suffix in _TABLES and source.is_file():
        table = read_table(source)
        require_columns(table, ("path",), what="list")
        yield from _listed(source, (str(path) for path in table["path"]))
    elif source.is_file():
        if is_film(_beginning(source)):
            yield ArchiveFile(source.absolute(), path_text(source.name))
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


def film_paths(folder: Path, *, excluded: Collection[Path] = ()) -> Iterator[Path]:
    """Files below a folder that may be films, see the module; links are followed.

    Args:
        folder: Searched with its subfolders.
        excluded: Absolute paths of subfolders that are left out.
    """
    return (path for path in files_below(folder, excluded=excluded) if may_be_film(path))


def may_be_film(path: Path) -> bool:
    """Whether a file is read as a film: by its name, or its beginning where that says nothing."""
    name = path.name.lower()
    suffix = path.suffix.lower()
    if suffix in FILM_SUFFIXES or name.endswith(".nii.gz"):
        return True
    beginning = _beginning(path)
    if is_film(beginning):
        return not (name.endswith((".tar.gz", ".tgz")) or Path(path.stem).suffix in _NO_FILMS)
    return suffix not in _NO_FILMS and not beginning.startswith(_OTHER_CONTENT)


def is_film(beginning: bytes) -> bool:
    """Whether content begins as a DICOM, PNG, JPEG, TIFF or NIfTI file does."""
    return is_dicom(beginning) or is_plain_image(beginning) or is_nifti(beginning)


def _beginning(path: Path) -> bytes:
    """First bytes; none where the file cannot be opened, which reading it says."""
    try:
        with path.open("rb") as stream:
            return stream.read(_BEGINNING)
    except OSError:
        return b""


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
