"""Doors: who is let in, by whose headers, and what is left behind; over real sockets."""

from __future__ import annotations

import re
import shutil
import socket
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from browser import Viewer
from streamlit.testing.v1 import AppTest
from streamlit_tab import Tab
from websockets.exceptions import InvalidStatus

from clinical_app.launch import NoCases
from clinical_app.server import free_port
from clinical_app.service import Service, configure
from clinical_app.settings import ViewerSettings
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.review.local_store import LocalStore
from monai_cxr.review.stores import Access, Asked
from monai_cxr.review.uploads import STAYS_SECONDS, Owner, Uploads
from monai_cxr.screening.ledger import audit

SECRET = "0123456789abcdef"
MIB = 2**20
ROLES = """
[viewer.roles]
admin = ["ada@x.org"]
reader = ["rita@x.org", "anna@x.org"]
viewer = ["vera@x.org"]
operator = ["olaf@x.org"]
"""
LINK = r"/xray/cxr/{kind}/[\w-]+(?:/\w+)?"


def by_proxy(name: str, **more: str) -> dict[str, str]:
    return {"X-Forwarded-Email": name, "X-Viewer-Secret": SECRET, **more}


@pytest.fixture(scope="module")
def films(phantom_index, tmp_path_factory):
    """Two studies of one person, of which one is the other's prior."""
    folder = tmp_path_factory.mktemp("door_films")
    rows = phantom_index.table.groupby("patient_id").filter(lambda one: len(one) > 1)
    for number, path in enumerate(rows["path"].head(2)):
        shutil.copy(path, folder / f"{number}.dcm")
    return folder


@pytest.fixture(scope="module")
def viewer(films, tmp_path_factory) -> Iterator[Viewer]:
    """Behind a proxy that names the user, under a path; uploads may take 3 and 4 MiB."""
    folder = tmp_path_factory.mktemp("doors")
    settings = folder / "viewer.toml"
    settings.write_text(
        f"[viewer]\nauthentication = 'proxy'\nproxy_secret = '{SECRET}'\n"
        "sign_out_url = '/oauth2/sign_out'\nupload_mib_per_person = 3\nupload_mib = 4\n"
        f"{ROLES}"
    )
    options = ["--files", str(films), "--settings", str(settings), "--base-path", "/xray"]
    with Viewer(options, folder) as running:
        running.store = LocalStore(folder / "reviews.sqlite")
        yield running


@pytest.fixture
def tab(viewer):
    opened = []

    def one(name: str, **options) -> Tab:
        opened.append(Tab(viewer.url, by_proxy(name), **options))
        return opened[-1]

    yield one
    for page in opened:
        page.close()


def link(said: str, kind: str) -> str:
    found = re.search(LINK.format(kind=kind), said)
    assert found, f"no link to {kind} on this page"
    return found[0].removeprefix("/xray")


def lines(viewer, user: str) -> list[tuple[str, str, str]]:
    asked = Asked(user=user)
    return [(one.action, one.role, one.study_uid) for one in viewer.store.accesses(200, asked)]


def cases(tab: Tab) -> list[str]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        rows = tab.get(link(tab.said, "worklist")).json()["rows"]
        if len(rows) == 2:
            return [row["id"] for row in rows]
        time.sleep(0.2)
    raise AssertionError("the films did not arrive")


