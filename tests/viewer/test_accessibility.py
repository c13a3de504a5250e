"""Accessibility: axe finds nothing serious on any page, dark and light, wide and tall."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from browser import Browser, Viewer, require_chromium

ENTER = "\ue007"
SERIOUS = ("serious", "critical")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
BACKGROUND = {"dark": "rgb(12, 15, 19)", "light": "rgb(255, 255, 255)"}
PAGES = ("upload", "model", "monitoring", "operations", "audit", "account")


@pytest.fixture(scope="module")
def axe() -> str:
    found = find_spec("axe_playwright_python")
    if found is None or not found.submodule_search_locations:
        pytest.skip("The check needs the package axe-playwright-python, which carries axe.")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def films(phantom_index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("accessible_films")
    for number, path in enumerate(phantom_index.table["path"].head(3)):
        shutil.copy(path, folder / f"{number}.dcm")
    (folder / "letter.dcm").write_bytes(b"This is no film. " * 50)
    return folder


@pytest.fixture(scope="module")
def page(films, packaged_bundle, tmp_path_factory):
    require_chromium()
    folder = tmp_path_factory.mktemp("accessible")
    (folder / "viewer.toml").write_text("[viewer]\ntheme = 'system'\n")
    settings = ["--settings", str(folder / "viewer.toml")]
    arguments = [str(packaged_bundle), "--files", str(films), *settings]
    with Viewer(arguments, folder) as viewer, Browser(viewer.url, (1280, 860)) as browser:
        yield browser


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_no_page_has_a_serious_finding(axe, page, theme):
    page.prefer(theme)
    found = _findings(page, axe)
    seen = page.run("return getComputedStyle(found).backgroundColor", ".stApp")
    assert seen == BACKGROUND[theme]
    assert not found, "\n".join(f"{name}: {line}" for name in found for line in found[name])


def _findings(page: Browser, axe: str) -> dict[str, list[str]]:
    page.open()
    page.until_rows(2)
    found = {"worklist": _checked(page, axe)}
    page.until(lambda: page.attribute(".row.u1, .row.u2, .row.u3, .row.u4", "id"), "a row")
    page.keys(ENTER)
    page.until_painted()
    page.until(lambda: page.attribute(".pane", "data-heat") == "ready", "the heatmap")
    page.keys("h")
    found["reading"] = _checked(page, axe)
    page.keys("?")
    found["keys"] = _checked(page, axe)
    for name in PAGES:
        page.open(f"/{name}")
        page.until(lambda: page.text("h1"), name)
        found[name] = _checked(page, axe)
    _press(page, "Lock now")
    page.until(lambda: "You locked this session" in page.text("body"), "the lock")
    found["lock"] = _checked(page, axe)
    _press(page, "Continue")
    page.until(lambda: "Lock now" in page.text("body"), "the account")
    return {name: lines for name, lines in found.items() if lines}


def _press(page: Browser, words: str) -> None:
    page.driver.find_element("xpath", f"//button[contains(., '{words}')]").click()


def _settled(page: Browser) -> bool:
    """Whether the script of the page has ended, and nothing of it is dimmed or on its way."""
    running = page.attribute(".stApp", "data-test-script-state") != "notRunning"
    return not running and not page.driver.find_elements("css selector", _DIMMED)


_DIMMED = "[data-stale=true], [data-testid=stSkeleton]"
_AT_ONCE = (
    "const one = document.createElement('style'); document.head.append(one);"
    "one.textContent = '* { transition: none !important; animation: none !important; }';"
)


def _checked(page: Browser, axe: str) -> list[str]:
    page.until(lambda: _settled(page), "a page at rest")
    page.driver.execute_script(_AT_ONCE + axe)
    answer = page.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run(document, {runOnly: arguments[0], resultTypes: ['violations']})"
        ".then((r) => done(r.violations), (e) => done([{id: String(e), impact: 'critical',"
        " nodes: []}]));",
        list(RULES),
    )
    return [
        f"{one['id']}: {node['target']} {node['failureSummary'][:300]}"
        for one in answer
        if one["impact"] in SERIOUS
        for node in one["nodes"] or [{"target": "", "failureSummary": ""}]
    ]
