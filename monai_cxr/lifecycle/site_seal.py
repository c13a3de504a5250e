"""Site seal: the films and labels of an acceptance test, fixed before any score of them is seen."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from monai_cxr.atomic import write_json
from monai_cxr.bundle.digests import file_digest
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.lifecycle.films import digest_of_films, film_digests
from monai_cxr.tables import read_table

_FORMAT = "monai_cxr site seal"


@dataclass(frozen=True, slots=True)
class SiteSeal:
    """What a seal fixes.

    Attributes:
        index: SHA-256 of the index with its labels, hexadecimal.
        films: SHA-256 over the films' bytes; empty where the index names no films.
        at: Time of the seal, ISO 8601, UTC.
    """

    index: str
    films: str
    at: str


def site_seal_path(index: Path) -> Path:
    """Where the seal of an index lies: beside it."""
    return index.with_name(f"{index.stem}.seal.json")


def seal_site(index: Path) -> SiteSeal:
    """Fix an index and its films by their digests. Sealing the same ones again changes nothing.

    Raises:
        InvalidTable: If the index or a film does not exist.
        SettingsError: If it was sealed with other content.
    """
    if (sealed := check_site(index)) is not None:
        return sealed
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    seal = SiteSeal(*_digests(index), now)
    write_json(site_seal_path(index), {"format": _FORMAT, **asdict(seal)})
    return seal


def check_site(index: Path) -> SiteSeal | None:
    """The seal of an index that is as it was sealed; None for one that was never sealed.

    Raises:
        InvalidTable: If the index or a film does not exist.
        SettingsError: If the seal is damaged, or the index or a film changed since.
    """
    path = site_seal_path(index)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        seal = SiteSeal(str(content["index"]), str(content["films"]), str(content["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"The seal '{path.name}' is damaged. Restore it, or collect another set of films."
        ) from None
    found = _digests(index)
    for what, now, then in zip(
        ("index", "set of films"), found, (seal.index, seal.films), strict=True
    ):
        if now != then:
            raise SettingsError(
                f"The {what} of '{index.name}' was changed since it was sealed (expected SHA-256 "
                f"{then[:12]}...). Restore it, or judge another set under a seal of its own."
            )
    return seal


def _digests(index: Path) -> tuple[str, str]:
    if not index.is_file():
        raise InvalidTable(
            f"The site's index '{index.name}' does not exist. Make it with monai-cxr index.",
            reason="missing_file",
        )
    table = read_table(index)
    films = digest_of_films(film_digests(table)) if "path" in table else ""
    return file_digest(index), films
