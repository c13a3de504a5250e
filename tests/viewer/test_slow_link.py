"""Slow link: a named preview first, then the film that the header names, or black."""

from __future__ import annotations

import random
import socket
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from browser import Browser, Viewer, require_chromium
from desk_films import film_of, person
from slow_proxy import SlowProxy

from monai_cxr.dicom.display import levels
from monai_cxr.reading.files import read_display
from monai_cxr.review.local_store import LocalStore

ENTER = "\ue007"
STUDY = "1.2.826.0.1.3680043.8.498.41"
VIEWS = {0: ("PA", "LL"), 1: ("PA",), 2: ("AP",), 3: ("PA",)}
ENLARGED = 8
MBIT = 125_000  # bytes a second
STEPS = 30


def enlarged(source: Path, number: int, view: str) -> bytes:
    """A film of a thousand rows, with noise of its own that does not pack away."""
    dataset = pydicom.dcmread(source)
    pixels = dataset.pixel_array.astype(np.int64)[:, :: -1 if view == "LL" else 1]
    large = np.kron(pixels, np.ones((ENLARGED, ENLARGED), np.int64))
    noise = np.random.default_rng(number).integers(0, 60, large.shape)
    most = 2**dataset.BitsStored - 1
    large = np.clip(large + noise, 0, most).astype("<u2")
    name = f"{STUDY}.{number}"
    return film_of(
        source, **person(f"SLOW{number}", "F", "19600101", f"2024030{number + 1}"),
        StudyInstanceUID=name, SOPInstanceUID=f"{name}.{int(view == 'LL')}",
        Rows=large.shape[0], Columns=large.shape[1], PixelData=large.tobytes(),
        ViewPosition=view, PixelSpacing=None, ImagerPixelSpacing=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(phantom_index) -> dict[str, bytes]:
    sources = phantom_index.table.drop_duplicates("patient_id")["path"]
    return {
        f"{number}-{view}": enlarged(Path(sources.iloc[number]), number, view)
        for number, views in VIEWS.items()
        for view in views
    }


class Desk:
    """A viewer on a port that it keeps, and a tab on it."""

    def __init__(self, made: dict[str, bytes], folder: Path) -> None:
        self.folder, self.made = folder, made
        self.films = folder / "films"
        self.films.mkdir()
        for name, data in made.items():
            if name != "0-LL":
                (self.films / f"{name}.dcm").write_bytes(data)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.viewer = self._start()
        self.line = SlowProxy(self.port)
        self.tab = Browser(self.line.url, (900, 700))

    def _start(self) -> Viewer:
        return Viewer(["--files", str(self.films)], self.folder, self.port)

    def restart(self) -> None:
        self.viewer.stop()
        self.viewer = self._start()

    def link(self, bytes_a_second: float) -> None:
        """How fast films come from now on."""
        self.line.bytes_a_second = bytes_a_second

    def close(self) -> None:
        self.tab.close()
        self.line.stop()
        self.viewer.stop()


@pytest.fixture(scope="module")
def desk(made, tmp_path_factory):
    require_chromium()
    one = Desk(made, tmp_path_factory.mktemp("slow"))
    yield one
    one.close()


LOOK = """
const pane = found.querySelector('.pane'), canvas = pane.querySelector('canvas.film');
const where = found.querySelector('.where');
const early = pane.querySelector('canvas.early');
const d = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
let hash = 0, most = 0;
for (let i = 0; i < d.length; i += 4) {
  hash = (Math.imul(hash, 31) + d[i]) | 0;
  if (d[i] > most) most = d[i];
}
return {
  header: where.textContent.replace(/ · film \\d of \\d/, ''), black: most === 0, hash,
  painted: pane.dataset.painted, preview: pane.dataset.preview,
  early: !early.hidden, message: pane.querySelector('.message').textContent,
};
"""


def look(desk: Desk) -> dict:
    """Header, canvas and words of the desk at one moment."""
    ready = "if (!found || !found.querySelector('.pane canvas.early')) return null;"
    return desk.tab.run(f"{ready} {LOOK}", ".desk") or {}  # nothing while the page is being built


def open_first(desk: Desk, bytes_a_second: float = 100 * MBIT) -> None:
    """Open the first study; its film comes over a link of this speed."""
    desk.link(100 * MBIT)
    desk.tab.open()
    desk.tab.until_rows(len(VIEWS))
    desk.link(bytes_a_second)
    desk.tab.keys(ENTER)
    desk.tab.until(lambda: look(desk).get("header"), "a study")


def test_preview_first_on_slow_links(desk):
    """A small copy is there in moments and says what it is; nothing is stored for it."""
    open_first(desk, 1 * MBIT)
    seen = desk.tab.until(lambda: look(desk).get("early") and look(desk), "the preview")
    assert seen["message"].startswith("PREVIEW, too coarse to read from. Loading the film · ")
    assert seen["black"]
    assert not seen["painted"]
    lit = desk.tab.run(
        "const d = found.getContext('2d').getImageData(0, 0, found.width, found.height).data;"
        "let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] > 40;"
        "return n / (d.length / 4);",
        "canvas.early",
    )  # fmt: skip
    assert lit > 0.2
    desk.tab.keys("t")
    desk.tab.keys("x", "\ue00c", ENTER)
    assert "before the film is on the screen" in desk.tab.text(".status")
    store = LocalStore(desk.folder / "reviews.sqlite")
    assert list(store.reviews()) == []
    desk.link(100 * MBIT)
    desk.tab.until_painted()
    seen = look(desk)
    assert not seen["early"]
    assert not seen["black"]
    assert seen["message"] == ""
    assert list(store.reviews()) == []


def test_the_wire_carries_a_part_of_the_film_and_every_gray_of_it(desk, made):
    open_first(desk)
    desk.tab.until_painted()
    sent, film_bytes = desk.tab.driver.execute_script(
        "const one = performance.getEntriesByType('resource')"
        ".filter((e) => e.name.includes('/cxr/film/')).pop();"
        "return [one.encodedBodySize, one.decodedBodySize];"
    )
    assert sent < 0.7 * film_bytes
    desk.tab.keys("0", "o")
    header = look(desk)["header"]
    (name,) = [name for name, data in made.items() if day_of(data) in header and "LL" not in name]
    film = read_display(made[name])
    canvas = desk.tab.canvas()
    gray = np.array(canvas["gray"], dtype=int).reshape(canvas["height"], canvas["width"])
    expected = np.rint(levels(film, film.presets[0]) * 255)
    top, left = (film.shape[0] - gray.shape[0]) // 2, (film.shape[1] - gray.shape[1]) // 2
    assert top > 0
    assert left > 0
    parts = (
        expected[top + y : top + y + gray.shape[0], left + x : left + x + gray.shape[1]]
        for y in (-1, 0, 1)
        for x in (-1, 0, 1)
    )
    assert min(np.abs(part - gray).max() for part in parts) <= 1
    desk.tab.keys("0")


def day_of(data: bytes) -> str:
    day = str(read_header(data).StudyDate)
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def read_header(data: bytes) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(data), stop_before_pixels=True)


