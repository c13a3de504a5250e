"""Load on the listener: many associations at once, and, with a bundle, the time to the report.

    python benchmarks/listener_load.py --associations 50 --films 10000
    python benchmarks/listener_load.py --associations 4 --films 60 --bundle demo/bundle

Prints films per second, percentiles of the C-STORE response time, the listener's memory from
beginning to end, and what the ledger holds; with a bundle also the time from a film's arrival to
the delivery of its report, a film per second. Ends with 1 when a film is lost or there twice.
"""

from __future__ import annotations

import argparse
import io
import itertools
import multiprocessing
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from sqlalchemy import text

from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.arriving.storage_scp import StorageScp
from monai_cxr.screening.ledger import jobs, open_ledger, outbox
from monai_cxr.screening.network.dicom_network import AllowedSender, Peer, send_at_once
from monai_cxr.screening.settings.listener import ListenerSettings

ROOT = "1.2.826.0.1.3680043.10.1479.88"
DX = "1.2.840.10008.5.1.4.1.1.1.1"


def listen(folder: str, associations: int, port, memory, done) -> None:
    """The listener's process: it reports its port, and its memory once a second."""
    ledger = open_ledger(Path(folder) / "ledger.sqlite")
    settings = ListenerSettings(
        port=0,
        senders=(AllowedSender("LOAD"),),
        max_associations=associations + 4,
        timeout_seconds=300.0,
    )
    with StorageScp(settings, ledger, Spool(Path(folder) / "spool", reserve_bytes=0)) as scp:
        port.put(scp.port)
        while not done.wait(1.0):
            memory.put(resident_mib())
        memory.put(resident_mib())
    ledger.close()


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def connect(port: int, syntax: str = ExplicitVRLittleEndian):
    entity = AE(ae_title="LOAD")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 300
    entity.add_requested_context(DX, syntax)
    return entity.associate(
        "127.0.0.1", port, ae_title="MONAI_CXR", evt_handlers=[(evt.EVT_CONN_OPEN, send_at_once)]
    )


def send(port: int, first: int, last: int, side: int, times, statuses, resends) -> None:
    """Films of one association, one after the other; like a PACS, it sends again what broke off."""
    association = connect(port)
    pixels = np.random.default_rng(first).integers(0, 4096, (side, side), dtype=np.uint16)
    for number in range(first, last):
        pixels[0, 0], pixels[0, 1] = number % 4096, number // 4096
        data = synthetic_dicom(
            pixels,
            SOPInstanceUID=f"{ROOT}.1.{number}",
            StudyInstanceUID=f"{ROOT}.2.{number}",
            SeriesInstanceUID=f"{ROOT}.3.{number}",
        )
        dataset = pydicom.dcmread(io.BytesIO(data))
        begin = time.perf_counter()
        for _ in range(10):
            if not association.is_established:
                association = connect(port)
            status = association.send_c_store(dataset) if association.is_established else {}
            if status.get("Status") == 0x0000:
                break
            resends.append(status.get("Status"))
        times.append(time.perf_counter() - begin)
        statuses.append(int(status.get("Status", -1)))
    if association.is_established:
        association.release()


