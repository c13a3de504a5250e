"""JavaScript: modules that each stand alone, and one source made of them."""

from __future__ import annotations

import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from browser import Browser, require_chromium

from clinical_app.components import FRONTEND, VIEWER, WORKLIST
from clinical_app.javascript import joined

MODULES = sorted(FRONTEND.rglob("*.js"))
_NAME = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let|var) (\w+)", re.MULTILINE)


@pytest.mark.parametrize("entry", [VIEWER, WORKLIST], ids=lambda path: path.stem)
def test_one_source_has_one_default_export_and_no_imports(entry):
    source = joined(entry)
    assert not re.search(r"^[ \t]*import\b", source, re.MULTILINE)
    assert re.findall(r"^[ \t]*export \w+", source, re.MULTILINE) == ["export default"]


@pytest.mark.parametrize("entry", [VIEWER, WORKLIST], ids=lambda path: path.stem)
def test_one_source_names_each_thing_once(entry):
    names = _NAME.findall(joined(entry))
    assert len(names) > 3
    assert sorted(set(names)) == sorted(names)


def test_every_module_is_shown_by_a_component():
    shown = joined(VIEWER) + joined(WORKLIST)
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
def served():
    """The modules as files of a web server of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        extensions_map = {".js": "text/javascript", "": "text/html"}  # noqa: RUF012

        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Quiet, directory=str(FRONTEND))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_each_module_is_valid_by_itself(served):
    """Chromium resolves every import to an export; so does it in the one source."""
    require_chromium()
    page = Browser(served)
    try:
        page.open("/viewer/main.js")
        names = [path.relative_to(FRONTEND).as_posix() for path in MODULES]
        said = page.driver.execute_async_script(_IMPORT_ALL, names)
        assert said == dict.fromkeys(names, "")
        for entry in (VIEWER, WORKLIST):
            assert page.driver.execute_async_script(_IMPORT_TEXT, joined(entry)) == "function"
    finally:
        page.close()


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
