"""Soak: films through listener, pull, workers and delivery while all of them are killed, and more.

    python benchmarks/soak_screening.py --bundle demo/bundle --films 2000 --kills 50

Listener, pull, two workers and delivery are processes of their own (`monai-cxr screen run --only`)
on one PostgreSQL ledger. Four films of five come by C-STORE. Every fifth is pulled from a DICOMweb
service that answers wrongly most of the time, until two thirds of the work are done:

| what is asked | what may be answered |
|---|---|
| QIDO-RS | pages of 5 whatever was asked for; `offset` ignored; null, a number, a string, HTML |
| | lists of lists, values that are no lists, JSON cut short, 100,000 brackets, no UTF-8 |
| WADO-RS | 404, 406, 500, 301, 204; HTML; a part that is no DICOM; no part; no boundary |
| | a connection that is cut, or silent, in the middle |
| STOW-RS | lists, null, numbers, text, HTML, nothing; failures with two reasons or in words; 301, |
| | 409, 418: each before the object was stored, or after |
| all | what `tests/support/odd_wire.py` holds: odd forms; cut, empty, no HTTP, rings of redirects |

Report and heat map (`sr`, `sc`, `seg`) go to two Orthancs, by C-STORE and by STOW-RS; the second is
reached through the same service, which passes on what it likes. A process is killed with SIGKILL at
random instants while there is work for it and started again, as systemd would. Meanwhile the first
Orthanc is stopped and started, the spool's disk (a small tmpfs) is filled up, the clock of a
process jumps by days, an hour back or ten years, and the database is restarted, once orderly and
once as by a crash. At the end both archives must hold the same objects, exactly one report of each
film among them, each under the film's patient; the ledger one result per film and one delivery an
object; a film that the model refuses is in quarantine and nowhere else; the audit trail must be
intact, no process may have ended but by a kill, and no log may hold a patient. Prints one JSON
object; exit status 1 if anything was lost, doubled, misfiled or told.

Needs root, and Debian's orthanc, orthanc-dicomweb and postgresql; without PostgreSQL the ledger is
SQLite. The number of seed films bounds the drawing; the others are copies with UIDs of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pydicom
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from dicom_peers import ORTHANC_USER, OrthancServer, free_port, running_orthanc
from hostile_dicomweb import HostileDicomWeb, running
from postgres_peer import is_installed, running_postgres
from soak_faults import disturb, misbehave, small_disk, wait_until
from soak_service import OBJECTS, PARTS, SECRET, Soak, draw, send_all, settings_file

from monai_cxr.screening.ledger import Ledger, audit, open_ledger, quarantine
from monai_cxr.screening.ledger.schema import audit as audit_table
from monai_cxr.screening.ledger.watching import counts

SENDERS = 3


def held_by(orthanc: OrthancServer, patients: dict[str, str]) -> tuple[Counter[str], set[str], int]:
    """(reports by the film they cite, SOP Instance UIDs of all objects, misfiled objects)."""
    cited, uids, n_misfiled = Counter[str](), set[str](), 0
    for name in orthanc.get("/instances"):
        made = orthanc.get(f"/instances/{name}/tags?simplify")
        uids.add(made["SOPInstanceUID"])
        n_misfiled += patients.get(made["StudyInstanceUID"]) != made["PatientID"]
        if made["Modality"] == "SR":
            (study,) = made["CurrentRequestedProcedureEvidenceSequence"]
            for series in study["ReferencedSeriesSequence"]:
                cited.update(i["ReferencedSOPInstanceUID"] for i in series["ReferencedSOPSequence"])
    return cited, uids, n_misfiled


def verdict(soak: Soak, archives: Sequence[OrthancServer]) -> dict[str, object]:
    headers = [pydicom.dcmread(film, stop_before_pixels=True) for film in soak.films]
    patients = {str(h.StudyInstanceUID): str(h.PatientID) for h in headers}
    (cited, objects, misfiled), *others = [held_by(one, patients) for one in archives]
    n_misfiled = misfiled + sum(other[2] for other in others)
    are_same = all(other[:2] == (cited, objects) for other in others)
    uids = {str(header.SOPInstanceUID) for header in headers}
    refused = {one.sop_uid: one.reason for one in quarantine.entries(soak.ledger, limit=len(uids))}
    numbers, trail = counts.count(soak.ledger), audit.verify(soak.ledger)
    finished, delivered = (_times(soak.ledger, action) for action in ("finished", "delivered"))
    logs = "".join(path.read_text(errors="replace") for path in soak.folder.glob("*.log"))
    lost, doubled = uids - set(cited) - set(refused), sum(n > 1 for n in cited.values())
    n = len(uids - set(refused))
    fine = (
        numbers.n_results == numbers.films["completed"] == len(cited) == n
        and sum(numbers.films.values()) == len(uids) == n + len(refused)
        and (len(lost), doubled) == (0, 0)
        and (finished, delivered) == ({1: n}, {len(OBJECTS) * len(archives): n})
        and not cited.keys() & refused.keys()
        and not {"not_retrieved", "too_many_attempts", "reader_crashed"} & set(refused.values())
        and are_same
        and not n_misfiled
        and not soak.n_restarts
        and trail.is_intact
        and SECRET not in logs
    )
    return {
        "films": len(uids),
        "kills": sum(soak.kills.values()),
        "kills_by_part": dict(soak.kills),
        "c_store_answers": dict(soak.answers),
        "duplicates_received": numbers.arrivals.get("duplicate", 0),
        "refused_by_the_model": dict(Counter(refused.values())),
        "films_finished_once": finished.get(1, 0),
        "films_delivered_once_each": delivered.get(len(OBJECTS) * len(archives), 0),
        "reports_in_each_archive": sum(cited.values()),
        "objects_in_each_archive": len(objects),
        "archives_hold_the_same": are_same,
        "objects_under_another_name": n_misfiled,
        "films_lost": len(lost),
        "films_reported_twice": doubled,
        "repeated_attempts": numbers.n_retries,
        "ended_by_themselves": soak.n_restarts,
        "audit_entries": trail.n_entries,
        "audit_intact": trail.is_intact,
        "patients_in_logs": SECRET in logs,
        "nothing_lost_nothing_twice": fine,
    }


def _as_held(films: Sequence[Path]) -> list[tuple[str, str, str, bytes]]:
    """Films as the hostile service holds them."""
    held = []
    for path in films:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        uids = header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
        held.append((*map(str, uids), path.read_bytes()))
    return held


def _times(ledger: Ledger, action: str) -> dict[int, int]:
    """How many films the audit trail names so and so often with an action."""
    times = (
        select(func.count().label("n"))
        .where(audit_table.c.action == action)
        .group_by(audit_table.c.subject)
    )
    with ledger.read() as connection:
        return dict(Counter(connection.execute(times).scalars()))


def _is_missing(soak: Soak, limit: int) -> bool:
    """Whether the quarantine names an image or a study that could not be retrieved."""
    held = quarantine.entries(soak.ledger, limit=limit)
    return any(one.reason == quarantine.NOT_RETRIEVED for one in held)


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

        (folder / "second").mkdir()
        second = stack.enter_context(running_orthanc(folder / "second", move_port=free_port()))
        n_sent = n_films - n_films // 5
        service = HostileDicomWeb(_as_held(films[n_sent:]), behind=second.dicom_web)
        said = Counter[str]()
        hostile = stack.enter_context(running(service))
        port, (user, password) = free_port(), ORTHANC_USER
        settings = settings_file(
            folder, bundle, url, port,
            pacs_port=server.dicom_port, user=user, hostile=hostile,
        )  # fmt: skip
        ledger = stack.enter_context(open_ledger(url))
        soak = Soak(folder, settings, ledger, port, films, random.Random(seed), password)
        begin, numbers = time.monotonic(), iter(range(n_sent))
        senders = [threading.Thread(target=send_all, args=(soak, numbers)) for _ in range(SENDERS)]
        senders.append(threading.Thread(target=misbehave, args=(soak, service, said)))
        try:
            for name in PARTS:
                soak.start(name)
            for sender in senders:
                sender.start()
            seen = disturb(soak, n_kills, orthanc_stopped, postgres)
            wait_until(soak, lambda: soak.progress() == (n_films,) * 3)
            wait_until(soak, lambda: not _is_missing(soak, n_films))  # the next poll tries again
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
        return {"ledger": kind, **verdict(soak, (server, second)), **seen, "seconds": seconds,
                "odd_answers": dict(sorted(said.items())),
                "asked": dict(service.requests)}  # fmt: skip


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
