"""JavaScript: modules that each stand alone, and one source made of them."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest
from browser import Browser, require_chromium
from http_peer import serving_folder

from clinical_app.components import FRONTEND, QUESTIONS, VIEWER, WORKLIST
from clinical_app.javascript import joined

ENTRIES = (VIEWER, WORKLIST, QUESTIONS)
MODULES = sorted(FRONTEND.rglob("*.js"))
_NAME = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let|var) (\w+)", re.MULTILINE)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.parent.stem)
def test_one_source_has_one_default_export_and_no_imports(entry):
    source = joined(entry)
    assert not re.search(r"^[ \t]*import\b", source, re.MULTILINE)
    assert re.findall(r"^[ \t]*export \w+", source, re.MULTILINE) == ["export default"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda path: path.parent.stem)
def test_one_source_names_each_thing_once(entry):
    names = _NAME.findall(joined(entry))
    assert len(names) > 3
    assert sorted(set(names)) == sorted(names)


def test_every_module_is_shown_by_a_component():
    shown = "".join(map(joined, ENTRIES))
    for path in MODULES:
        assert path.read_text(encoding="utf-8").splitlines()[0] in shown, path.name
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path.name


def test_what_is_imported_stands_before_and_once(tmp_path):
    (tmp_path / "a.js").write_text(
        'import { b, other } from "./deep/b.js";\nimport {\n  c,\n} from "./c.js";\n\n'
        "export default b + c; // export const x\n"
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.js").write_text('import { c } from "../c.js";\nexport const b = c;\n')
    (tmp_path / "c.js").write_text("export const c = 1;\nexport async function other() {}\n")
    assert joined(tmp_path / "a.js") == (
        "const c = 1;\nasync function other() {}\n\nconst b = c;\n\n\n"
        "export default b + c; // export const x\n"
    )


@pytest.fixture
def page():
    """A page that can import each module, of a web server of this machine."""
    require_chromium()
    with serving_folder(FRONTEND) as url, Browser(url) as opened:
        opened.open("/viewer/main.js")
        yield opened


def test_each_module_is_valid_by_itself(page):
    """Chromium resolves every import to an export; so does it in the one source."""
    names = [path.relative_to(FRONTEND).as_posix() for path in MODULES]
    said = page.driver.execute_async_script(_IMPORT_ALL, names)
    assert said == dict.fromkeys(names, "")
    for entry in ENTRIES:
        assert page.driver.execute_async_script(_IMPORT_TEXT, joined(entry)) == "function"


def test_names_of_boxes_do_not_cover_each_other(page):
    corners = [(0.2, 0.3), (0.2, 0.3), (0.21, 0.31), (0.2, 0.0), (0.2, 0.01), (0.7, 0.3)]
    corners += [(0.4, 0.98)] * 3 + [(0.96, 0.98)] * 2  # at the lower edge, and in its corner
    boxes = [
        {"box": [x, y, 0.2, 0.2], "title": f"Finding {i}", "chosen": i == 1}
        for i, (x, y) in enumerate(corners)
    ]
    unseen = [[-0.3, 0.5], [0.5, -0.3], [1.01, 0.5], [0.5, 1.01]]
    boxes += [{"box": [*at, 0.2, 0.2], "title": "Unseen", "chosen": False} for at in unseen]
    drawn = page.driver.execute_async_script(_DRAW_BOXES, boxes, UNITS)
    for unit, names in zip(UNITS, drawn, strict=True):
        places = {text: place for text, *place in names}
        assert set(places) == {box["title"] for box in boxes} - {"Unseen"}
        # Above its corner: the chosen one of two that share it, and the one that is alone.
        assert places["Finding 1"][:2] == pytest.approx([200, 300 - 20 * unit])
        assert places["Finding 5"][:2] == pytest.approx([700, 300 - 20 * unit])
        for one, two in combinations(places.values(), 2):
            assert apart(one, two)
        for left, top, width, height in places.values():
            assert min(left, top) >= 0
            assert left + width <= 1000
            assert top + height <= 1000


UNITS = (1.0, 16 / 14, 1.5, 24 / 14, *np.random.default_rng(0).uniform(0.8, 2.2, 60).tolist())
"""Of the screens we know, and others: their sums are rounded."""


def apart(one, two):
    (left, top, width, height), (left_2, top_2, width_2, height_2) = one, two
    beside = left + width <= left_2 or left_2 + width_2 <= left
    return beside or top + height <= top_2 + 0.5 or top_2 + height_2 <= top + 0.5


_DRAW_BOXES = """
const [boxes, units, done] = arguments;
let names = [];
let filled;
const context = {
  setLineDash() {}, strokeRect() {},
  measureText: (text) => ({ width: 8 * text.length }),
  fillRect(...place) { filled = place; },
  fillText(text) { names.push([text, ...filled]); },
};
const film = { columns: 1000, rows: 1000 };
import('/viewer/overlay.js').then((overlay) => {
  const drawn = units.map((unit) => {
    names = [];
    const at = { film, unit, width: 1000, height: 1000, toScreen: (x, y) => [x, y] };
    overlay.drawBoxes(context, at, boxes);
    return names;
  });
  done(drawn);
});
"""
_IMPORT_ALL = """
const [names, done] = arguments;
const one = (name) => import(`/${name}`).then(() => [name, ''], (e) => [name, String(e)]);
Promise.all(names.map(one)).then((all) => done(Object.fromEntries(all)));
"""
_IMPORT_TEXT = """
const [source, done] = arguments;
const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
import(url).then((module) => done(typeof module.default), (e) => done(String(e)));
"""
