"""Sign in: by an OpenID provider, and by a proxy that names the user, in real browsers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest
from browser import SECONDS, Browser, Viewer, require_chromium
from header_proxy import HeaderProxy

from clinical_app.server import free_port
from monai_cxr.review.local_store import LocalStore

ENTER = "\ue007"
SECRET = "0123456789abcdef"
ROLES = """
[viewer.roles]
reader = ["anna@example.org", "bob@example.org"]
viewer = ["vera@example.org"]
operator = ["olaf@example.org"]
"""


@pytest.fixture(scope="module")
def films(phantom_index, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded_films")
    for number, path in enumerate(phantom_index.table["path"].head(2)):
        shutil.copy(path, folder / f"{number}.dcm")
    return folder


@pytest.fixture
def start(films, tmp_path):
    """Start a viewer with the rest of a ``[viewer]`` table, and a bundle or none."""
    require_chromium()
    running = []

    def begin(table: str, *bundle: str, port: int = 0) -> Viewer:
        settings = tmp_path / "viewer.toml"
        settings.write_text(f"[viewer]\n{table}\n{ROLES}")
        arguments = [*bundle, "--files", str(films), "--settings", str(settings)]
        running.append(Viewer(arguments, tmp_path, port=port))
        return running[-1]

    yield begin
    for viewer in running:
        viewer.stop()


@pytest.fixture
def browsers():
    """Browsers that know nothing of each other."""
    opened = []

    def one(url: str) -> Browser:
        opened.append(Browser(url))
        return opened[-1]

    yield one
    for page in opened:
        page.close()


def says(page: Browser, words: str) -> None:
    page.until(lambda: words in page.text("body"), words)


def opened_case(page: Browser) -> str:
    page.until_rows(2)
    page.keys(ENTER)
    page.until_painted()
    return page.case()


def fetched(page: Browser, path: str) -> int:
    """Status of a request with the browser's own cookies."""
    return page.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "fetch(arguments[0]).then((answer) => done(answer.status), () => done(0));",
        path,
    )


def last_link(page: Browser) -> str:
    """Path from which the browser fetched a film last."""
    return page.driver.execute_script(
        "const asked = performance.getEntriesByType('resource');"
        "const paths = asked.map((one) => new URL(one.name).pathname);"
        "return paths.filter((path) => path.includes('/cxr/film/')).pop();"
    )


def test_a_proxy_names_readers_and_roles_are_kept(start, browsers, packaged_bundle, tmp_path):
    table = f"authentication = 'proxy'\nproxy_secret = '{SECRET}'"
    viewer = start(table, str(packaged_bundle))
    port = int(viewer.url.rsplit(":", 1)[1])
    proxies = {
        name: HeaderProxy(
            port, {"X-Forwarded-Email": f"{name}@example.org", "X-Viewer-Secret": SECRET}
        )
        for name in ("anna", "bob", "olaf", "vera", "stranger")
    }
    try:
        anna, bob = browsers(proxies["anna"].url), browsers(proxies["bob"].url)
        anna.open()
        case = opened_case(anna)
        film = last_link(anna)
        assert fetched(anna, film) == 200
        _both_judge(anna, bob, case, LocalStore(tmp_path / "reviews.sqlite"))
        assert fetched(bob, film) == 403  # a copied link, in the session of another
        _roles_are_kept(bob, proxies, case, film)
        bob.url = viewer.url
        bob.open()
        says(bob, "Sign in through the proxy")
    finally:
        for proxy in proxies.values():
            proxy.stop()


def _both_judge(anna: Browser, bob: Browser, case: str, store: LocalStore) -> None:
    """Two readers at once on one study: both are kept, each sees that the other was there."""
    bob.open(f"/?case={case}")
    bob.until_painted()
    anna.keys("a")
    anna.until(lambda: anna.attribute(".desk", "data-saved"), "anna's review")
    bob.keys("d")
    bob.until(lambda: bob.attribute(".desk", "data-saved"), "bob's review")
    said = {review.reader: review for review in store.reviews()}
    opinions = {name: [f.opinion for f in said[name].findings.values()] for name in said}
    assert opinions == {"anna@example.org": ["agree"], "bob@example.org": ["disagree"]}
    bob.open(f"/?case={case}")
    says_others = "Also reviewed by anna@example.org"
    bob.until(lambda: says_others in bob.text(".panel"), says_others)


