"""Viewer pictures: every page in both themes, at 1,280 pixels and on an upright 4K monitor.

    python benchmarks/viewer_pictures.py --bundle demo/bundle --archive demo/archive --out pictures

The films are phantoms, and two readers who do not exist have read what came before today. The
pictures of the upright monitor are written at a third of its size.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pydicom
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browser import Browser, Viewer  # noqa: E402

from monai_cxr.labels.audit_folder import QUEUE, with_digests  # noqa: E402
from monai_cxr.review.local_store import LocalStore  # noqa: E402
from monai_cxr.review.reviews import FindingReview, Review  # noqa: E402
from monai_cxr.review.stores import Access  # noqa: E402
from monai_cxr.tables import write_table  # noqa: E402

ENTER, DOWN = "\ue007", "\ue015"
SCREENS = {"wide": (1280, 860, 1), "tall": (2160, 3840, 3)}
THEMES = ("dark", "light")
PAGES = ("label-audit", "upload", "model", "monitoring", "operations", "audit", "account")
TODAY = 24
"""So many studies came today and are unread."""
READERS = ("anna", "bela")
JUDGED = (("Effusion", "Pneumonia"), ("Pneumothorax", "Mass", "Nodule"), ("Atelectasis",))
SETTINGS = "[viewer]\ntheme = 'system'\n[viewer.prevalence]\nPneumothorax = 0.01\nEffusion = 0.08\n"


def chosen_films(archive: Path, folder: Path, n_patients: int) -> int:
    """Copy the films of some patients, those with two or three films first, and a few others.

    Returns:
        How many studies there are.
    """
    by_patient = defaultdict(list)
    for path in sorted(archive.rglob("*.dcm")):
        by_patient[path.relative_to(archive).parts[0]].append(path)
    several = [paths for paths in by_patient.values() if 2 <= len(paths) <= 3]
    alone = [paths for paths in by_patient.values() if len(paths) == 1]
    paths = [path for films in several[: n_patients // 3] for path in films]
    paths += [films[0] for films in alone[: n_patients - n_patients // 3]]
    now = time.time()
    for number, path in enumerate(paths):
        copy = Path(shutil.copy(path, folder / f"{number:03d}.dcm"))
        os.utime(copy, (now - _age(number),) * 2)
    _changed(folder / "001.dcm", folder / "side.dcm", ViewPosition="LL", PatientID="SIDE")
    _changed(folder / "002.dcm", folder / "child.dcm", PatientAge="009Y", PatientID="CHILD")
    (folder / "letter.dcm").write_bytes(b"This is no film. " * 50)
    return len(paths) + 3


def _age(number: int) -> float:
    """Seconds since a study came: today's a few minutes apart, the others over nine days."""
    if number < TODAY:
        return 60.0 * (4 * number + 3)
    return 86400.0 * (1.0 + (number * 0.618 % 1.0) * 9.0)


def made_up_readings(folder: Path, store: LocalStore) -> None:
    """Two readers have read every study that came before today."""
    films = enumerate(sorted(folder.glob("[0-9]*.dcm")))
    before = [(path.stat().st_mtime, number, path) for number, path in films if number >= TODAY]
    for came, number, path in sorted(before):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        reader, study = READERS[number % 2], str(header.StudyInstanceUID)
        at = came + 60.0 * (12 + 17 * (number % 5))
        said = {
            name: FindingReview("disagree" if (number + place) % 7 == 0 else "agree")
            for place, name in enumerate(JUDGED[number % len(JUDGED)])
        }
        store.record(Access(at - 60.0, reader, "reader", "opened", study))
        store.record(Access(at, reader, "reader", "finished", study))
        seconds = 31.0 + 9 * (number % 7)
        instance = str(header.SOPInstanceUID)
        store.save(Review(study, instance, reader, "", said, seconds=seconds, finished=True, at=at))


