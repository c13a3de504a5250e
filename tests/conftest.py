"""Shared fixtures: real films where they are present, one small archive, one run, one bundle."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from light_network import LIGHT_NETWORK

from monai_cxr.data.folder import index_folder
from monai_cxr.data.splits import split_by_patient
from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.tables import read_table, write_table

# As the command line does: beside other work, waiting threads must not spin for long.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# A slow machine is not a wrong number, and the same examples everywhere make no flaky test.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = "chest_xray_classification"
RUN_SETTINGS = {
    **{"image_size": 32, "batch_size": 8, "max_epochs": 4, "num_workers": 0},
    "network_def": LIGHT_NETWORK,
}


# Files of tests that wait for servers, browsers and killed processes. Processes that share the
# tests begin with them, so that none is left alone with a long file at the end.
WAITING = (
    *("screening/archive", "screening/service", "viewer/test_desk", "viewer/test_sign_in"),
    *("training/test_interruption", "pacs", "monai_zoo", "test_demo", "test_tutorials"),
    *("lifecycle", "end_to_end", "viewer"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, the others in their order (``--no-loadscope-reorder`` keeps it)."""

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(ROOT / "tests").as_posix()
        return next((i for i, start in enumerate(WAITING) if name.startswith(start)), len(WAITING))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Garbage is looked for among the objects of tests, not over and over in every import's."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Indexed:
    """A phantom archive: the folder of its films and its index, split by patient."""

    films: Path
    path: Path

    @property
    def table(self) -> pd.DataFrame:
        return read_table(self.path)

    def rows(self, split: str) -> pd.DataFrame:
        table = self.table
        return table[table["split"] == split].reset_index(drop=True)


@pytest.fixture(scope="session")
def data_directory() -> Path:
    """Real films and predictions, which are not part of the repository."""
    path = Path(os.environ.get("MONAI_CXR_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not path.is_dir():
        pytest.skip("The real data are not here: set MONAI_CXR_DATA to their folder.")
    return path


@pytest.fixture(scope="session")
def phantom_index(tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    """About 40 patients with small films; every split has some of them."""
    directory = tmp_path_factory.mktemp("phantom")
    settings = PhantomSettings(n_patients=40, seed=7, size=128, mean_films_per_patient=1.2)
    labels = write_dicom_archive(directory / "films", settings, workers=1)
    index, _ = index_folder(directory / "films", labels)
    path = directory / "index.parquet"
    write_table(split_by_patient(index, (0.5, 0.3, 0.2), seed=0), path)
    return Indexed(directory / "films", path)


@pytest.fixture(scope="session")
def run_settings() -> dict[str, object]:
    """The settings of ``trained_run``."""
    return dict(RUN_SETTINGS)


@pytest.fixture(scope="session")
def trained_run(phantom_index: Indexed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few epochs by MONAI's own command. Read it, do not change it."""
    from monai_cxr.training.run import workflow

    run = tmp_path_factory.mktemp("trained") / "run"
    workflow.train(workflow.prepare_run(BUNDLE, phantom_index.path, run, RUN_SETTINGS))
    return run


@pytest.fixture(scope="session")
def packaged_bundle(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of that run, calibrated. Read it, do not change it."""
    from monai_cxr.bundle.packaging import package

    bundle = tmp_path_factory.mktemp("packaged") / "phantom_bundle"
    package(trained_run, bundle)
    return bundle
