"""Soak: films through `screen run` while its process is killed again and again.

    python benchmarks/soak_screening.py --bundle demo/bundle --films 2000 --kills 50

Draws tiny phantom films, drops them into a watch folder, kills the service with SIGKILL at random
instants and starts it again; at the end every film must have exactly one result and exactly one
structured report, and the audit trail must be intact. Prints one JSON object; exit status 1 if
anything was lost or doubled. The number of seed films bounds the drawing; the others are copies
with UIDs of their own.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid

from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.screening.ledger import audit, counts, open_ledger

SEED_FILMS = 24


def draw(folder: Path, n: int) -> list[Path]:
    settings = PhantomSettings(n_patients=SEED_FILMS, seed=3, size=128, mean_films_per_patient=1.0)
    write_dicom_archive(folder / "seed", settings, workers=1)
    seeds = sorted((folder / "seed").rglob("*.dcm"))
    films = []
    for number in range(n):
        dataset = pydicom.dcmread(seeds[number % len(seeds)])
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=[f"study-{number}"])
        dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[f"series-{number}"])
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[f"film-{number}"])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = folder / "films" / f"{number:06d}.dcm"
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path)
        films.append(path)
    return films


def drop(films: list[Path], incoming: Path, start_at: int, end: int) -> int:
    """Put films into the watch folder, as a sender does that renames."""
    for film in films[start_at:end]:
        part = incoming / f"{film.name}.part"
        shutil.copy(film, part)
        part.rename(incoming / film.name)
    return end


def settings_file(folder: Path, bundle: Path) -> Path:
    (folder / "in").mkdir()
    path = folder / "screening.toml"
    path.write_text(
        f'[ledger]\nurl = "sqlite:///{folder}/ledger.sqlite"\n'
        '[spool]\nfolder = "spool"\nreserve_gib = 0\n'
        f'[model]\nbundle = "{bundle.absolute()}"\ndevice = "cpu"\n'
        '[watch]\nfolder = "in"\nsettle_seconds = 0.1\ndelete = true\n[health]\nport = 0\n'
        '[[destinations]]\nname = "folder"\nkind = "folder"\npath = "out"\n'
    )
    return path


def start(settings: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from monai_cxr.cli import main; main()", "screen", "run"]
    with log.open("ab") as stream:
        return subprocess.Popen(
            [*command, "--settings", str(settings)], stdout=stream, stderr=stream
        )


def progress_of(folder: Path) -> tuple[int, int, int]:
    """(received, results, delivered)."""
    with open_ledger(folder / "ledger.sqlite") as ledger:
        numbers = counts.count(ledger)
    delivered = sum(n for key, n in numbers.deliveries.items() if key[2] == "delivered")
    return numbers.arrivals.get("new", 0), numbers.n_results, delivered


def soak(folder: Path, bundle: Path, n_films: int, n_kills: int, seed: int) -> dict[str, object]:
    films = draw(folder, n_films)
    settings, log = settings_file(folder, bundle), folder / "log.jsonl"
    chance, began, killed_at = random.Random(seed), time.monotonic(), []
    process, dropped = start(settings, log), 0
    for kill in range(1, n_kills + 1):
        dropped = drop(films, folder / "in", dropped, n_films * kill // n_kills)
        before = progress_of(folder)
        while progress_of(folder) == before and process.poll() is None and min(before) < dropped:
            time.sleep(0.05)  # until it works again
        time.sleep(chance.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_at.append(progress_of(folder))
        process = start(settings, log)
    while progress_of(folder)[2] < n_films and process.poll() is None:
        time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.wait()
    return verdict(folder, n_films, killed_at, time.monotonic() - began)


def verdict(
    folder: Path, n_films: int, killed_at: list[tuple[int, int, int]], seconds: float
) -> dict[str, object]:
    with open_ledger(folder / "ledger.sqlite") as ledger:
        numbers, trail = counts.count(ledger), audit.verify(ledger)
    reports = [
        pydicom.dcmread(path, stop_before_pixels=True) for path in (folder / "out").iterdir()
    ]
    cited = [
        report.CurrentRequestedProcedureEvidenceSequence[0]
        .ReferencedSeriesSequence[0]
        .ReferencedSOPSequence[0]
        .ReferencedSOPInstanceUID
        for report in reports
    ]
    return {
        "films": n_films,
        "kills": len(killed_at),
        "killed_at_results": [results for _, results, _ in killed_at],
        "results": numbers.n_results,
        "reports": len(cited),
        "films_with_one_report": len(set(cited)),
        "quarantined": sum(numbers.quarantine.values()),
        "repeated_attempts": numbers.n_retries,
        "duplicates_received": numbers.arrivals.get("duplicate", 0),
        "audit_entries": trail.n_entries,
        "audit_intact": trail.is_intact,
        "seconds": round(seconds, 1),
        "nothing_lost_nothing_twice": numbers.n_results == len(cited) == len(set(cited)) == n_films
        and trail.is_intact,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--films", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cxr-soak-") as folder:
        found = soak(
            Path(folder), arguments.bundle, arguments.films, arguments.kills, arguments.seed
        )
    print(json.dumps(found, indent=2))
    return 0 if found["nothing_lost_nothing_twice"] else 1


if __name__ == "__main__":
    sys.exit(main())
