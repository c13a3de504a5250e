"""The service of the soak: its films, its processes, and who sends to it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid
from pynetdicom import AE, evt

from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.screening.ledger import Ledger
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.network.dicom_network import send_at_once

SEED_FILMS = 24
WINDOW = 100
"""Films that may be on their way, at most an eighth of all: every part has work to the end."""

SECRET = "SECRET"
PARTS = {
    "listen": ("listen",),
    "work-1": ("work", "housekeep"),
    "work-2": ("work",),
    "deliver": ("deliver",),
    "pull": ("pull",),
}
OBJECTS = ("sr", "sc", "seg")
DESTINATIONS = ("one", "two")
CLOCK = Path(__file__).parent / "planted_clock"
PASSWORD = "SOAK_PASSWORD"


@dataclass
class Soak:
    """Everything that runs.

    Attributes:
        folder: For all files.
        settings: TOML of the service.
        ledger: The ledger, to look at.
        port: Of the listener.
        films: Files to send.
        chance: Decides what is killed and when.
        password: Of the second archive.
    """

    folder: Path
    settings: Path
    ledger: Ledger
    port: int
    films: list[Path]
    chance: random.Random
    password: str = ""
    kills: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    n_restarts: int = 0
    n_done: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_short(self) -> bool:
        """Few films: each thing goes wrong once, and briefly."""
        return len(self.films) < 100

    def start(self, name: str) -> None:
        """Start a process."""
        command = [sys.executable, "-c", "from monai_cxr.cli import main; main()", "screen", "run"]
        only = [option for part in PARTS[name] for option in ("--only", part)]
        environment = os.environ | {
            "CXR_CLOCK": str(self.folder / f"{name}.clock"),
            "PYTHONPATH": os.pathsep.join([str(CLOCK), *filter(None, sys.path)]),
            PASSWORD: self.password,
        }
        with (self.folder / f"{name}.log").open("ab") as stream:
            self.processes[name] = subprocess.Popen(
                [*command, "--settings", str(self.settings), *only],
                stdout=stream,
                stderr=stream,
                env=environment,
            )

    def jump(self, name: str, seconds: float) -> None:
        """Let the clock of a process be wrong by so much."""
        (self.folder / f"{name}.clock").write_text(str(seconds))

    def tend(self) -> None:
        """Start again what has ended by itself, because the database was away when it began."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                self.n_restarts += 1
                self.start(name)

    def kill(self, name: str) -> None:
        """Kill a process, if it is alive, and start it again."""
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.kills[name] += 1
        self.start(name)

    def progress(self) -> tuple[int, int, int]:
        """(received, read, done with): a film that the model refuses has nothing to deliver."""
        numbers = counts.count(self.ledger)
        delivered = sum(n for key, n in numbers.deliveries.items() if key[2] == "delivered")
        refused = numbers.films.get("quarantined", 0)
        self.n_done = refused + delivered // (len(OBJECTS) * len(DESTINATIONS))
        return sum(numbers.films.values()), refused + numbers.n_results, self.n_done


def draw(folder: Path, n: int) -> list[Path]:
    settings = PhantomSettings(
        n_patients=min(n, SEED_FILMS), seed=3, size=128, mean_films_per_patient=1.0
    )
    write_dicom_archive(folder / "seed", settings, workers=1)
    seeds = sorted((folder / "seed").rglob("*.dcm"))
    films = []
    for number in range(n):
        dataset = pydicom.dcmread(seeds[number % len(seeds)])
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=[f"study-{number}"])
        dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[f"series-{number}"])
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[f"film-{number}"])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.StudyDate = f"{date.today():%Y%m%d}"
        dataset.PatientName, dataset.PatientID = f"{SECRET}^{number}", f"{SECRET}-{number}"
        path = folder / "films" / f"{number:06d}.dcm"
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path)
        films.append(path)
    return films


def settings_file(
    folder: Path, bundle: Path, ledger: str, port: int, *, pacs_port: int, user: str, hostile: str
) -> Path:
    """Films by C-STORE and from a hostile service; everything to two archives.

    Args:
        folder: Of the file.
        bundle: The model.
        ledger: Address of the ledger.
        port: Of the listener.
        pacs_port: Of the first archive.
        user: Of the second.
        hostile: Address of the service that breaks the standard, before the second archive.
    """
    objects = f"objects = {list(OBJECTS)}\ntimeout_seconds = 60\n".replace("'", '"')
    path = folder / "screening.toml"
    path.write_text(
        f'[ledger]\nurl = "{ledger}"\n[spool]\nfolder = "disk/spool"\nreserve_gib = 0\n'
        f'[model]\nbundle = "{bundle.absolute()}"\ndevice = "cpu"\n[health]\nport = 0\n'
        f'[listener]\nport = {port}\nsenders = [{{ ae_title = "SOAK", host = "127.0.0.1" }}]\n'
        '[[destinations]]\nname = "one"\nkind = "pacs"\nae_title = "ORTHANC"\n'
        f'host = "127.0.0.1"\nport = {pacs_port}\n{objects}'
        f'[[destinations]]\nname = "two"\nkind = "dicomweb"\nurl = "{hostile}"\n'
        f'username = "{user}"\npassword_env = "{PASSWORD}"\n{objects}'
        f'[[pulls]]\nname = "hostile"\nkind = "dicomweb"\nurl = "{hostile}"\nevery_seconds = 2\n'
        "days = 2\ntimeout_seconds = 1\n"
    )
    return path


def send_all(soak: Soak, numbers: Iterator[int]) -> None:
    """One association's films, one after the other; what is not answered 0x0000 is sent again."""
    entity = AE(ae_title="SOAK")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
    for path in soak.films[:SEED_FILMS]:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    handlers = [(evt.EVT_CONN_OPEN, send_at_once)]
    association, window = None, min(WINDOW, max(1, len(soak.films) // 8))
    while not soak.is_over.is_set():
        with soak.lock:
            number = next(numbers, None)
        if number is None:
            break
        while number > soak.n_done + window and not soak.is_over.wait(0.05):
            pass
        dataset, status = pydicom.dcmread(soak.films[number]), None
        while status != 0x0000 and not soak.is_over.is_set():
            if association is None or not association.is_established:
                association = entity.associate(
                    "127.0.0.1", soak.port, ae_title="MONAI_CXR", evt_handlers=handlers
                )
            if association.is_established:
                status = association.send_c_store(dataset).get("Status")
                with soak.lock:
                    soak.answers["none" if status is None else f"0x{status:04X}"] += 1
            if status != 0x0000:
                soak.is_over.wait(0.2)
    if association is not None and association.is_established:
        association.release()
