"""Neighbours: another account of this computer is refused by a viewer without a sign-in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from browser import Viewer

from clinical_app.neighbours import is_neighbour

ANOTHER, SYSTEM = 4711, 33
ASK = """
import encodings.idna, os, sys, urllib.error, urllib.request
os.setuid(int(sys.argv[2]))
for path in ("/cxr/health", "/", "/_stcore/health", "/cxr/worklist/x"):
    asked = urllib.request.Request(sys.argv[1] + path, headers={"X-Forwarded-For": "10.0.0.9"})
    try:
        print(urllib.request.urlopen(asked).status, end=" ")
    except urllib.error.HTTPError as error:
        print(error.code, end=" ")
"""


@pytest.fixture(scope="module")
def viewer(tmp_path_factory):
    with Viewer([], tmp_path_factory.mktemp("neighbours")) as running:
        yield running


def asked_by(uid: int, viewer: Viewer) -> list[str]:
    """What a program of an account is answered."""
    command = [sys.executable, "-c", ASK, viewer.url, str(uid)]
    return subprocess.check_output(command, text=True).split()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="It takes other names.")
class TestAnotherAccount:
    """Only root can speak as somebody else."""

    def test_is_answered_that_the_viewer_runs_and_nothing_else(self, viewer):
        assert asked_by(ANOTHER, viewer) == ["200", "403", "403", "403"]

    def test_of_the_system_and_one_s_own_are_let_in(self, viewer):
        for uid in (os.getuid(), SYSTEM):
            assert asked_by(uid, viewer) == ["200", "200", "200", "403"]


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"),
                                              (socket.AF_INET6, "::1")])  # fmt: skip
def test_one_s_own_connection_is_no_neighbour_s(family, host):
    with socket.socket(family) as server, socket.socket(family) as client:
        try:
            server.bind((host, 0))
        except OSError:
            pytest.skip("This machine has no such address.")
        server.listen()
        client.connect(server.getsockname())
        assert not is_neighbour(client.getsockname()[:2])


@pytest.mark.parametrize("client", [None, ("", 0), ("testclient", 50000), ("127.0.0.1", 1)])
def test_what_the_system_does_not_know_is_let_in(client):
    assert not is_neighbour(client)
