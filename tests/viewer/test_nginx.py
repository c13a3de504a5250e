"""Under a path of a site, behind nginx as the documentation sets it up."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from browser import ROOT, Browser, Viewer, require_chromium

from clinical_app.server import free_port
from monai_cxr.review.local_store import LocalStore

ENTER = "\ue007"
SECRET = "0123456789abcdef"
GUIDE = ROOT / "docs" / "how-to" / "view-films.md"
AROUND = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  {temporary}
  server {{ listen 127.0.0.1:{port}; {location} location / {{ return 404; }} }}
}}
"""
KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def documented(viewer_port: int) -> str:
    """The block of the guide, with this test's port, user and secret."""
    (block,) = re.findall(r"^    location /xray/ \{.*?^    \}", GUIDE.read_text(), re.M | re.S)
    return (
        block.replace("127.0.0.1:8501", f"127.0.0.1:{viewer_port}")
        .replace("$authenticated_user", "anna@x.org")
        .replace('"..."', f'"{SECRET}"')
    )


@pytest.fixture(scope="module")
def site(phantom_index, tmp_path_factory):
    """Address of the viewer at the site, and its store."""
    require_chromium()
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("The test needs Debian's package nginx.")
    folder = tmp_path_factory.mktemp("site")
    films = folder / "films"
    films.mkdir()
    for number, path in enumerate(phantom_index.table["path"].head(3)):
        shutil.copy(path, films / f"{number}.dcm")
    settings = folder / "viewer.toml"
    settings.write_text(
        f"[viewer]\nauthentication = 'proxy'\nproxy_secret = '{SECRET}'\n"
        "[viewer.roles]\nadmin = ['anna@x.org']\n"
    )
    options = ["--files", str(films), "--settings", str(settings), "--base-path", "/xray"]
    viewer = Viewer(options, folder)
    port = free_port("127.0.0.1", 0)
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in KINDS)
    location = documented(int(re.findall(r":(\d+)/", viewer.url)[0]))
    config = folder / "nginx.conf"
    config.write_text(
        AROUND.format(folder=folder, temporary=temporary, port=port, location=location)
    )
    nginx = subprocess.Popen([program, "-c", str(config), "-e", f"{folder}/error.log"])
    try:
        _until_it_answers(f"http://127.0.0.1:{port}/xray/cxr/health")
        yield f"http://127.0.0.1:{port}", LocalStore(folder / "reviews.sqlite")
    finally:
        nginx.terminate()
        nginx.wait(30)
        viewer.stop()


def _until_it_answers(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline, address
            time.sleep(0.1)


def test_a_study_is_read_under_the_path(site):
    """Page, socket, films, heatmap links and reviews all lie below the path, through nginx."""
    address, store = site
    page = Browser(f"{address}/xray")
    try:
        page.open("/")
        page.until_rows(3)
        page.keys(ENTER)
        page.until_painted()
        first = page.case()
        page.keys("t")
        page.keys("Under a path.", "\ue00c")
        page.until(lambda: [review.note for review in store.reviews()], "the review")
        page.driver.refresh()
        page.until_painted()
        assert page.case() == first
        page.until(lambda: page.keys("n") or page.case() not in (None, first), "the next study")
        asked = page.driver.execute_script(
            "return performance.getEntriesByType('resource').map((one) => one.name);"
        )
        ours = [one for one in asked if one.startswith(address)]
        assert any("/xray/cxr/film/" in one for one in ours)
        assert [one for one in ours if not one.startswith(f"{address}/xray/")] == []
        for name in ("upload", "monitoring", "audit", "account"):
            page.open(f"/{name}")
            page.until(lambda: page.text("h1") or page.text("[data-testid=stFileUploader]"), name)
        (cookie,) = [one for one in page.driver.get_cookies() if one["name"] == "cxr_session"]
        assert cookie["path"] == "/xray"
    finally:
        page.close()


@pytest.mark.parametrize("path", ["/", "/cxr/health", "/xray/../cxr/health", "/xrayx/cxr/health"])
def test_nothing_of_the_viewer_lies_elsewhere(site, path):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(site[0] + path)
    error.value.close()
    assert error.value.code == 404
