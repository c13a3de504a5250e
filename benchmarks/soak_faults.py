"""What goes wrong in the soak: kills, a full disk, an archive and a database that stop."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile_dicomweb import ODD_OBJECTS, ODD_PAGES, ODD_STORES, HostileDicomWeb
from odd_wire import ODD_PAGE_WIRES, ODD_WIRES
from postgres_peer import PostgresServer
from soak_service import PARTS, Soak
from sqlalchemy.exc import SQLAlchemyError

_CLOCKS = (2 * 86_400.0, -3_600.0, 3_650 * 86_400.0)
"""How far a process's clock is off for a while: days ahead, an hour behind, ten years ahead."""

STUCK_SECONDS = 3_600.0


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

    def jump() -> None:
        name = soak.chance.choice(("listen", "work-2", "deliver"))
        soak.jump(name, soak.chance.choice(_CLOCKS))
        time.sleep(longest)
        soak.jump(name, 0.0)

    events: list[tuple[float, str, Callable[[], object]]] = [
        (0.15, "orthanc_stops", pause_orthanc),
        (0.30, "full_disks", lambda: fill_up(soak)),
        (0.35, "clock_jumps", jump),
        (0.45, "database_restarts", lambda: restart(signal.SIGQUIT)),
    ]
    if not soak.is_short:
        events += [
            (0.55, "clock_jumps", jump),
            (0.60, "orthanc_stops", pause_orthanc),
            (0.65, "clock_jumps", jump),
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


def misbehave(soak: Soak, source: HostileDicomWeb, said: Counter[str]) -> None:
    """Answer wrongly most of the time, for two thirds of the work, then well."""
    chance = random.Random(soak.chance.random())
    objects = [*ODD_OBJECTS, *ODD_WIRES, "cut", "silent"]
    pages = [*ODD_PAGES, *ODD_PAGE_WIRES]
    is_bad = True
    while not soak.is_over.wait(1.0):
        with contextlib.suppress(SQLAlchemyError):  # the database is being restarted
            is_bad = is_bad and sum(soak.progress()) < 2 * len(soak.films)
        source.odd_page = chance.choice([*pages, *[""] * len(pages)]) if is_bad else ""
        source.ignores_offset = is_bad and chance.random() < 0.2
        source.most = chance.choice((5, 1_000))
        source.odd_objects = {
            film[2]: chance.choice(objects)
            for film in source.films
            if is_bad and chance.random() < 0.3
        }
        source.odd_store = chance.choice(["", *ODD_STORES]) if is_bad else ""
        if is_bad:
            odd = (source.odd_page, source.odd_store, *source.odd_objects.values())
            said.update(answer for answer in odd if answer)


def kill_any(soak: Soak) -> None:
    """Kill a process that has work; the ones killed less often are likelier."""
    received, results, delivered = soak.progress()
    done = {"work-1": results, "work-2": results, "deliver": delivered}
    done |= dict.fromkeys(("listen", "pull"), received)
    busy = [name for name in PARTS if done[name] < len(soak.films)] or ["deliver"]
    most = min(soak.kills[name] for name in busy) + (0 if soak.is_short else 2)
    soak.kill(soak.chance.choice([name for name in busy if soak.kills[name] <= most]))