def made_up_audit(folder: Path, out: Path) -> Path:
    """An audit of two findings on the films, whose labels nobody needs to know."""
    films = [
        (str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID), str(path))
        for path in sorted(folder.glob("[0-9]*.dcm"))
    ]
    rows = [(name, *film, 0) for name in ("Pneumothorax", "Effusion") for film in films]
    queue = pd.DataFrame(rows, columns=["finding", "sop_uid", "path", "given"])
    write_table(with_digests(queue), out / QUEUE)
    return out


def _changed(source: Path, target: Path, **values: str) -> None:
    dataset = pydicom.dcmread(source)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.StudyInstanceUID = pydicom.uid.generate_uid()
    dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(target)


class Camera:
    """Takes pictures of one theme on one screen."""

    def __init__(self, page: Browser, out: Path, theme: str, screen: str) -> None:
        self.page, self.out, self.theme, self.screen = page, out, theme, screen

    def take(self, name: str) -> None:
        """Write one picture."""
        self.page.until(self._settled, "charts and tables")
        time.sleep(1.0)  # they fade in; only a picture depends on it
        picture = Image.open(io.BytesIO(self.page.driver.get_screenshot_as_png())).convert("RGB")
        picture = picture.reduce(SCREENS[self.screen][2])
        picture.save(self.out / f"viewer-{name}-{self.theme}-{self.screen}.png", optimize=True)

    def _settled(self) -> bool:
        page = self.page
        if page.attribute(".stApp", "data-test-script-state") != "notRunning":
            return False
        if page.text(".status"):  # a word to the reader, gone after some seconds
            return False
        waiting = "[data-testid=stSkeleton], [data-stale=true]"
        return not page.driver.find_elements("css selector", waiting)

    def walk(self, n_studies: int, pages: Sequence[str]) -> None:
        """Through worklist, reading page and these pages, once."""
        page = self.page
        page.open()
        page.until_analysed(n_studies)
        page.open()  # the first row is chosen as the list is now
        page.until_analysed(n_studies)
        self.take("worklist")
        self.read()
        for name in pages:
            page.open(f"/{name}")
            page.until(lambda: page.text("h1"), name)
            if name == "label-audit":
                page.until_painted()
            self.take(name)

    def read(self) -> None:
        """One study with an earlier one: alone, with its heatmap and boxes, beside the earlier."""
        page = self.page
        page.keys(ENTER)
        page.until_painted()
        for _ in range(40):
            if "since" in page.text(".flags.since"):
                break
            before = page.case()
            page.keys("n")
            page.until(lambda old=before: page.case() != old, "the next study")
            page.until(self._settled, "what is known of it")
        page.until(lambda: page.attribute(".pane", "data-heat") == "ready", "the heatmap")
        self.take("read")
        page.keys("h", "b")
        self.take("heatmap")
        page.keys("h", "b", "s")
        self.take("prior")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=48)
    parser.add_argument("--screens", nargs="+", default=list(SCREENS), choices=list(SCREENS))
    parser.add_argument("--pages", nargs="*", default=list(PAGES), choices=list(PAGES))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["LOGNAME"] = READERS[0]  # whom the viewer takes for its reader
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "films").mkdir()
        n = chosen_films(options.archive, folder / "films", options.patients)
        made_up_readings(folder / "films", LocalStore(folder / "reviews.sqlite"))
        (folder / "viewer.toml").write_text(SETTINGS)
        arguments = ["--files", str(folder / "films"), "--settings", str(folder / "viewer.toml")]
        audit = made_up_audit(folder / "films", folder / "audit")
        arguments = [options.bundle, *arguments, "--label-audit", str(audit)]
        with Viewer(arguments, folder) as viewer, Browser(viewer.url) as page:
            for screen in options.screens:
                page.resize(*SCREENS[screen][:2])
                for theme in THEMES:
                    page.prefer(theme)
                    Camera(page, options.out, theme, screen).walk(n, options.pages)
                    print(f"{theme}, {screen}")


if __name__ == "__main__":
    main()
