"""Modules of the desk by themselves: windows, placement, contours, measurements, verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from browser import Browser, require_chromium
from http_peer import serving_folder

from clinical_app.components import FRONTEND


@pytest.fixture(scope="module")
def page():
    """A page that can import each module, of a web server of this machine."""
    require_chromium()
    with serving_folder(FRONTEND) as url, Browser(url) as browser:
        browser.open("/viewer/main.js")
        yield browser


def call(page, module: str, body: str, *values: object):
    """Run a script that sees a module as ``it`` and values as ``v``."""
    script = (
        "const [v, done] = arguments;"
        f"import('/viewer/{module}.js').then((it) => {{ {body} }}).catch((e) => done(String(e)));"
    )
    return page.driver.execute_async_script(script, list(values))


PRESETS = [
    {"name": "Automatic", "center": 100, "width": 80, "function": "LINEAR_EXACT"},
    {"name": "Lungs", "center": 80, "width": 50, "function": "LINEAR_EXACT"},
]
FILM = {"rows": 60, "columns": 100, "slope": 1, "intercept": 0, "inverse": False, "unit": "",
        "spacing": None, "aspect": 1, "orientation": [], "presets": PRESETS}  # fmt: skip


def test_voi_lut_jump(page):
    """A drag shifts and stretches the curve of a file's table; one pixel hardly changes it."""
    curve = (255 / (1 + np.exp(-(np.arange(65536) - 2000) / 300))).round().astype(int).tolist()
    film = {**FILM, "presets": [{"name": "T", "center": 2000, "width": 2400, "function": "TABLE"}]}
    opened, nudged, moved = call(
        page, "grays",
        "const film = v[0]; film.presets[0].levels = new Uint8Array(v[1]);"
        "const table = new Uint32Array(65536);"
        "const gray = (look) => { it.fillTable(table, film, look);"
        " return [...table.slice(0, 5000)].map((c) => c & 255); };"
        "const look = it.presetLook(film, 0);"
        "done([gray(look), gray(it.lookByHand(film, look, 2005, 2400)),"
        " gray(it.lookByHand(film, look, 2500, 2400))]);",
        film, curve,
    )  # fmt: skip
    assert opened == curve[:5000]
    assert max(abs(a - b) for a, b in zip(opened, nudged, strict=True)) <= 2
    assert moved[500:5000] == opened[0:4500]


@pytest.mark.parametrize("inverse", [False, True])
def test_linked_window_is_as_bright_in_an_inverse_prior(page, inverse):
    automatic = {"name": "Automatic", "center": 1000, "width": 400, "function": "LINEAR_EXACT"}
    other = {**FILM, "inverse": inverse, "presets": [automatic]}
    look = call(
        page, "grays",
        "const [film, other] = v; const by = it.lookByHand(film, it.presetLook(film, 0), 90, 80);"
        "done(it.lookAfter(other, film, by));",
        FILM, other,
    )  # fmt: skip
    assert look["center"] == (1050 if inverse else 950)
    assert look["name"] == "As beside"


def test_each_film_has_its_own_preset_of_a_name_and_none_is_missing(page):
    other = {**FILM, "presets": [*PRESETS[::-1], {**PRESETS[0], "name": "Full range"}]}
    names = call(
        page, "grays",
        "const [film, other] = v; done(other.presets.map((_, i) =>"
        " it.lookAfter(film, other, it.presetLook(other, i)))"
        ".map(({name, center, width}) => [name, center, width]));",
        FILM, other,
    )  # fmt: skip
    assert names == [["Lungs", 80, 50], ["Automatic", 100, 80], ["As beside", 100, 80]]


def test_x_mirrors_left_and_right_of_the_screen_at_every_turn(page):
    corners = call(
        page, "placement",
        "const at = new it.Placement(v[0]); Object.assign(at, {width: 200, height: 100});"
        "const out = []; for (let i = 0; i < 4; i += 1) { at.fit();"
        " const before = at.toScreen(7, 3); at.flip(); out.push([before, at.toScreen(7, 3)]);"
        " at.flip(); at.rotate(); } done(out);",
        FILM,
    )  # fmt: skip
    for (x, y), (flipped_x, flipped_y) in corners:
        assert flipped_x == pytest.approx(200 - x)
        assert flipped_y == pytest.approx(y)


def test_four_letters_at_every_turn(page):
    letters = call(
        page, "overlay",
        "const film = {...v[0], orientation: ['L', 'F']}; const out = [];"
        "for (const flipped of [false, true]) for (let turn = 0; turn < 4; turn += 1) {"
        " const said = {}; const context = { strokeText() {},"
        "  fillText: (text, x, y) => { said[text] = [Math.round(x), Math.round(y)]; } };"
        " it.drawDirections(context, {film, flipped, turn, width: 100, height: 100, unit: 1},"
        "  {top: 0, bottom: 0});"
        " out.push(said); } done(out);",
        FILM,
    )  # fmt: skip
    for said in letters:
        assert sorted(said) == ["F", "H", "L", "R"]
        assert len({tuple(place) for place in said.values()}) == 4
    assert letters[0] == {"H": [50, 18], "L": [82, 50], "F": [50, 82], "R": [18, 50]}
    assert letters[1] == {"R": [50, 18], "H": [82, 50], "L": [50, 82], "F": [18, 50]}
    assert letters[4]["L"] == [18, 50]


def test_heatmap_on_a_grey_monitor(page):
    """The contour of a map lies where the map crosses the level, and is closed at its edges."""
    y, x = np.mgrid[:20, :30]
    heat = np.clip(255 - 30 * np.hypot(y - 10, x - 12), 0, 255).astype(int)
    pieces = call(page, "contour", "done(it.contour(v[0], 20, 30, 127.5));", heat.ravel().tolist())
    radius = [np.hypot(py - 0.5 - 10, px - 0.5 - 12) for px, py, *_ in pieces]
    assert np.allclose(radius, 4.25, atol=0.15)
    ends = [tuple(np.round(end, 6)) for a in pieces for end in (a[:2], a[2:])]
    assert all(ends.count(end) == 2 for end in ends)
    full = call(page, "contour", "done(it.contour(new Uint8Array(12).fill(255), 3, 4, 127.5));")
    assert len(full) >= 14


def test_measurements_follow_the_spacing(page):
    film = {**FILM, "spacing": [2.0, 0.5], "spacing_source": "detector"}
    said = call(
        page, "marks",
        "const [film, bare] = v; const of = (f, kind, points) => it.measured(f, {kind, points});"
        "done([of(film, 'length', [[0, 0], [6, 2]]), of(bare, 'length', [[0, 0], [6, 8]]),"
        " of(film, 'ratio', [[0, 0], [10, 0], [0, 9], [20, 9]]),"
        " of(film, 'angle', [[0, 0], [8, 0], [0, 0], [4, 1]])]);",
        film, FILM,
    )  # fmt: skip
    assert said == ["5.0 mm at the detector", "10 px", "CTR 0.50", "45.0°"]


def test_before_the_model_s_word_agree_means_present(page):
    said = call(
        page,
        "verdicts",
        "done(['agree', 'disagree', 'uncertain'].map((one) => it.judgedFirst({}, one).label));",
    )
    assert said == ["present", "absent", "uncertain"]
