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
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pydicom
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from dicom_peers import OrthancServer, free_port, running_orthanc
from postgres_peer import is_installed, running_postgres
from soak_faults import disturb, small_disk, wait_until
from soak_service import PARTS, SECRET, Soak, draw, send_all, settings_file

from monai_cxr.screening.ledger import Ledger, audit, counts, open_ledger
from monai_cxr.screening.ledger.schema import audit as audit_table

SENDERS = 3


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
