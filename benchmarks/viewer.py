"""Viewer: what a reader waits for in the browser, measured on a running viewer.

    python benchmarks/viewer.py --bundle demo/bundle

Films of 2,500 x 2,000 pixels are drawn by the phantom's physics at a small size and enlarged. The
long list is a ledger of rows without files. Times are medians in milliseconds, taken in one run;
memory is the JavaScript heap after a collection, and the server's resident set, film after film.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydicom

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browser import Browser, Viewer  # noqa: E402
from ledger_data import facts, prediction, received  # noqa: E402

from monai_cxr.phantom import PhantomSettings, write_dicom_archive  # noqa: E402
from monai_cxr.screening.ledger import Ledger, arrivals, jobs, open_ledger  # noqa: E402
from monai_cxr.screening.ledger.records import Outcome  # noqa: E402

ENTER = "\ue007"
ROWS, COLUMNS = 2500, 2000
TITLES = {"n": "Next study", "p": "Previous study"}


def enlarge(folder: Path) -> None:
    """Make each film 2,500 x 2,000, uncompressed."""
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array
        rows = np.linspace(0, stored.shape[0] - 1, ROWS).round().astype(int)
        columns = np.linspace(0, stored.shape[1] - 1, COLUMNS).round().astype(int)
        large = np.ascontiguousarray(stored[rows][:, columns])
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset.Rows, dataset.Columns, dataset.PixelData = ROWS, COLUMNS, large.tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.save_as(path)


def timed(page: Browser, selector: str, script: str, n: int = 15) -> float:
    """Median time of a script on an element, in milliseconds, after one run to warm up."""
    body = (
        "const times = []; for (let i = 0; i < arguments[1] + 1; i += 1) {"
        f" const t = performance.now(); {script}; times.push(performance.now() - t); }}"
        "return times.slice(1);"
    )
    return statistics.median(page.run(body, selector, n))


def key_script(key: str, shift: str = "false") -> str:
    return (
        f"window.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', shiftKey: {shift}}}))"
    )


def films_of(folder: Path, n_studies: int) -> Path:
    settings = PhantomSettings(n_patients=n_studies, seed=3, size=400)
    write_dicom_archive(folder / "films", settings, workers=1)
    enlarge(folder / "films")
    return folder / "films"


def measure(bundle: str, n_studies: int, n_cases: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = [bundle, "--files", str(films_of(folder, n_studies))]
        with Viewer(arguments, folder) as running, Browser(running.url) as page:
            result = drive(page, n_studies)
            for label, values in memory(page, running.process.pid, n_cases).items():
                print(f"{label}: {', '.join(f'{value:.0f}' for value in values)} MiB")
            return result


def drive(page: Browser, n_studies: int) -> dict[str, float]:
    page.open()
    page.until_rows(n_studies)
    page.until(lambda: page.text(".chip:nth-child(4) b") == "0", "the analysis")
    began = page.driver.execute_script("return performance.now()")
    page.keys(ENTER)
    page.until_painted()
    first = page.driver.execute_script("return performance.now()") - began
    nexts = []
    for _ in range(min(8, n_studies - 1)):
        following(page, "n")
        nexts.append(float(page.attribute(".desk", "data-painted-ms")))
    page.until(lambda: page.attribute(".pane", "data-heat") == "ready", "the heatmap")
    redrawn = key_script("ArrowRight", "true")
    result = {
        "first film painted after Enter": first,
        "next film painted after the key": statistics.median(nexts),
        "window redrawn (fit)": timed(page, ".desk", redrawn),
        "heatmap shown or hidden": timed(page, ".desk", key_script("h")),
    }
    page.keys("o")
    return result | {"window redrawn (1:1)": timed(page, ".desk", redrawn)}


def following(page: Browser, key: str) -> None:
    """Go to another study, and wait until its film and heatmaps are there."""
    before = page.case()
    page.until(lambda: page.attribute(".pane", "data-heat") == "ready", "the heatmap")
    rested = "data-test-script-state"
    page.until(lambda: page.attribute(".stApp", rested) == "notRunning", "the server's answer")
    page.keys(key)
    page.until(lambda: page.case() != before, "another study")
    page.until_painted()


def memory(page: Browser, server: int, n_cases: int) -> dict[str, list[float]]:
    """MiB of heap and of the server's processes, at five times over a number of studies."""
    heap: list[float] = []
    resident: list[float] = []
    key = "p"
    for number in range(n_cases):
        if page.run("return found.disabled", f"button[title^='{TITLES[key]}']"):
            key = "n" if key == "p" else "p"
        following(page, key)
        if (number + 1) % max(n_cases // 5, 1) == 0:
            page.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
            used = page.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})
            heap.append((used["usedSize"] + used.get("backingStorageSize", 0)) / 2**20)
            resident.append(_resident(server))
    return {
        f"JavaScript heap over {n_cases} studies": heap,
        f"server over {n_cases} studies": resident,
    }


def _resident(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def long_list(bundle: str, n: int) -> dict[str, float]:
    """A ledger of n studies: from the question to the drawn list, and from the address to it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        address = f"sqlite:///{folder / 'ledger.sqlite'}"
        with open_ledger(address) as ledger:
            fill(ledger, n)
        (folder / "viewer.toml").write_text(f"[viewer]\nledger = '{address}'\n")
        arguments = [bundle, "--settings", str(folder / "viewer.toml")]
        with Viewer(arguments, folder) as running, Browser(running.url) as page:
            times = [opened_list(page, n) for _ in range(6)][1:]
            moved = timed(page, ".worklist", key_script("PageDown"))
    asked, opened = (statistics.median(values) for values in zip(*times, strict=True))
    return {
        f"worklist of {n:,} drawn after it was asked for": asked,
        f"worklist of {n:,} drawn after its address": opened,
        f"worklist of {n:,}, a page down": moved,
    }


def opened_list(page: Browser, n: int) -> tuple[float, float]:
    page.open()
    page.until_rows(n)
    asked, opened = page.attribute(".worklist", "data-drawn").split("/")
    return float(asked), float(opened)


def fill(ledger: Ledger, n: int) -> None:
    """Studies that were read, every tenth with a flag."""
    arrivals.enqueue_many(ledger, [received(i) for i in range(n)])
    while films := jobs.lease(ledger, "fill", 500):
        outcomes = [
            Outcome(
                film.id,
                prediction(film, positive=("Effusion",) if film.id % 10 == 0 else ()),
                facts=facts(film),
            )
            for film in films
        ]  # fmt: skip
        jobs.finish(ledger, "fill", outcomes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--studies", type=int, default=24, help="More than the ten it keeps.")
    parser.add_argument("--cases", type=int, default=200, help="Studies of the look at memory.")
    parser.add_argument("--rows", type=int, default=10_000, help="Studies of the long worklist.")
    options = parser.parse_args()
    measured = measure(options.bundle, options.studies, options.cases)
    measured |= long_list(options.bundle, options.rows)
    for name, value in measured.items():
        print(f"{name:50} {value:8.1f} ms")


if __name__ == "__main__":
    main()