def send_all(port: int, ranges, side: int, queue) -> None:
    """A process of senders, a thread an association."""
    times: list[float] = []
    statuses: list[int] = []
    resends: list[int | None] = []
    threads = [
        threading.Thread(target=send, args=(port, first, last, side, times, statuses, resends))
        for first, last in ranges
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.put((times, statuses, len(resends)))


def run_load(folder: str, associations: int, films: int, side: int) -> int:
    context = multiprocessing.get_context("spawn")
    port, memory, results = context.Queue(), context.Queue(), context.Queue()
    done = context.Event()
    server = context.Process(target=listen, args=(folder, associations, port, memory, done))
    server.start()
    number = port.get(timeout=120)
    edges = np.linspace(0, films, associations + 1).astype(int).tolist()
    ranges = list(itertools.pairwise(edges))
    begin = time.perf_counter()
    senders = [
        context.Process(target=send_all, args=(number, part, side, results))
        for part in (ranges[::2], ranges[1::2])
        if part
    ]
    for sender in senders:
        sender.start()
    said = [results.get() for _ in senders]
    seconds = time.perf_counter() - begin
    for sender in senders:
        sender.join()
    done.set()
    server.join()
    times = np.array([t for part, _, _ in said for t in part])
    statuses = [s for _, part, _ in said for s in part]
    mib = []
    while not memory.empty():
        mib.append(memory.get())
    ledger = open_ledger(Path(folder) / "ledger.sqlite")
    with ledger.read() as connection:
        held = connection.execute(text("select count(*) from films")).scalar_one()
    files = sum(1 for _ in Spool(Path(folder) / "spool", reserve_bytes=0).files())
    print(f"associations at once       {associations}")
    print(f"films sent                 {len(statuses)} ({side} x {side}, 16 bit)")
    print(f"answered 0x0000            {sum(s == 0 for s in statuses)}")
    print(f"sent again                 {sum(n for _, _, n in said)} (refused or broken off)")
    print(f"films in the ledger        {held}")
    print(f"files in the spool         {files}")
    print(f"films per second           {len(statuses) / seconds:.0f}")
    for share in (50, 95, 99):
        print(f"C-STORE response, {share} %    {np.percentile(times, share) * 1e3:.0f} ms")
    quarters = [float(np.mean(part)) for part in np.array_split(mib, 4) if len(part)]
    print(f"listener's memory, MiB     {', '.join(f'{q:.0f}' for q in quarters)} (by quarter)")
    ok = statuses == [0] * films and held == files == films
    print("nothing lost, none twice" if ok else "LOST OR TWICE")
    return 0 if ok else 1


def run_to_report(folder: str, bundle: str, films: int, side: int) -> int:
    """A phantom film per second through listener, worker and delivery to a PACS in this process."""
    from monai_cxr.bundle.model import BundleModel
    from monai_cxr.phantom import PhantomSettings, write_dicom_archive
    from monai_cxr.screening.delivering.builders import report_builder
    from monai_cxr.screening.delivering.delivery import run_delivery
    from monai_cxr.screening.delivering.receivers.pacs import Pacs
    from monai_cxr.screening.working.worker import WorkerOptions, run_worker

    phantoms = PhantomSettings(n_patients=films, seed=1, size=side, mean_films_per_patient=1.0)
    write_dicom_archive(Path(folder) / "films", phantoms, workers=1)
    paths = sorted((Path(folder) / "films").rglob("*.dcm"))[:films]
    ledger = open_ledger(Path(folder) / "ledger.sqlite")
    model = BundleModel.load(bundle, device="cpu")
    pacs = AE(ae_title="PACS")
    pacs.add_supported_context("1.2.840.10008.5.1.4.1.1.88.34")
    handlers = [(evt.EVT_C_STORE, lambda event: 0x0000), (evt.EVT_CONN_OPEN, send_at_once)]
    server = pacs.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    peer = Peer("PACS", "127.0.0.1", server.socket.getsockname()[1])
    stop = threading.Event()
    options = WorkerOptions("worker", deliveries=(("sr", "pacs"),))
    builders = {"sr": report_builder(model.operating_points)}
    threads = [
        threading.Thread(
            target=run_worker,
            args=(ledger, model, options),
            kwargs={"should_stop": stop.is_set, "when_idle": lambda: not stop.wait(0.1)},
        ),
        threading.Thread(
            target=run_delivery,
            args=(ledger, Pacs("pacs", peer), builders, "delivery", stop),
            kwargs={"poll_seconds": 0.1},
        ),
    ]
    for thread in threads:
        thread.start()
    settings = ListenerSettings(port=0, senders=(AllowedSender("LOAD"),))
    with StorageScp(settings, ledger, Spool(Path(folder) / "spool", reserve_bytes=0)) as scp:
        for path in paths:
            begin = time.monotonic()
            dataset = pydicom.dcmread(path)
            association = connect(scp.port, str(dataset.file_meta.TransferSyntaxUID))
            if association.send_c_store(dataset).get("Status") != 0x0000:
                print("a film was not accepted")
            association.release()
            time.sleep(max(0.0, 1.0 - (time.monotonic() - begin)))
        while jobs.n_unfinished(ledger) or outbox.n_pending(ledger):
            time.sleep(0.2)
    stop.set()
    for thread in threads:
        thread.join()
    server.shutdown()
    query = text(
        "select o.delivered_at - f.received_at from outbox o join films f on f.sop_uid = o.sop_uid"
    )
    with ledger.read() as connection:
        waits = [float(row[0]) for row in connection.execute(query)]
    screened = len(waits)
    print(f"reports delivered          {screened} of {len(paths)} films (others: out of scope)")
    if waits:
        for share in (50, 95):
            print(f"arrival to report, {share} %   {np.percentile(waits, share):.2f} s")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--associations", type=int, default=50)
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--bundle", help="measure the time to the report with this bundle")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="listener-load-") as folder:
        if options.bundle:
            return run_to_report(folder, options.bundle, options.films, options.side)
        return run_load(folder, options.associations, options.films, options.side)


if __name__ == "__main__":
    sys.exit(main())
