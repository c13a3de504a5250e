"""Viewer: what a reader waits for in the browser, measured on a running viewer.

    python benchmarks/viewer.py --bundle demo/bundle

Films of 2,500 x 2,000 pixels are drawn by the phantom's physics at a small size and enlarged; the
worklist of 10,000 studies is a list of rows. Times are medians in milliseconds, taken in one run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydicom

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "viewer"))

from browser import Browser, Viewer  # noqa: E402

from monai_cxr.phantom import PhantomSettings, write_dicom_archive  # noqa: E402

ENTER = "\ue007"
ROWS, COLUMNS = 2500, 2000


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


def key_script(key: str) -> str:
    return f"window.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}'}}))"


def measure(bundle: str, n_studies: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = PhantomSettings(n_patients=n_studies, seed=3, size=400)
        write_dicom_archive(folder / "films", settings, workers=1)
        enlarge(folder / "films")
        running = Viewer([bundle, "--files", str(folder / "films")], folder)
        try:
            return drive(Browser(running.url), n_studies)
        finally:
            running.stop()


def drive(page: Browser, n_studies: int) -> dict[str, float]:
    try:
        page.open()
        page.until_rows(n_studies)
        page.until(lambda: "0" in page.text(".chip:nth-child(4)"), "the analysis")
        began = page.driver.execute_script("return performance.now()")
        page.keys(ENTER)
        page.until_painted()
        first = page.driver.execute_script("return performance.now()") - began
        nexts = []
        for _ in range(min(8, n_studies - 1)):
            before = page.case()
            page.until(lambda: page.attribute(".pane", "data-heat") == "ready", "the heatmap")
            page.keys("n")
            page.until(lambda old=before: page.case() != old, "the next study")
            page.until_painted()
            nexts.append(float(page.attribute(".desk", "data-painted-ms")))
        page.until(lambda: page.attribute(".pane", "data-heat") == "ready", "the heatmap")
        window = timed(page, ".desk", "window.dispatchEvent(new KeyboardEvent('keydown', "
                       "{key: 'ArrowRight', shiftKey: true}))")  # fmt: skip
        result = {
            "first film painted after Enter": first,
            "next film painted after the key": statistics.median(nexts),
            "window redrawn (fit)": window,
            "heatmap shown or hidden": timed(page, ".desk", key_script("h")),
        }
        page.keys("o")
        result["window redrawn (1:1)"] = timed(
            page, ".desk", "window.dispatchEvent(new KeyboardEvent('keydown', "
            "{key: 'ArrowRight', shiftKey: true}))"
        )  # fmt: skip
        return result
    finally:
        page.close()


def worklist_of(n: int) -> float:
    """Server's time to order and write a worklist of n studies, in milliseconds."""
    import time

    sys.path.insert(0, str(ROOT / "tests" / "review"))
    from review_data import case

    from monai_cxr.review.worklist import worklist

    cases = [case(i, {"Effusion": (i % 10) / 10, "Mass": 0.2}) for i in range(n)]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        json.dumps(worklist(cases, [], now=1.0, longest_wait_seconds=3600.0))
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--studies", type=int, default=8)
    options = parser.parse_args()
    for name, value in measure(options.bundle, options.studies).items():
        print(f"{name:40} {value:8.1f} ms")
    print(f"{'worklist of 10,000, on the server':40} {worklist_of(10_000):8.1f} ms")


if __name__ == "__main__":
    main()
