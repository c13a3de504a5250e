"""Films that crash, hang or bloat their decoder, planted wherever many films are read.

    python benchmarks/reader_faults.py --json faults.json
    python benchmarks/reader_faults.py --bundle demo/bundle --films 16 --places service cache

Every place gets the same folder of phantom films twice: as it is, and with four films among them
whose decoding ends its process by SIGSEGV or SIGKILL, never returns, or takes memory without end
(benchmarks/planted wraps the decoder in every process, that of the place included). A reader may
take --timeout seconds and --memory GiB for a film. The places:

    predict    monai-cxr predict
    cache      monai-cxr cache
    archive    monai-cxr screen archive
    ray        monai-cxr screen archive --ray local
    service    monai-cxr screen run; all films come by C-STORE, and C-ECHO is asked meanwhile
    folder     the viewer's folder
    upload     the viewer's uploads

Printed are the seconds of both runs, and what became of each film. Ends with 1 if a planted film
has another reason than its own, if a film without a fault has no result, if a process of the place
ended, or if the listener kept anybody waiting for longer than --timeout.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pydicom
from pydicom.uid import generate_uid
from pynetdicom import AE

from monai_cxr.phantom import PhantomSettings, write_dicom_archive

PLANTED = Path(__file__).resolve().parent / "planted"
REASONS = {
    "SEGV": "reader_crashed",
    "KILL": "reader_crashed",
    "HANG": "reader_timeout",
    "MEMORY": "reader_memory",
}
CLI = [sys.executable, "-c", "from monai_cxr.cli import main; main()"]
DEADLINE_S = 900.0
VERIFICATION = "1.2.840.10008.1.1"

Reasons = dict[str, str]
"""What became of each film by its SOP Instance UID: "" for a result, else a reason code."""


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
    (work / "screening.toml").write_text(
        f"""
        [ledger]
        url = "{url}"
        [spool]
        folder = "spool"
        reserve_gib = 0
        [model]
        bundle = "{Path(options.bundle).resolve()}"
        device = "cpu"
        reader_timeout_seconds = {options.timeout}
        reader_memory_gib = {options.memory}
        [listener]
        port = {port}
        [[listener.senders]]
        ae_title = "FAULTS"
        [health]
        port = 0
        [[destinations]]
        name = "folder"
        kind = "folder"
        path = "reports"
        """
    )
    words = [*CLI, "screen", "run", "--settings", str(work / "screening.toml")]
    log = (work / "log").open("wb")
    process = subprocess.Popen(words, env=environment(), stdout=log, stderr=log)
    try:
        wait_for(lambda: listens(port), process)
        store(port, films)
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
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def viewer(options: argparse.Namespace, films: Path, place: str) -> Reasons:
    """In a process of its own, which has the faults too."""
    words = [sys.executable, __file__, "--viewer", place, str(films)]
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
    """What :func:`viewer` runs."""
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


def uids_of(films: Path) -> dict[str, str]:
    """SOP Instance UIDs by file name."""
    paths = sorted(films.glob("*.dcm"))
    return {p.name: str(pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID) for p in paths}


def by_path(table: pd.DataFrame, films: Path) -> Reasons:
    names = uids_of(films)
    reasons = zip(table["path"], table["reason"], strict=True)
    return {names[Path(path).name]: reason for path, reason in reasons}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False


def echo(port: int) -> bool:
    entity = AE("FAULTS")
    entity.add_requested_context(VERIFICATION)
    association = entity.associate("127.0.0.1", port, ae_title="MONAI_CXR")
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return bool(status) and status.Status == 0


def store(port: int, films: Path) -> None:
    entity = AE("FAULTS")
    datasets = [pydicom.dcmread(path) for path in sorted(films.glob("*.dcm"))]
    for dataset in datasets:
        entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title="MONAI_CXR")
    for dataset in datasets:
        status = association.send_c_store(dataset)
        if not status or status.Status != 0:
            raise RuntimeError(f"C-STORE was answered {status}")
    association.release()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError("the service was not done in time")
        time.sleep(0.2)


def draw(target: Path, n: int) -> None:
    """Phantom films, side by side."""
    target.mkdir()
    with tempfile.TemporaryDirectory(prefix="faults-archive-") as drawn:
        settings = PhantomSettings(n_patients=n, seed=11, size=128, mean_films_per_patient=1.0)
        write_dicom_archive(Path(drawn), settings, workers=1)
        for number, path in enumerate(sorted(Path(drawn).rglob("*.dcm"))[:n]):
            path.replace(target / f"film-{number:03}.dcm")


def plant(clean: Path, target: Path) -> Reasons:
    """Copy the films, and plant the faults among them; the reasons that they should get."""
    target.mkdir()
    films = sorted(clean.glob("*.dcm"))
    for path in films:
        (target / path.name).write_bytes(path.read_bytes())
    wanted: Reasons = {}
    for number, (fault, reason) in enumerate(REASONS.items()):
        dataset = pydicom.dcmread(films[0])
        dataset.SeriesDescription = f"PLANTED {fault}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.StudyInstanceUID = generate_uid()
        dataset.save_as(target / f"film-{number:03}-planted.dcm")
        wanted[str(dataset.SOPInstanceUID)] = reason
    return wanted


def make_bundle(work: Path) -> Path:
    """A small bundle of phantom films, where none is named."""
    from monai_cxr.bundle.packaging import package
    from monai_cxr.data.folder import index_folder
    from monai_cxr.data.splits import split_by_patient
    from monai_cxr.tables import write_table
    from monai_cxr.training.run import workflow

    settings = PhantomSettings(n_patients=40, seed=7, size=128, mean_films_per_patient=1.2)
    labels = write_dicom_archive(work / "training", settings, workers=1)
    index, _ = index_folder(work / "training", labels)
    write_table(split_by_patient(index, (0.5, 0.3, 0.2), seed=0), work / "index.parquet")
    network = {"_target_": "DenseNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 14}
    network |= {"init_features": 16, "growth_rate": 8, "block_config": [2, 2]}
    run_settings = {"image_size": 32, "batch_size": 8, "max_epochs": 1, "num_workers": 0}
    run_settings["network_def"] = network
    prepared = workflow.prepare_run(
        "chest_xray_classification", work / "index.parquet", work / "run", run_settings
    )
    workflow.train(prepared)
    package(work / "run", work / "bundle")
    return work / "bundle"


def measure(options: argparse.Namespace, place: str, work: Path, wanted: Reasons) -> dict:
    """Seconds of a place with and without the faults, and what was lost."""
    row: dict[str, object] = {"place": place}
    lost: list[str] = []
    for kind, expected in (("clean", {}), ("planted", wanted)):
        films, here = work / kind, work / f"{place}-{kind}"
        here.mkdir()
        began = time.monotonic()
        try:
            reasons = PLACES[place](options, films, here)
        except (RuntimeError, OSError, ValueError) as error:
            lost.append(f"{kind}: {error}")
            continue
        row[f"{kind}_s"] = round(time.monotonic() - began, 2)
        for uid in uids_of(films).values():
            got, should = reasons.get(uid, "no row"), expected.get(uid, "")
            if got != should:
                lost.append(f"{kind}: a film has '{got}' and should have '{should}'")
        if kind == "planted":
            row["reasons"] = sorted(reasons.get(uid, "no row") for uid in wanted)
            row["n_others"] = len(reasons) - len(wanted)
    return {**row, "lost": lost}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", type=Path, help="default: a small one is trained")
    parser.add_argument("--films", type=int, default=12, help="without a fault")
    parser.add_argument("--places", nargs="+", choices=list(PLACES), default=list(PLACES))
    parser.add_argument("--timeout", type=float, default=20.0, help="of a reader, in seconds")
    parser.add_argument("--memory", type=float, default=0.5, help="of a reader, in GiB")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--viewer", choices=("folder", "upload"), help=argparse.SUPPRESS)
    parser.add_argument("films_of_viewer", nargs="?", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.viewer:
        view(options)
        return 0
    places = list(options.places)
    if "ray" in places and importlib.util.find_spec("ray") is None:
        print("ray is not installed: pip install 'monai-cxr[ray]'; this place is left out")
        places.remove("ray")
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        work = Path(name)
        options.bundle = options.bundle or make_bundle(work)
        draw(work / "clean", options.films)
        wanted = plant(work / "clean", work / "planted")
        rows = []
        for place in places:
            rows.append(measure(options, place, work, wanted))
            show(rows[-1])
    if options.json:
        limits = {"timeout_s": options.timeout, "memory_gib": options.memory}
        content = {"n_films": options.films, "limits": limits, "places": rows}
        options.json.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return 1 if any(row["lost"] for row in rows) else 0


def show(row: dict) -> None:
    seconds = [f"{k} {row[f'{k}_s']:.1f} s" for k in ("clean", "planted") if f"{k}_s" in row]
    reasons = ", ".join(row.get("reasons", []))
    others = f"{row.get('n_others', 0)} others with a result"
    print(f"{row['place']:<9}{', '.join(seconds)}; {reasons}; {others}; {len(row['lost'])} lost")
    for line in row["lost"]:
        print(f"{'':<9}{line}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
