"""Soak of a pull from a PACS that breaks the standard, page by page and object by object.

    python benchmarks/soak_hostile.py --films 300 --kills 5 --seconds 120

A DICOMweb service in this process holds films of today and answers wrongly most of the time:

| what is asked | what may be answered |
|---|---|
| QIDO-RS | pages of 25 whatever was asked for; `offset` ignored; null, a number, a string, HTML |
| | lists of lists, values that are no lists, JSON cut short, 100,000 brackets, no UTF-8 |
| WADO-RS | 404, 406, 500, 301, 204; HTML; a part that is no DICOM; no part; no boundary |
| | a connection that is cut, or silent, in the middle |

A `monai-cxr screen run --only pull` asks it every two seconds, is killed with SIGKILL and started
again, as systemd would. For the last third of the time the service behaves. At the end each film
must be in the queue exactly once, no entry of the quarantine may be open, and the process must have
ended by our kills alone. Prints one JSON object; exit status 1 otherwise.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path

import pydicom
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from hostile_dicomweb import ODD_OBJECTS, ODD_PAGES, HostileDicomWeb, running
from pacs_films import film_bytes

from monai_cxr.screening.ledger import counts, open_ledger, quarantine
from monai_cxr.screening.ledger.schema import films as films_table

SETTINGS = """
[ledger]
url = "sqlite:///ledger.sqlite"
[spool]
folder = "spool"
reserve_gib = 0
[health]
port = 0
[[pulls]]
name = "web"
kind = "dicomweb"
url = "{url}"
every_seconds = 2
days = 1
timeout_seconds = 1
modalities = ["DX"]
"""


def films_of_today(n: int) -> list[tuple[str, str, str, bytes]]:
    made = []
    for number in range(n):
        data = film_bytes(number, side=64, StudyDate=f"{date.today():%Y%m%d}")
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        uids = header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID
        made.append((*map(str, uids), data))
    return made


def misbehave(service: HostileDicomWeb, chance: random.Random, said: Counter[str]) -> None:
    """Choose what is answered for the next while."""
    objects = [*ODD_OBJECTS, "cut", "silent"]
    service.odd_page = chance.choice([*ODD_PAGES, *[""] * len(ODD_PAGES)])
    service.ignores_offset = chance.random() < 0.2
    service.most = chance.choice((25, 1_000))
    service.odd_objects = {
        film[2]: chance.choice(objects) for film in service.films if chance.random() < 0.3
    }
    said.update([service.odd_page or "well", *service.odd_objects.values()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=300)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, said = random.Random(options.seed), Counter[str]()
    service = HostileDicomWeb(films_of_today(options.films))
    kill_at = sorted(chance.uniform(0, options.seconds) for _ in range(options.kills))
    n_ended = 0
    with tempfile.TemporaryDirectory() as name, running(service) as url:
        folder = Path(name)
        (folder / "screening.toml").write_text(SETTINGS.format(url=url))
        command = [sys.executable, "-c", "from monai_cxr.cli import main; main()", "screen", "run"]
        command += [
            "--only",
            "pull",
            "--only",
            "housekeep",
            "--settings",
            str(folder / "screening.toml"),
        ]
        log = (folder / "pull.log").open("ab")

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, stderr=log, stdout=log)

        process, began = start(), time.monotonic()
        while (now := time.monotonic() - began) < options.seconds:
            if now < options.seconds * 2 / 3:
                misbehave(service, chance, said)
            else:
                service.odd_page, service.ignores_offset, service.odd_objects = "", False, {}
            if process.poll() is not None:
                n_ended += 1
                process = start()
            if kill_at and now > kill_at[0]:
                kill_at.pop(0)
                process.kill()
                process.wait()
                process = start()
            time.sleep(1.0)
        process.terminate()
        process.wait(60)
        with open_ledger(folder / "ledger.sqlite") as ledger:
            numbers = counts.count(ledger)
            open_entries = quarantine.entries(ledger)
            with ledger.read() as connection:
                n_films, n_uids = connection.execute(
                    select(func.count(), func.count(films_table.c.sop_uid.distinct()))
                ).one()
    verdict = {
        "films": options.films,
        "in_the_queue": n_films,
        "twice": n_films - n_uids,
        "ended_by_itself": n_ended,
        "kills": options.kills,
        "open_entries": len(open_entries),
        "arrivals": dict(numbers.arrivals),
        "requests": dict(service.requests),
        "odd_answers": dict(said),
    }
    print(json.dumps(verdict, indent=1))
    is_well = n_films == n_uids == options.films and not n_ended and not open_entries
    raise SystemExit(0 if is_well else 1)


if __name__ == "__main__":
    main()
