"""Soak: films through listener, workers and delivery while all of them are killed, and more.

    python benchmarks/soak_screening.py --bundle demo/bundle --films 2000 --kills 50

Listener, two workers and delivery are processes of their own (`monai-cxr screen run --only ...`) on
one PostgreSQL ledger. Films come by C-STORE, reports go by C-STORE to Orthanc. A process is killed
with SIGKILL at random instants while there is work for it and started again, as systemd would.
Meanwhile Orthanc is stopped and started, the spool's disk (a small tmpfs) is filled up, and the
database is restarted, once orderly and once as by a crash. At the end Orthanc must hold exactly one
report of each film, the ledger one result and one delivery, the audit trail must be intact, and no
log may hold a patient. Prints one JSON object; exit status 1 if anything was lost, doubled or told.

Needs root, and Debian's orthanc, orthanc-dicomweb and postgresql; without PostgreSQL the ledger is
SQLite. The number of seed films bounds the drawing; the others are copies with UIDs of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dicom_peers import OrthancServer, free_port, running_orthanc
from postgres_peer import PostgresServer, is_installed, running_postgres

from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.screening.dicom_network import send_at_once
from monai_cxr.screening.ledger import Ledger, audit, counts, open_ledger
from monai_cxr.screening.ledger.schema import audit as audit_table

SEED_FILMS = 24
WINDOW = 100
"""Films that may be on their way, at most an eighth of all: every part has work to the end."""

SENDERS = 3
STUCK_SECONDS = 3_600.0
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


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs that can be filled up without harm to anybody."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "cxr-soak", str(folder)], check=True
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(soak: Soak) -> None:
    """Leave the disk full until a sender was told 0xA700."""
    filler, before = soak.folder / "disk" / "filler", soak.answers["0xA700"]
    with contextlib.suppress(OSError), filler.open("wb") as stream:
        while True:
            stream.write(bytes(2**16))
            stream.flush()
    n_films = len(soak.films)
    wait_until(soak, lambda: soak.answers["0xA700"] > before or soak.progress()[0] == n_films)
    filler.unlink()


def wait_until(soak: Soak, condition: Callable[[], bool]) -> None:
    """Wait, keeping everything running; films and reports must go on moving."""
    before, since = None, time.monotonic()
    while not condition():
        soak.tend()
        now = soak.progress()
        if now != before:
            before, since = now, time.monotonic()
        if time.monotonic() - since > STUCK_SECONDS:
            raise TimeoutError(f"nothing moved for {STUCK_SECONDS:.0f} s at {before}")
        time.sleep(0.2)


def disturb(
    soak: Soak,
    n_kills: int,
    orthanc: Callable[[], contextlib.AbstractContextManager[None]],
    postgres: PostgresServer | None,
) -> dict[str, int]:
    """Kill, stop, fill and restart, spread over the whole of the work; gives how often."""
    longest = 1.0 if soak.is_short else 10.0

    def pause_orthanc() -> None:
        with orthanc():
            time.sleep(soak.chance.uniform(0, longest))
            soak.kill("deliver")

    def restart(number: int) -> None:
        if postgres is not None:
            postgres.stop(number)
            time.sleep(soak.chance.uniform(0, longest / 2))
            postgres.start()

    events: list[tuple[float, str, Callable[[], object]]] = [
        (0.15, "orthanc_stops", pause_orthanc),
        (0.30, "full_disks", lambda: fill_up(soak)),
        (0.45, "database_restarts", lambda: restart(signal.SIGQUIT)),
    ]
    if not soak.is_short:
        events += [
            (0.60, "orthanc_stops", pause_orthanc),
            (0.75, "database_restarts", lambda: restart(signal.SIGINT)),
            (0.80, "full_disks", lambda: fill_up(soak)),
        ]
    events += [((k + 0.5) / n_kills, "", lambda: kill_any(soak)) for k in range(n_kills)]
    total, seen = 3 * len(soak.films), Counter[str]()
    for share, name, act in sorted(events, key=lambda event: event[0]):
        wait_until(soak, lambda share=share: sum(soak.progress()) >= 0.98 * share * total)
        time.sleep(soak.chance.uniform(0, 0.5))
        act()
        if name:
            seen[name] += 1
        print(f"{share:.2f} {name or 'kill'} at {soak.progress()}", file=sys.stderr, flush=True)
    if postgres is None:
        del seen["database_restarts"]
    return dict(seen)


def kill_any(soak: Soak) -> None:
    """Kill a process that has work; the ones killed less often are likelier."""
    received, results, delivered = soak.progress()
    done = {"listen": received, "work-1": results, "work-2": results, "deliver": delivered}
    busy = [name for name in PARTS if done[name] < len(soak.films)] or ["deliver"]
    most = min(soak.kills[name] for name in busy) + (0 if soak.is_short else 2)
    soak.kill(soak.chance.choice([name for name in busy if soak.kills[name] <= most]))


def verdict(soak: Soak, orthanc: OrthancServer) -> dict[str, object]:
    cited: Counter[str] = Counter()
    for name in orthanc.get("/instances"):
        report = orthanc.get(f"/instances/{name}/tags?simplify")
        (study,) = report["CurrentRequestedProcedureEvidenceSequence"]
        for series in study["ReferencedSeriesSequence"]:
            cited.update(i["ReferencedSOPInstanceUID"] for i in series["ReferencedSOPSequence"])
    uids = {
        str(pydicom.dcmread(film, stop_before_pixels=True).SOPInstanceUID) for film in soak.films
    }
    numbers, trail = counts.count(soak.ledger), audit.verify(soak.ledger)
    finished, delivered = (_times(soak.ledger, action) for action in ("finished", "delivered"))
    logs = "".join(path.read_text(errors="replace") for path in soak.folder.glob("*.log"))
    lost, doubled = len(uids - set(cited)), sum(n > 1 for n in cited.values())
    n = len(uids)
    fine = (
        numbers.n_results == numbers.films["completed"] == n
        and (lost, doubled, len(cited)) == (0, 0, n)
        and finished == delivered == {1: n}
        and trail.is_intact
        and SECRET not in logs
    )
    return {
        "films": n,
        "kills": sum(soak.kills.values()),
        "kills_by_part": dict(soak.kills),
        "c_store_answers": dict(soak.answers),
        "duplicates_received": numbers.arrivals.get("duplicate", 0),
        "results": numbers.n_results,
        "films_finished_once": finished.get(1, 0),
        "reports_delivered_once": delivered.get(1, 0),
        "reports_in_orthanc": sum(cited.values()),
        "films_without_report": lost,
        "films_with_several_reports": doubled,
        "quarantined": sum(numbers.quarantine.values()),
        "repeated_attempts": numbers.n_retries,
        "ended_by_themselves_and_started_again": soak.n_restarts,
        "audit_entries": trail.n_entries,
        "audit_intact": trail.is_intact,
        "patients_in_logs": SECRET in logs,
        "nothing_lost_nothing_twice": fine,
    }


def _times(ledger: Ledger, action: str) -> dict[int, int]:
    """How many films the audit trail names so and so often with an action."""
    times = (
        select(func.count().label("n"))
        .where(audit_table.c.action == action)
        .group_by(audit_table.c.subject)
    )
    with ledger.read() as connection:
        return dict(Counter(connection.execute(times).scalars()))


def run(folder: Path, bundle: Path, n_films: int, n_kills: int, seed: int) -> dict[str, object]:
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(running_postgres()) if is_installed() else None
        url = postgres.new_ledger() if postgres else f"sqlite:///{folder}/ledger.sqlite"
        films = draw(folder, n_films)
        size = sum(film.stat().st_size for film in films) // 2**20
        stack.enter_context(small_disk(folder / "disk", size + 16))
        (folder / "pacs").mkdir()
        held = stack.enter_context(contextlib.ExitStack())
        start_orthanc = {"move_port": free_port()}
        server = held.enter_context(running_orthanc(folder / "pacs", **start_orthanc))

        @contextlib.contextmanager
        def orthanc_stopped() -> Iterator[None]:
            held.close()
            yield
            held.enter_context(running_orthanc(folder / "pacs", again=server, **start_orthanc))

        port = free_port()
        settings = settings_file(folder, bundle, url, port, server.dicom_port)
        ledger = stack.enter_context(open_ledger(url))
        soak = Soak(folder, settings, ledger, port, films, random.Random(seed))
        begin, numbers = time.monotonic(), iter(range(n_films))
        senders = [threading.Thread(target=send_all, args=(soak, numbers)) for _ in range(SENDERS)]
        try:
            for name in PARTS:
                soak.start(name)
            for sender in senders:
                sender.start()
            seen = disturb(soak, n_kills, orthanc_stopped, postgres)
            wait_until(soak, lambda: soak.progress() == (n_films,) * 3)
        finally:
            soak.is_over.set()
            for process in soak.processes.values():
                process.terminate()
            for process in soak.processes.values():
                process.wait()
        for sender in senders:
            sender.join()
        seconds = round(time.monotonic() - begin, 1)
        kind = "PostgreSQL" if postgres else "SQLite"
        return {"ledger": kind, **verdict(soak, server), **seen, "seconds": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--films", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep files and logs here; must not exist")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the small disk is taken down
    with contextlib.ExitStack() as stack:
        folder = arguments.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cxr-soak-")))
        else:
            folder.mkdir(parents=True)
        found = run(
            folder.absolute(), arguments.bundle, arguments.films, arguments.kills, arguments.seed
        )
    print(json.dumps(found, indent=2))
    return 0 if found["nothing_lost_nothing_twice"] else 1


if __name__ == "__main__":
    sys.exit(main())
