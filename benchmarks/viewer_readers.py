"""Viewer readers: fifty readers at once on one ledger, by their browsers' requests.

    python benchmarks/viewer_readers.py --readers 50 --studies 40

Each reader has a tab (a websocket of its own), asks for the worklist before each study, opens it,
judges two findings, writes a note and closes it, each word sent twice as after an answer that got
lost. Printed: rows that are lost or there twice, milliseconds until a word is stored and until a
worklist is there, and the server's resident memory, five times.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browser import Viewer  # noqa: E402
from ledger_data import finish_all, received  # noqa: E402
from streamlit_tab import Tab  # noqa: E402

from monai_cxr.review.ledger_store import LedgerStore  # noqa: E402
from monai_cxr.screening.ledger import arrivals, open_ledger  # noqa: E402
from monai_cxr.screening.ledger.people import reviews  # noqa: E402

SECRET = "0123456789abcdef"
FINDINGS = ("Effusion", "Mass")
WORDS = (
    {"findings": {name: {"opinion": "agree", "label": "present"} for name in FINDINGS}},
    {"note": "Read."},
    {"finished": True},
)


class Reader:
    """One person's tab."""

    def __init__(self, viewer: Viewer, number: int) -> None:
        headers = {"X-Forwarded-Email": f"reader{number}@x.org", "X-Viewer-Secret": SECRET}
        self.tab = Tab(viewer.url, headers).open()
        self.worklist = self._link("worklist")
        self.saved: list[float] = []
        self.listed: list[float] = []

    def _link(self, kind: str) -> str:
        return re.search(rf"/cxr/{kind}/[\w-]+", self.tab.said)[0]

    def read(self, number: int) -> None:
        """Ask for the list, open a study of it, and close it."""
        began = time.perf_counter()
        rows = self.tab.get(self.worklist).json()["rows"]
        self.listed.append(time.perf_counter() - began)
        names = sorted(row["id"] for row in rows)
        self.tab.open("worklist", f"case={names[number % len(names)]}")
        url = self.tab.url + self._link("review")
        for change in WORDS:
            for _ in range(2):
                began = time.perf_counter()
                self.tab.http.post(url, json=change | {"seconds": 3}).raise_for_status()
                self.saved.append(time.perf_counter() - began)


def resident(process: int) -> float:
    """MiB of the server's process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def lost_and_doubled(address: str, n_readers: int, n_studies: int) -> tuple[int, int]:
    """Words of readers that the ledger lacks, and rows that it has twice."""
    with open_ledger(address) as ledger:
        rows = Counter((row.reader, row.study_uid, row.finding) for row in reviews.since(ledger))
        known = LedgerStore(ledger).reviews()
        lines = Counter(
            (one.user, one.study_uid)
            for one in LedgerStore(ledger).accesses(10**6)
            if one.action == "finished" and one.user.startswith("reader")
        )
    whole = [one for one in known if one.finished and one.note and len(one.findings) == 2]
    lost = n_readers * n_studies - len(whole) + n_readers * n_studies - len(lines)
    twice = sum(count - 1 for key, count in rows.items() if key[2])
    return lost, twice + sum(count - 1 for count in lines.values())


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--studies", type=int, default=20, help="That each of them reads.")
    options = parser.parse_args()
    n, steps = options.readers, options.studies
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        address = f"sqlite:///{folder / 'ledger.sqlite'}"
        with open_ledger(address) as ledger:
            arrivals.enqueue_many(ledger, [received(number) for number in range(steps)])
            finish_all(ledger, positive=("Effusion",))
        people = ", ".join(f"'reader{number}@x.org'" for number in range(n))
        (folder / "viewer.toml").write_text(
            f"[viewer]\nledger = '{address}'\nauthentication = 'proxy'\n"
            f"proxy_secret = '{SECRET}'\n[viewer.roles]\nreader = [{people}]\n"
        )
        arguments = ["--settings", str(folder / "viewer.toml")]
        with Viewer(arguments, folder) as viewer, ThreadPoolExecutor(n) as pool:
            readers = list(pool.map(lambda number: Reader(viewer, number), range(n)))
            memory = [resident(viewer.process.pid)]
            together = threading.Barrier(n)

            def work(step: int, reader: Reader) -> None:
                together.wait()
                reader.read(step)

            for step in range(steps):
                list(pool.map(lambda reader, at=step: work(at, reader), readers))
                if (step + 1) % max(steps // 5, 1) == 0:
                    memory.append(resident(viewer.process.pid))
        lost, twice = lost_and_doubled(address, n, steps)
    print(f"{n} readers, {steps} studies each: {lost} lost, {twice} there twice")
    for label, times in (
        ("a word stored", [value for reader in readers for value in reader.saved]),
        ("worklist answered", [value for reader in readers for value in reader.listed]),
    ):
        spread = statistics.quantiles(times, n=20)
        print(f"{label}: median {spread[9] * 1e3:.0f} ms, 95th {spread[18] * 1e3:.0f} ms")
    print("server's memory, MiB:", ", ".join(f"{value:.0f}" for value in memory))


if __name__ == "__main__":
    main()
