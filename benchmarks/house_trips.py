"""Five trips of data in hops: the modules that one film or table passes on its way.

    python benchmarks/house_trips.py --tree CHECKOUT --bundle BUNDLE --film FILM.dcm

A module is on a trip when one of its functions runs, in any process. A hop is a module that calls
another one, counted once; the last column counts in the same way the wings that call another wing.
Anything outside ``monai_cxr`` does not count, nor does what an import runs: bodies of modules and
classes, finders. An older checkout can make the same trips.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOOK = """
import os, sys, threading
from inspect import CO_OPTIMIZED
_root = os.path.join(os.environ["TRIP_TREE"], "monai_cxr") + os.sep
_out, _seen = os.environ["TRIP_OUT"], set()
def _module(frame):
    while frame is not None:
        name, code = frame.f_code.co_filename, frame.f_code
        ours = name.startswith(_root)
        if name.startswith("<frozen importlib") or (ours and not code.co_flags & CO_OPTIMIZED):
            return None  # an import, or the body of a module or a class
        if ours:
            return name
        frame = frame.f_back
    return ""
def _profile(frame, event, argument):
    name = frame.f_code.co_filename
    if event != "call" or not name.startswith(_root) or not frame.f_code.co_flags & CO_OPTIMIZED:
        return
    caller = _module(frame.f_back)
    if caller is None:
        return
    pair = (caller, name)
    if pair not in _seen:
        _seen.add(pair)
        with open(_out, "a") as file:
            file.write(pair[0].removeprefix(_root) + " " + pair[1].removeprefix(_root) + "\\n")
sys.setprofile(_profile)
threading.setprofile(_profile)
"""
SETTINGS = """
[ledger]
url = "sqlite:///ledger.sqlite"
[spool]
folder = "spool"
reserve_gib = 0.1
[model]
bundle = "{bundle}"
readers = 1
[listener]
port = {port}
senders = [{{ ae_title = "SENDER" }}]
[[destinations]]
name = "folder"
kind = "folder"
path = "reports"
"""
PORT = 11913
COMMAND = (sys.executable, "-c", "from monai_cxr.cli import main; main()")


def store(film: Path, settings: Path, environment: dict[str, str]) -> None:
    """Send a film to a running service by C-STORE, and wait for its report."""
    from pydicom import dcmread
    from pynetdicom import AE

    verb = [*COMMAND, "screen", "run", "--settings", settings.name]
    service = subprocess.Popen(
        verb, cwd=settings.parent, env=environment, stderr=subprocess.DEVNULL
    )
    data = dcmread(film)
    client = AE("SENDER")
    client.add_requested_context(data.SOPClassUID, data.file_meta.TransferSyntaxUID)
    for _ in range(600):
        association = client.associate("127.0.0.1", PORT, ae_title="MONAI_CXR")
        if association.is_established:
            association.send_c_store(data)
            association.release()
            break
        time.sleep(0.2)
    while service.poll() is None and not any((settings.parent / "reports").rglob("*.dcm")):
        time.sleep(0.2)
    service.send_signal(signal.SIGTERM)
    service.wait(timeout=60)


def wing(module: str) -> str:
    """The top folder of a module, or ``"(ground)"``."""
    return module.split("/")[0] if "/" in module else "(ground)"


def main() -> None:
    """Make the trips and print one row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--film", type=Path, required=True)
    options = parser.parse_args()
    tree, bundle, film = (path.resolve() for path in (options.tree, options.bundle, options.film))
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "sitecustomize.py").write_text(HOOK)
        (here / "films").mkdir()
        shutil.copy(film, here / "films" / "film.dcm")
        (here / "labels.csv").write_text("path,patient_id,Effusion\nfilm.dcm,1,1\n")
        (here / "predictions.csv").write_text(
            "image,patient_id,prob_Effusion,label_Effusion\n"
            + "".join(f"{i}.png,{i},{(i % 7) / 7 + 0.05},{i % 2}\n" for i in range(60))
        )
        settings = here / "screening.toml"
        settings.write_text(SETTINGS.format(bundle=bundle, port=PORT))
        paths = os.pathsep.join((str(here), str(tree)))
        environment = {**os.environ, "PYTHONPATH": paths, "TRIP_TREE": str(tree)}
        trips = {
            "a film to its probabilities (`predict`)": f"predict {bundle} films --out p.parquet",
            "an archive to table and report (`screen archive`)": (
                f"screen archive films --bundle {bundle} --out screened"
            ),
            "C-STORE to a delivered report (`screen run`)": "",
            "labels and films to an index (`index folder`)": (
                "index folder films --labels labels.csv --out index.parquet"
            ),
            "predictions to a report (`evaluate`)": "evaluate predictions.csv --out report",
        }
        print("| trip | modules | hops | pairs of wings |\n|---|--:|--:|--:|")
        for number, (name, verb) in enumerate(trips.items()):
            log = here / f"trip{number}"
            log.touch()
            environment["TRIP_OUT"] = str(log)
            if verb:
                command = [*COMMAND, *verb.split()]
                subprocess.run(
                    command,
                    cwd=here,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=True,
                )
            else:
                store(film, settings, environment)
            pairs = {tuple(line.split(" ")) for line in log.read_text().splitlines()}
            hops = {(one, other) for one, other in pairs if one and one != other}
            between = {(wing(one), wing(other)) for one, other in hops if wing(one) != wing(other)}
            modules = {other for _, other in pairs}
            print(f"| {name} | {len(modules)} | {len(hops)} | {len(between)} |", flush=True)


if __name__ == "__main__":
    main()