def test_the_canvas_shows_the_film_of_the_header_or_black(desk, made):
    """In any order of steps, lists and reloads, on any link; a film arrives, a restart."""
    chance = random.Random(20)
    known: dict[str, int] = {}

    def check() -> None:
        seen = look(desk)
        if not seen or not seen["header"]:
            return
        if seen["black"]:
            assert not seen["painted"]
            return
        assert seen["painted"]
        assert known.setdefault(seen["header"], seen["hash"]) == seen["hash"], seen["header"]

    def settle() -> None:
        desk.tab.until(lambda: look(desk).get("painted"), "the film")
        check()

    def step(key: str) -> None:
        desk.tab.keys(key)

    def reload() -> None:
        desk.tab.driver.refresh()

    def another_order() -> None:
        desk.tab.until(lambda: look(desk).get("header"), "a study")  # after a reload
        desk.tab.keys("w")
        desk.tab.until_rows(1)
        desk.tab.run(
            "found.selectedIndex = (found.selectedIndex + 1) % found.options.length;"
            "found.dispatchEvent(new Event('change', {bubbles: true}));",
            ".worklist select",
        )
        desk.tab.keys("\ue015", ENTER)
        desk.tab.until(lambda: look(desk).get("header"), "a study")

    open_first(desk)
    for _ in range(len(VIEWS)):  # each film at rest: what its canvas looks like
        settle()
        step("n")
        time.sleep(0.3)
    settle()
    assert len(known) >= len(VIEWS) - 1
    assert len(set(known.values())) == len(known)
    deeds = [lambda: step("n")] * 5 + [lambda: step("p")] * 4 + [lambda: step("v")] * 2
    deeds += [another_order, reload]
    for number in range(STEPS):
        desk.link(chance.choice((1, 3, 10, 100)) * MBIT)
        if number == STEPS // 3:
            (desk.films / "0-LL.dcm").write_bytes(made["0-LL"])
        elif number == STEPS // 2:
            desk.restart()
            reload()
        else:
            chance.choice(deeds)()
        check()
        check()
    desk.link(100 * MBIT)
    settle()
    assert len(set(known.values())) == len(known), "no two films look alike"
