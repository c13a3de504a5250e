"""Named ledger: the ledger of a service by its TOML, its file or its address; never made here."""

from __future__ import annotations

from pathlib import Path

from monai_cxr.errors import SettingsError
from monai_cxr.screening.ledger import Ledger, open_ledger
from monai_cxr.screening.settings.checks import read_settings


def open_named(source: str) -> Ledger:
    """Open a ledger that exists.

    Args:
        source: The service's TOML, a SQLite file, or ``postgresql://...``.

    Raises:
        SettingsError: If there is none.
    """
    address = read_settings(Path(source)).ledger.url if source.endswith(".toml") else source
    file = Path(address.removeprefix("sqlite:///"))
    if not address.startswith("postgresql") and not file.is_file():
        raise SettingsError(f"There is no ledger '{file.name}' here.")
    return open_ledger(address)