def raw(viewer, head: str) -> bytes:
    """Answer to a request of these very bytes."""
    port = int(viewer.url.rsplit(":", 1)[1].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        plain.sendall(head.encode("latin-1").replace(b"\n", b"\r\n") + b"\r\n\r\n")
        plain.shutdown(socket.SHUT_WR)
        return plain.makefile("rb").read()


class TestHeaders:
    @pytest.mark.parametrize("order", [("ada", "vera"), ("vera", "ada"), ("ada", "ada")])
    def test_sec_two_user_headers(self, viewer, order):
        """What a proxy adds to the client's own header names nobody: page, route and socket."""
        users = [("X-Forwarded-Email", f"{name}@x.org") for name in order]
        sent = [*users, ("X-Viewer-Secret", SECRET)]
        assert httpx.get(f"{viewer.url}/", headers=sent).status_code == 403
        one = [("X-Forwarded-Email", "ada@x.org"), ("x-viewer-secret", "wrong")]
        assert httpx.get(f"{viewer.url}/", headers=[*one, sent[-1]]).status_code == 403
        assert httpx.get(f"{viewer.url}/", headers=[users[0], sent[-1]]).status_code == 200
        words = "\n".join(f"{name}: {value}" for name, value in sent)
        answer = raw(
            viewer,
            "GET /xray/_stcore/stream HTTP/1.1\nHost: 127.0.0.1\nOrigin: http://127.0.0.1\n"
            "Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n"
            f"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\n{words}",
        )
        assert answer.split()[1] == b"403"

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "evil.example:8501", "127.0.0.1.evil.example", "127.0.0.1@evil.example",
         "", "127.0.0.1/evil", "localhost:port", "127.0.0.1\nHost: evil.example", "[::1"],
    )  # fmt: skip
    def test_sec_small_things_hosts(self, viewer, host):
        proxied = "\n".join(f"{name}: {value}" for name, value in by_proxy("ada@x.org").items())
        answer = raw(viewer, f"GET /xray/ HTTP/1.1\nHost: {host}\n{proxied}")
        assert answer.split()[1] == b"400"

    def test_sec_small_things_cookies_and_policy(self, viewer):
        """Behind TLS each cookie is Secure; sockets lead to this viewer only."""
        headers = by_proxy("vera@x.org", **{"X-Forwarded-Proto": "https"})
        answer = httpx.get(f"{viewer.url}/_stcore/health", headers=headers)
        cookies = answer.headers.get_list("set-cookie")
        assert {one.split("=")[0] for one in cookies} == {"cxr_session", "_streamlit_xsrf"}
        assert all("; Secure" in one for one in cookies)
        plain = httpx.get(f"{viewer.url}/_stcore/health", headers=by_proxy("vera@x.org"))
        assert not any("; Secure" in one for one in plain.headers.get_list("set-cookie"))
        (sockets,) = re.findall(r"connect-src ([^;]*);", plain.headers["content-security-policy"])
        host = viewer.url.partition("//")[2].partition("/")[0]
        assert sockets == f"'self' ws://{host}"

    @pytest.mark.parametrize("name", ["**ada**@x.org", "[a](http://evil)", "<b>a", ":red[a]"])
    def test_a_hostile_name_is_text_and_has_no_role(self, tab, name):
        assert "No access yet" in tab(name).open("account").said


class TestOrigins:
    @pytest.mark.parametrize(
        "origin", [None, "null", "http://127.0.0.1:8699", "http://localhost", "http://evil.example"]
    )
    def test_sec_any_local_page_reads_the_audit(self, tab, origin):
        with pytest.raises(InvalidStatus):
            tab("ada@x.org").open("audit", origin=origin)

    def test_a_page_of_another_origin_reads_and_changes_nothing(self, tab):
        page = tab("rita@x.org").open()
        foreign = {"Origin": "http://127.0.0.1:8699"}
        answer = page.get("/_stcore/host-config", headers=foreign)
        assert "access-control-allow-origin" not in answer.headers
        touch = page.url + link(page.said, "touch")
        assert page.http.post(touch, json={}, headers=foreign).status_code == 403
        assert page.http.post(touch, json={}).status_code == 200


