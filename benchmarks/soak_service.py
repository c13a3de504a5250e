"""The service of the soak: its films, its processes, and who sends to it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid
from pynetdicom import AE, evt

from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.screening.ledger import Ledger, counts
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
}


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
    """

    folder: Path
    settings: Path
    ledger: Ledger
    port: int
    films: list[Path]
    chance: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    n_restarts: int = 0
    n_delivered: int = 0
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
        with (self.folder / f"{name}.log").open("ab") as stream:
            self.processes[name] = subprocess.Popen(
                [*command, "--settings", str(self.settings), *only], stdout=stream, stderr=stream
            )

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
        """(received, results, delivered)."""
        numbers = counts.count(self.ledger)
        self.n_delivered = sum(n for key, n in numbers.deliveries.items() if key[2] == "delivered")
        return sum(numbers.films.values()), numbers.n_results, self.n_delivered


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
        dataset.PatientName, dataset.PatientID = f"{SECRET}^{number}", f"{SECRET}-{number}"
        path = folder / "films" / f"{number:06d}.dcm"
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path)
        films.append(path)
    return films


def settings_file(folder: Path, bundle: Path, ledger: str, port: int, pacs_port: int) -> Path:
    path = folder / "screening.toml"
    path.write_text(
        f'[ledger]\nurl = "{ledger}"\n[spool]\nfolder = "disk/spool"\nreserve_gib = 0\n'
        f'[model]\nbundle = "{bundle.absolute()}"\ndevice = "cpu"\n[health]\nport = 0\n'
        f'[listener]\nport = {port}\nsenders = [{{ ae_title = "SOAK", host = "127.0.0.1" }}]\n'
        '[[destinations]]\nname = "pacs"\nkind = "pacs"\nae_title = "ORTHANC"\n'
        f'host = "127.0.0.1"\nport = {pacs_port}\n'
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
        while number > soak.n_delivered + window and not soak.is_over.wait(0.05):
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
