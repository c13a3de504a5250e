"""A viewer's service over a few phantom films, analysed; and an HTTP client of its routes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("streamlit", reason="The viewer needs the extra 'viewer'.")

from viewer_service import READER, analysed, make_client

from clinical_app.admission.access import Identity
from clinical_app.service import Service, configure
from clinical_app.settings import ViewerSettings
from monai_cxr.bundle.model import BundleModel
from monai_cxr.review.folder import FolderCases
from monai_cxr.review.local_store import LocalStore

N_STUDIES = 6


@pytest.fixture(autouse=True)
def own_main():
    """Streamlit puts a page in the place of ``__main__``, which later child processes would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def model(packaged_bundle) -> BundleModel:
    return BundleModel.load(packaged_bundle, device="cpu")


@pytest.fixture(scope="session")
def analysed_films(phantom_index, tmp_path_factory) -> Path:
    """Six phantom studies of six patients, an empty file, and a file that is no film."""
    folder = tmp_path_factory.mktemp("viewer_films")
    rows = phantom_index.table.drop_duplicates("patient_id").head(N_STUDIES)
    for number, path in enumerate(rows["path"]):
        shutil.copy(path, folder / f"{number}.dcm")
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "letter.dcm").write_bytes(b"This is no film. " * 50)
    return folder


@pytest.fixture(scope="session")
def cases(analysed_films, model) -> FolderCases:
    source = FolderCases(analysed_films, model, secret=b"test")
    source.update()
    return source


@pytest.fixture
def make_service(cases, model, packaged_bundle, tmp_path) -> Callable[..., Service]:
    def make(**settings: object) -> Service:
        return configure(
            Service(
                source=cases,
                store=LocalStore(tmp_path / "reviews.sqlite"),
                settings=ViewerSettings(**settings),
                model=model,
                bundle=packaged_bundle,
                local_user="anna",
            )
        )

    return make


@pytest.fixture
def service(make_service) -> Service:
    return make_service()


@pytest.fixture
def client(service):
    """A browser with a session cookie, of our routes behind their guard."""
    return make_client(service)


@pytest.fixture
def link(service) -> Callable[..., str]:
    """Links as pages give them."""

    def give(kind: str = "case", *, identity: Identity = READER, case_id: str = "") -> str:
        known = case_id or analysed(service)[0].case_id
        return service.grants.give(
            kind, known if kind == "case" else "", "session-of-anna", identity
        )

    return give
