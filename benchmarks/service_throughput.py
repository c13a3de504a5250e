"""Throughput of the worker as a ratio to the bare model's, on the same films.

    python benchmarks/service_throughput.py --bundle demo/bundle --films 64 --image-size 224

Phantom films of --side pixels, in the transfer syntaxes that phantoms have. Within each
round, in turn on the same machine:

    bare        films already read and prepared, through the model in batches: the upper limit
    decode      read, prepare and predict with the worker's reader processes, no ledger
    worker      the whole worker on a SQLite ledger: lease, read, predict, commit with fsync
    reported    the worker, and beside it a delivery that makes the reports and writes them

Printed are films per second, medians over the rounds with their range, and each as a ratio to bare
within its round. --image-size serves the bundle's network at another size than it was trained at,
which costs what it would cost; --batch-size and --readers are the worker's. Printed too is the
processor time of one report.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.reading.film_input import InputSpec, PreparedFilm
from monai_cxr.reading.film_readers import FilmReaders
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.delivering.builders import report_builder
from monai_cxr.screening.delivering.delivery import run_delivery
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.ledger import Ledger, arrivals, open_ledger, outbox
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.working.outcomes import prepare_film
from monai_cxr.screening.working.worker import WorkerOptions, run_worker


def draw(folder: Path, n: int, side: int) -> list[Path]:
    settings = PhantomSettings(n_patients=n, seed=5, size=side, mean_films_per_patient=1.0)
    write_dicom_archive(folder, settings, workers=1)
    return sorted(folder.rglob("*.dcm"))[:n]


def bare(model: BundleModel, films: list[PreparedFilm], batch: int) -> float:
    begin = time.perf_counter()
    for start in range(0, len(films), batch):
        part = films[start : start + batch]
        model.predict_prepared(
            [(f.facts.key, f.facts.flags) for f in part], np.stack([f.inputs[0] for f in part])
        )
    return time.perf_counter() - begin


def decode(model: BundleModel, leased: list, batch: int, readers: int) -> float:
    begin = time.perf_counter()
    with ThreadPoolExecutor(readers) as pool, FilmReaders(readers) as processes:
        reads = [
            pool.submit(prepare_film, processes, model, film.key, film.path) for film in leased
        ]
        for start in range(0, len(reads), batch):
            part = [read.result() for read in reads[start : start + batch]]
            inputs = np.stack([film.inputs[0] for film in part])
            model.predict_prepared([(f.facts.key, f.facts.flags) for f in part], inputs)
    return time.perf_counter() - begin


def worker(model: BundleModel, films: list, batch: int, readers: int, reports: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="throughput-") as name:
        folder = Path(name)
        with open_ledger(folder / "ledger.sqlite") as ledger:
            arrivals.enqueue_many(ledger, films)
            destination, stop = Folder("folder", folder / "out"), threading.Event()
            builders = {"sr": report_builder(model.operating_points)}
            delivery = threading.Thread(
                target=run_delivery,
                args=(ledger, destination, builders, "delivery", stop),
                kwargs={"poll_seconds": 0.05},
            )
            options = WorkerOptions(
                "worker",
                batch_size=batch,
                readers=readers,
                deliveries=(("sr", "folder"),) if reports else (),
            )
            begin = time.perf_counter()
            if reports:
                delivery.start()
            run_worker(ledger, model, options, should_stop=lambda: False, when_idle=lambda: False)
            while outbox.n_pending(ledger):
                time.sleep(0.02)
            seconds = time.perf_counter() - begin
            stop.set()
            if reports:
                delivery.join()
            check(ledger, len(films))
    return seconds


def report_seconds(model: BundleModel, path: str, n: int = 20) -> float:
    """Processor time of one report, once its groups are known."""
    film = model.read(path)
    reported = ReportedFilm(Path(path).read_bytes(), model.predict([film])[0])
    structured_report(reported, operating_points=model.operating_points)
    begin = time.process_time()
    for _ in range(n):
        structured_report(reported, operating_points=model.operating_points)
    return (time.process_time() - begin) / n


def check(ledger: Ledger, n: int) -> None:
    numbers = counts.count(ledger)
    if numbers.n_results != n:
        sys.exit(f"{numbers.n_results} of {n} films have a result: {dict(numbers.quarantine)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--films", type=int, default=64)
    parser.add_argument("--side", type=int, default=1024, help="of the films, in pixels")
    parser.add_argument("--image-size", type=int, help="of the network's input")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    model = BundleModel.load(options.bundle, device=options.device, runtime="torch")
    if options.image_size:
        model.image_size = options.image_size
        model.specs = (InputSpec(options.image_size, model.resize, model.scope),)
    batch, readers = options.batch_size, options.readers
    with tempfile.TemporaryDirectory(prefix="throughput-films-") as name:
        paths = draw(Path(name), options.films, options.side)
        films = [intake.describe(path, name=path.name, source="bench") for path in paths]
        with FilmReaders(1) as processes:
            ready = [prepare_film(processes, model, film.key, film.path) for film in films]
        bare(model, ready[: 2 * batch], batch)  # the first batches are slow
        ways: dict[str, Callable[[], float]] = {
            "bare": lambda: bare(model, ready, batch),
            "decode": lambda: decode(model, films, batch, readers),
            "worker": lambda: worker(model, films, batch, readers, reports=False),
            "reported": lambda: worker(model, films, batch, readers, reports=True),
        }
        report = report_seconds(model, films[0].path)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                seconds[name].append(way())
    print(
        f"{len(films)} films of {options.side} px, network input {model.image_size} px, batches of "
        f"{batch}, {readers} readers, {model.identity.runtime}"
    )
    for name, taken in seconds.items():
        rates = [len(films) / t for t in taken]
        ratios = [a / b for a, b in zip(seconds["bare"], taken, strict=True)]
        print(
            f"{name:<10}{statistics.median(rates):8.2f} films/s   ratio to bare "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        )
    print(f"a report  {report * 1e3:8.1f} ms of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
