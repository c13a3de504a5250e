"""Launch: from the options of the command line to a running viewer."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from clinical_app import server
from clinical_app.service import UPLOADS_ONLY, Service
from clinical_app.settings import ViewerSettings, as_base_path, read_settings
from monai_cxr.bundle.config import find_bundle
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import SettingsError
from monai_cxr.labels.audit_folder import read_audit
from monai_cxr.lifecycle.registry import REGISTRY_NAME
from monai_cxr.reading.film_readers import bound_shared_readers
from monai_cxr.reading.reader_limits import ReaderLimits
from monai_cxr.review.cases import Case, CaseImage, CaseSource, QueueLine, Stray
from monai_cxr.review.folder import FolderCases
from monai_cxr.review.labelling.label_audit import AuditQuestions
from monai_cxr.review.local_store import LocalStore, default_path
from monai_cxr.review.performance_file import find_performance
from monai_cxr.review.stores import ReviewStore
from monai_cxr.review.watching.model_history import registry_of
from monai_cxr.screening.ledger import Ledger, open_ledger
from monai_cxr.screening.settings.checks import bundle_of, ledger_of


class NoCases:
    """A source without cases, for a viewer that shows only uploads."""

    name = UPLOADS_ONLY

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

    def retry(self, _case_id: str, *, actor: str) -> bool:
        """Nothing to try."""
        return False

    def queue(self) -> Sequence[QueueLine]:
        """Nothing waits."""
        return ()

    def strays(self) -> Sequence[Stray]:
        """None."""
        return ()


def launch(
    bundle: Path | str | None,
    *,
    files: Path | None,
    settings: Path | None,
    port: int | None,
    store: Path | None,
    headless: bool,
    say: Callable[[str], None],
    note: Callable[[str], None],
    base_path: str | None = None,
    label_audit: Path | None = None,
    registry: Path | None = None,
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
        base_path: Instead of the settings' base path.
        registry: Folder of the versions of the model, whose history is shown; by default the one
            that the bundle's path leads through, as ``registry/champion`` does.
        label_audit: Folder that ``labels audit`` wrote, whose films readers are asked about.

    Raises:
        SettingsError: If an option or setting is wrong.
        InvalidBundle: If the bundle is.
    """
    chosen = ViewerSettings()
    content: dict[str, Any] = {}
    if settings is not None:
        chosen, content = read_settings(settings)
        folder = settings.absolute().parent
        chosen = replace(chosen, ledger=chosen.ledger or ledger_of(content, folder=folder))
        bundle = bundle or bundle_of(content, folder=folder)
    if base_path is not None:
        chosen = replace(chosen, base_path=as_base_path(base_path))
    if files is not None and chosen.ledger is not None:
        raise SettingsError("Give either --files or --settings with a ledger, not both.")
    bound_shared_readers(ReaderLimits(chosen.reader_timeout_seconds, chosen.reader_memory_gib))
    if registry is not None and not (registry / REGISTRY_NAME).is_file():
        raise SettingsError(
            f"Expected --registry as a folder with {REGISTRY_NAME}, but '{registry.name}' has none."
        )
    audit = read_audit(label_audit) if label_audit is not None else None
    note("Loading the model" if bundle else "No bundle: films are shown, not read")
    model = BundleModel.load(bundle) if bundle else None
    place = find_bundle(bundle) if bundle else None
    with _opened(chosen, files, store, model) as (source, kept, secret, ledger):
        service = Service(
            source=source,
            store=kept,
            settings=chosen,
            model=model,
            bundle=place,
            performance=find_performance(place, model.identity.digest) if place and model else None,
            local_user=_user(),
            ledger=ledger,
            registry=registry or registry_of(bundle),
            label_audit=AuditQuestions(audit, secret=secret) if audit is not None else None,
        )
        server.run(service, headless=headless, say=say, port=port)


@contextmanager
def _opened(
    settings: ViewerSettings, files: Path | None, store: Path | None, model: BundleModel | None
) -> Iterator[tuple[CaseSource, ReviewStore, bytes, Ledger | None]]:
    """Cases and reviews from a ledger, a folder or uploads, and the key of names; then closed."""
    local = LocalStore(store or (Path(settings.store) if settings.store else default_path()))
    secret = local.secret("names")
    if settings.ledger is not None:
        from monai_cxr.review.ledger_cases import LedgerCases
        from monai_cxr.review.ledger_store import LedgerStore

        with open_ledger(settings.ledger) as ledger:
            yield LedgerCases(ledger, secret=secret), LedgerStore(ledger), secret, ledger
    elif files is not None:
        source = FolderCases(files, model, secret=secret).start()
        try:
            yield source, local, secret, None
        finally:
            source.stop()
    else:
        yield NoCases(), local, secret, None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "local reader"
