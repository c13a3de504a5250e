"""A ledger, a listener and a real PACS for the tests of this folder."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from dicom_peers import OrthancServer, free_port, running_orthanc

from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.arriving.storage_scp import StorageScp
from monai_cxr.screening.ledger import Ledger, open_ledger
from monai_cxr.screening.network.dicom_network import AllowedSender
from monai_cxr.screening.settings.listener import ListenerSettings


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """pynetdicom leaves the socket of a broken connection to the garbage collector."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(
                pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
            )


@pytest.fixture(autouse=True)
def _collect_sockets() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


SENDER = AllowedSender("CXRSCU", "127.0.0.1")


@dataclass
class Intake:
    """Ledger and spool of one test, and listeners on them."""

    ledger: Ledger
    spool: Spool

    def listener(self, **settings: object) -> StorageScp:
        settings = {"port": 0, "senders": (SENDER,), **settings}
        return StorageScp(replace(ListenerSettings(), **settings), self.ledger, self.spool)


@pytest.fixture
def taken(tmp_path: Path) -> Iterator[Intake]:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield Intake(ledger, Spool(tmp_path / "spool", reserve_bytes=0))
    ledger.close()


@pytest.fixture(scope="session")
def move_port() -> int:
    """Where Orthanc's C-MOVE destination CXRMOVE listens, when a test lets it."""
    return free_port()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory, move_port: int) -> Iterator[OrthancServer]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), move_port=move_port) as server:
        yield server
