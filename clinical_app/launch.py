"""Launch: from the options of the command line to a running viewer."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from pathlib import Path

from clinical_app import server
from clinical_app.service import Service
from clinical_app.settings import ViewerSettings, read_settings
from monai_cxr.bundle.config import find_bundle
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import SettingsError
from monai_cxr.review.cases import Case, CaseImage
from monai_cxr.review.folder import FolderCases
from monai_cxr.review.local_store import LocalStore, default_path
from monai_cxr.review.performance_file import find_performance


class NoCases:
    """A source without cases, for a viewer that shows what is dropped into it."""

    name = "uploads only"

    def version(self) -> int:
        """Never changes."""
        return 0

    def cases(self) -> Sequence[Case]:
        """None."""
        return ()

    def case(self, _case_id: str) -> Case | None:
        """None."""
        return None

    def data(self, _image: CaseImage) -> bytes:
        """Nothing."""
        return b""

    def retry(self, _case_id: str) -> bool:
        """Nothing to try."""
        return False


def launch(
    bundle: str | None,
    *,
    files: Path | None,
    settings: Path | None,
    port: int | None,
    store: Path | None,
    headless: bool,
    say: Callable[[str], None],
    note: Callable[[str], None],
) -> None:
    """Serve the viewer until it is stopped.

    Args:
        bundle: Folder or name of a bundle, or None.
        files: Folder of films, or None.
        settings: TOML file, or None.
        port: Instead of the settings' port.
        store: Instead of the settings' store.
        headless: Do not open a browser.
        say: For the result: where the viewer is.
        note: For what happens on the way.

    Raises:
        SettingsError: If an option or setting is wrong.
        InvalidBundle: If the bundle is.
    """
    if files is not None and settings is not None:
        raise SettingsError("Give either --files or --settings with a ledger, not both.")
    chosen = read_settings(settings)[0] if settings is not None else ViewerSettings()
    note("Loading the model" if bundle else "No bundle: films are shown, not read")
    model = BundleModel.load(bundle) if bundle else None
    kept = LocalStore(store or (Path(chosen.store) if chosen.store else default_path()))
    source = FolderCases(files, model, secret=kept.secret("names")) if files else None
    place = find_bundle(bundle) if bundle else None
    service = Service(
        source=source or NoCases(),
        store=kept,
        settings=chosen,
        model=model,
        bundle=place,
        performance=find_performance(place, model.identity.digest) if place and model else None,
        local_user=_user(),
    )
    if source is not None:
        source.start()
    try:
        server.run(service, headless=headless, say=say, port=port)
    finally:
        if source is not None:
            source.stop()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "local reader"