class TestUploads:
    def test_sec_anyone_fills_the_memory(self, tab):
        """None of a role that may not, none beyond a person's and everybody's share."""
        for name in ("vera@x.org", "olaf@x.org", "stranger@x.org"):
            assert tab(name).open("account").upload(b"x").status_code == 403
        rita, anna = tab("rita@x.org").open("upload"), tab("anna@x.org").open("upload")
        half = b"x" * (MIB + MIB // 2)
        said = [rita.upload(half, f"f{n}").status_code for n in range(3)]
        assert said == [204, 413, 413]  # with what surrounds a file, two are above 3 MiB
        assert rita.upload(b"x" * MIB, "f9").status_code == 204
        assert anna.upload(half, "g").status_code == 413  # 4 MiB in all
        assert anna.upload(b"x" * MIB, "g").status_code == 204
        assert rita.get("/_stcore/metrics").status_code == 404
        again = tab("rita@x.org").open("upload")
        assert again.upload(b"x" * MIB).status_code == 413  # another tab of the same person
        rita.close()
        deadline = time.monotonic() + 30
        while again.upload(b"x" * MIB).status_code != 204:  # what a closed tab held is dropped
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def test_a_body_of_unknown_length_is_refused(self, tab):
        page = tab("rita@x.org").open("upload")
        answer = page.http.put(
            f"{page.url}/_stcore/upload_file/{page.session}/f", content=iter([b"x"])
        )
        assert answer.status_code == 411

    def test_nobody_uploads_before_signing_in(self, films, tmp_path):
        """With OpenID, the sign-in page's own session takes no file."""
        port = free_port("127.0.0.1", 0)
        settings = tmp_path / "viewer.toml"
        settings.write_text(
            "[viewer]\nauthentication = 'oidc'\n[viewer.oidc]\n"
            f"redirect_uri = 'http://127.0.0.1:{port}/oauth2callback'\n"
            f"cookie_secret = '{SECRET * 2}'\nclient_id = 'viewer'\nclient_secret = 'secret'\n"
            "server_metadata_url = 'http://127.0.0.1:9/none'\n"
        )
        with Viewer(["--settings", str(settings)], tmp_path, port=port) as running:
            page = Tab(running.url).open()
            assert "Sign in" in page.said
            assert page.upload(b"x" * MIB).status_code == 403
            assert page.get("/_stcore/metrics").status_code == 404
            page.close()


class TestLinks:
    def test_sec_export_by_nobody_and_sec_media_links_belong_to_nobody(self, viewer, tab):
        rita = tab("rita@x.org").open()
        case = cases(rita)[0]
        rita.open("worklist", f"case={case}")
        review = rita.url + link(rita.said, "review")
        assert rita.http.post(review, json={"finished": True}).status_code == 200
        path = link(rita.open("monitoring").said, "reviews")
        assert "/media/" not in rita.said
        answer = rita.get(path)
        assert "rita@x.org" in answer.text
        assert "no-store" in answer.headers["cache-control"]
        assert lines(viewer, "rita@x.org")[0][:2] == ("exported", "reader")
        assert tab("anna@x.org").open().get(path).status_code == 403
        assert httpx.get(viewer.url + path, headers=by_proxy("rita@x.org")).status_code == 403
        assert rita.get("/media/0123456789abcdef0123456789abcdef.csv").status_code == 404
        rita.get("/cxr/leave")
        assert rita.get(path).status_code == 403  # gone with the session

    def test_sec_nested_json_500(self, viewer, tab):
        page = tab("rita@x.org").open()
        page.open("worklist", f"case={cases(page)[0]}")
        review = page.url + link(page.said, "review")
        json = {"Content-Type": "application/json"}
        for body in (b"[" * 60000, b'{"a":' * 12000, b"\xff" * 9):
            assert page.http.post(review, content=body, headers=json).status_code == 422
        assert "Traceback" not in viewer.log.read_text(errors="replace")

    def test_sec_prior_not_in_the_audit(self, viewer, tab):
        """A study whose film was sent is in the audit, once, whichever study was open."""
        anna = tab("anna@x.org").open()
        case = cases(anna)[0]
        said = anna.open("worklist", f"case={case}").said
        paths = set(re.findall(r"/xray(/cxr/film/[\w-]+/\w+)", said))
        assert len(paths) == 2, "the study and its prior"
        for path in [*paths, *paths]:
            assert anna.get(path).status_code == 200
        opened = [line for line in lines(viewer, "anna@x.org") if line[0] == "opened"]
        assert len(opened) == len({line[2] for line in opened}) == 2
        assert {line[1] for line in opened} == {"reader"}


class TestLock:
    def test_sec_lock_is_a_curtain(self, viewer, films, tmp_path):
        """A locked session shows nothing until the proxy's own login was gone through."""
        settings = tmp_path / "viewer.toml"
        settings.write_text(
            f"[viewer]\nauthentication = 'proxy'\nproxy_secret = '{SECRET}'\nidle_minutes = 0.02\n"
            f"sign_out_url = 'https://login.example.org/sign_out'\n{ROLES}"
        )
        arguments = ["--files", str(films), "--settings", str(settings)]
        with Viewer(arguments, tmp_path) as running:
            page = Tab(running.url, by_proxy("ada@x.org")).open()
            time.sleep(1.5)
            for name in ("", "account", "audit"):
                said = page.open(name).said
                assert "Locked" in said
                assert "Continue" not in said
            assert page.upload(b"x").status_code == 403
            answer = page.get("/cxr/leave")
            assert answer.headers["location"] == "https://login.example.org/sign_out"
            assert "cxr_session" not in page.http.cookies
            page.close()


@pytest.fixture
def bare(tmp_path) -> Service:
    """A service without films and without a model."""
    store = LocalStore(tmp_path / "reviews.sqlite")
    return configure(Service(NoCases(), store, ViewerSettings(), local_user="ada"))


class TestMemory:
    def test_sec_upload_is_not_forgotten(self, bare):
        """Nobody else sees an upload, and it goes with its session, or two quiet minutes later."""
        service, now = bare, [0.0]
        service.uploads = Uploads(clock=lambda: now[0])
        data = synthetic_dicom(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))

        def added(session: str, user: str = "anna") -> tuple[str, Owner]:
            owner = Owner(session, user)
            return service.uploads.add(data, None, owner).case_id, owner

        name, anna = added("hers")
        assert service.case(name, anna) is not None
        assert service.case(name, Owner("another", "anna")) is None
        assert service.case(name, Owner("hers", "bob")) is None
        now[0] = STAYS_SECONDS - 1
        assert service.case(name, anna) is not None  # her tab still asks for it
        now[0] += STAYS_SECONDS + 1
        assert service.case(name, anna) is None
        assert not service.uploads.keeps(name)
        name, anna = added("hers")
        bobs, bob = added("his", "bob")
        for _ in range(3):
            added("hers")
        assert service.case(name, anna) is None  # of a person the last two are kept
        assert service.case(bobs, bob) is not None  # and they push out nobody else's
        service.end("his")
        assert service.case(bobs, bob) is None

    def test_sec_audit_page(self, bare):
        """Every line can be reached, people's first, by person, study and day."""
        service = bare
        role = {"role": "reader"}
        with service.store._ledger.write() as connection:
            for number in range(250):
                user = "anna" if number % 2 else "bob"
                audit.record(connection, user, "opened", f"1.2.{number}", role, now=float(number))
            audit.record(connection, "roll-up", "closed", "1.2.7", now=250.0)

        def asked(**which: object) -> list[Access]:
            return list(service.store.accesses(1000, Asked(**which)))

        assert asked()[0].user == "roll-up"
        assert len(asked(only_people=True)) == 250
        assert {line.user for line in asked(user="anna")} == {"anna"}
        assert [line.action for line in asked(study_uid="1.2.7")] == ["closed", "opened"]
        assert len(asked(only_people=True, offset=240)) == 10
        assert asked(until=0.0) == []
        page = AppTest.from_string(
            "from clinical_app.views import audit\naudit.page()", default_timeout=120
        ).run()
        shown = page.dataframe[0].value
        assert len(shown) == 100
        assert shown.iloc[0]["Study Instance UID"] == "1.2.249"
        next(one for one in page.button if one.label == "Older").click().run()
        assert page.dataframe[0].value.iloc[0]["Study Instance UID"] == "1.2.149"
        page.text_input(key="audit_user").set_value("bob").run()
        assert set(page.dataframe[0].value["Who"]) == {"bob"}
        assert not page.exception