def _roles_are_kept(page: Browser, proxies: dict[str, HeaderProxy], case: str, film: str) -> None:
    page.url = proxies["olaf"].url
    page.open(f"/worklist?case={case}")
    says(page, "Not part of your role")
    assert fetched(page, film) == 403
    page.open("/operations")
    says(page, "Nothing is held back")
    page.url = proxies["vera"].url
    page.open("/monitoring")
    says(page, "Not part of your role")
    page.url = proxies["stranger"].url
    page.open()
    says(page, "No access yet")


def test_a_session_that_nobody_uses_locks(start, browsers, tmp_path):
    """The screen locks by itself, and what was open can no longer be fetched."""
    viewer = start("idle_minutes = 0.08")
    page = browsers(viewer.url)
    page.open()
    case = _in_use(page, lambda: page.attribute(".worklist [aria-selected=true]", "data-id"))
    page.open(f"/?case={case}")
    _in_use(page, lambda: page.attribute(".pane", "data-painted"))
    film = last_link(page)
    says(page, "Nobody used this session for 0.08 minutes. What was not saved yet")
    assert fetched(page, film) == 403
    assert not page.attribute(".pane", "data-painted")
    actions = {line.action for line in LocalStore(tmp_path / "reviews.sqlite").accesses(50)}
    assert {"opened", "locked"} <= actions
    _press(page, "Continue", lambda: page.attribute(".pane", "data-painted"))
    assert last_link(page) != film
    assert fetched(page, film) == 403  # the link of before stays closed


def _in_use(page: Browser, there: Callable[[], str | None]) -> str | None:
    """Wait for a thing of the page; where a slow machine was locked before it came, go on."""
    seen = page.until(lambda: there() or _shows(page, "Continue"), "the page")
    if seen is True:
        _press(page, "Continue", there)
        return there()
    return seen


def test_an_openid_provider_signs_in_and_out(start, browsers):
    port = free_port("127.0.0.1", 0)
    with running_provider("anna", "olaf") as provider:
        viewer = start(_oidc(port, provider), port=port)
        page = browsers(viewer.url)
        page.open()
        _sign_in(page, "anna")
        opened_case(page)
        film = last_link(page)
        assert fetched(page, film) == 200
        page.open("/account")
        says(page, "anna@example.org")
        _press(page, "Sign out", lambda: _shows(page, "End session"))
        _press(page, "End session", lambda: _shows(page, "Sign in"))
        assert fetched(page, film) == 403  # what anna opened ended with her session
        _sign_in(page, "olaf")
        says(page, "Monitoring")
        assert fetched(page, film) == 403
        page.open("/worklist")
        says(page, "Not part of your role")


@contextmanager
def running_provider(*names: str) -> Iterator[str]:
    """A real OpenID provider in a process of its own; its address."""
    if find_spec("oidc_provider_mock") is None:
        pytest.skip("The sign-in needs the package oidc-provider-mock.")
    port = free_port("127.0.0.1", 0)
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    for name in names:
        person = {"sub": f"{name}@example.org", "email": f"{name}@example.org"}
        command += ["--user-claims", json.dumps(person)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"{address}/.well-known/openid-configuration"):
                    break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _oidc(port: int, base: str) -> str:
    return (
        f"authentication = 'oidc'\n[viewer.oidc]\n"
        f"redirect_uri = 'http://127.0.0.1:{port}/oauth2callback'\n"
        f"cookie_secret = '{SECRET * 2}'\nclient_id = 'viewer'\nclient_secret = 'secret'\n"
        f"server_metadata_url = '{base}/.well-known/openid-configuration'\n"
    )


def _sign_in(page: Browser, name: str) -> None:
    def form() -> list:
        return page.driver.find_elements("css selector", "input[name=sub]")

    page.until(lambda: _shows(page, "Sign in"), "the sign-in page")
    _press(page, "Sign in", form)
    form()[0].send_keys(f"{name}@example.org", ENTER)


def _shows(page: Browser, words: str) -> bool:
    return page.driver.execute_script(f"return {_BUTTONS}.length > 0;", words)


def _press(page: Browser, words: str, done: Callable[[], object]) -> None:
    """Press a button, and again where the page was drawn anew at that moment and lost the click."""
    for _ in range(10):
        page.driver.execute_script(f"{_BUTTONS}.forEach((one) => one.click());", words)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if done():
                return
            time.sleep(0.1)
    raise AssertionError(f"Nothing came of pressing {words}.")


_BUTTONS = (
    "[...document.querySelectorAll('button')].filter((one) => one.textContent.includes("
    "arguments[0]))"
)
