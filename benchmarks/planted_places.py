"""Places where many films are read, each run on a folder of films; for reader_faults.py."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pydicom
from pynetdicom.presentation import build_context

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from dicom_peers import end, free_port
from store_scu import associate, send

PLANTED = Path(__file__).resolve().parent / "planted"
CLI = [sys.executable, "-c", "from monai_cxr.cli import main; main()"]
SCRIPT = Path(__file__).with_name("reader_faults.py")
DEADLINE_S = 900.0
VERIFICATION = "1.2.840.10008.1.1"
SETTINGS = """
[ledger]
url = "{url}"
[spool]
folder = "spool"
reserve_gib = 0
[model]
bundle = "{bundle}"
device = "cpu"
reader_timeout_seconds = {timeout}
reader_memory_gib = {memory}
[listener]
port = {port}
[[listener.senders]]
ae_title = "CXRSCU"
[health]
port = 0
[[destinations]]
name = "folder"
kind = "folder"
path = "reports"
"""

Reasons = dict[str, str]
"""What became of each film by its SOP Instance UID: "" for a result, else a reason code."""


def uids_of(films: Path) -> dict[str, str]:
    """SOP Instance UIDs by file name."""
    paths = sorted(films.glob("*.dcm"))
    return {p.name: str(pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID) for p in paths}


def by_path(table: pd.DataFrame, films: Path) -> Reasons:
    names = uids_of(films)
    reasons = zip(table["path"], table["reason"], strict=True)
    return {names[Path(path).name]: reason for path, reason in reasons}


def environment() -> dict[str, str]:
    """Of every process that a place starts: its decoders have the faults."""
    path = [str(PLANTED), str(Path(__file__).resolve().parents[1]), *filter(None, sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def run(options: argparse.Namespace, *words: str) -> None:
    """A verb with the limits; its output is shown if it fails."""
    limits = ["--reader-timeout", str(options.timeout), "--reader-memory", str(options.memory)]
    done = subprocess.run(
        [*CLI, *words, *limits], env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stderr[-500:]}")


def predict(options: argparse.Namespace, films: Path, work: Path) -> Reasons:
    table = work / "predictions.csv"
    run(options, "predict", str(options.bundle), str(films), "--out", str(table))
    return by_path(pd.read_csv(table, keep_default_na=False), films)


def cache(options: argparse.Namespace, films: Path, work: Path) -> Reasons:
    from monai_cxr.data.cache import CacheSettings, FilmCache, unreadable_films
    from monai_cxr.tables import normalise_index, read_table

    uids = uids_of(films)
    index = pd.DataFrame(
        {
            "path": [str(films / name) for name in uids],
            "sop_uid": list(uids.values()),
            "patient_id": list(uids.values()),
        }
    )
    index.to_csv(work / "index.csv", index=False)
    run(options, "cache", str(work / "index.csv"), "--out", str(work / "cache"), "--size", "32")
    table = normalise_index(read_table(work / "index.csv"))
    made = FilmCache(work / "cache", table, CacheSettings(32))
    unread = dict(unreadable_films(made, made.sound_blocks(made.records())))
    return {uid: unread.get(uid, "") for uid in uids.values()}


def archive(options: argparse.Namespace, films: Path, work: Path, *more: str) -> Reasons:
    out = work / "screened"
    words = ["--bundle", str(options.bundle), "--out", str(out), "--device", "cpu", *more]
    run(options, "screen", "archive", str(films), *words)
    return by_path(pd.read_parquet(out / "results.parquet"), films)


def ray(options: argparse.Namespace, films: Path, work: Path) -> Reasons:
    return archive(options, films, work, "--ray", "local")


def service(options: argparse.Namespace, films: Path, work: Path) -> Reasons:
    from sqlalchemy import select

    from monai_cxr.screening.ledger import open_ledger
    from monai_cxr.screening.ledger.schema import films as jobs

    port, url = free_port(), f"sqlite:///{work}/ledger.sqlite"
    values = {"url": url, "port": port, "bundle": Path(options.bundle).resolve()}
    values |= {"timeout": options.timeout, "memory": options.memory}
    (work / "screening.toml").write_text(SETTINGS.format(**values))
    words = [*CLI, "screen", "run", "--settings", str(work / "screening.toml")]
    log = (work / "log").open("wb")
    process = subprocess.Popen(words, env=environment(), stdout=log, stderr=log)
    try:
        wait_for(lambda: listens(port), process)
        for film in sorted(films.glob("*.dcm")):
            if (status := send(port, film.read_bytes())) != 0:
                raise RuntimeError(f"C-STORE was answered {status}")
        uids = list(uids_of(films).values())
        with open_ledger(url) as ledger:

            def states() -> dict[str, tuple[str, str]]:
                with ledger.read() as connection:
                    query = select(jobs.c.sop_uid, jobs.c.state, jobs.c.reason)
                    return {uid: (state, why) for uid, state, why in connection.execute(query)}

            def is_done() -> bool:
                began = time.monotonic()
                if not echo(port) or time.monotonic() - began > options.timeout:
                    raise RuntimeError("the listener kept an echo waiting")
                ended = [state in ("completed", "quarantined") for state, _ in states().values()]
                return len(ended) == len(uids) and all(ended)

            wait_for(is_done, process)
            return {uid: why for uid, (_, why) in states().items()}
    finally:
        end(process)
        log.close()


def listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False


def echo(port: int) -> bool:
    association = associate(port, contexts=[build_context(VERIFICATION)])
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return bool(status) and status.Status == 0


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError("the service was not done in time")
        time.sleep(0.2)


def viewer(options: argparse.Namespace, films: Path, place: str) -> Reasons:
    """In a process of its own, which has the faults too."""
    words = [sys.executable, str(SCRIPT), "--viewer", place, str(films)]
    words += ["--bundle", str(options.bundle), "--timeout", str(options.timeout)]
    words += ["--memory", str(options.memory)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{place} ended with {done.returncode}: {done.stderr[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def folder(options: argparse.Namespace, films: Path, work: Path) -> Reasons:
    return viewer(options, films, "folder")


def upload(options: argparse.Namespace, films: Path, work: Path) -> Reasons:
    return viewer(options, films, "upload")


def view(options: argparse.Namespace) -> None:
    """What :func:`viewer` runs, in a process of its own."""
    from monai_cxr.bundle.model import BundleModel
    from monai_cxr.errors import InputError
    from monai_cxr.reading import film_readers
    from monai_cxr.reading.reader_limits import ReaderLimits
    from monai_cxr.review.folder import FolderCases
    from monai_cxr.review.uploads import Uploads

    film_readers.bound_shared_readers(ReaderLimits(options.timeout, options.memory))
    model, films = BundleModel.load(options.bundle, device="cpu"), Path(options.films_of_viewer)
    reasons: Reasons = {}
    if options.viewer == "folder":
        cases = FolderCases(films, model, secret=b"faults")
        cases.update()
        for case in cases.cases():
            reasons |= {image.key.sop_uid: image.reason for image in case.images}
    else:
        uploads = Uploads()
        for name, uid in uids_of(films).items():
            try:
                (image,) = uploads.add((films / name).read_bytes(), model).images
                reasons[uid] = image.reason
            except InputError as error:
                reasons[uid] = error.reason
    print(json.dumps(reasons))


PLACES: dict[str, Callable[[argparse.Namespace, Path, Path], Reasons]] = {
    "predict": predict,
    "cache": cache,
    "archive": archive,
    "ray": ray,
    "service": service,
    "folder": folder,
    "upload": upload,
}
