"""Peers: programs of Debian packages that the tests talk to; their absence is said aloud."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests

# pynetdicom puts scripts of the same names (storescu, findscu ...) into a venv: look past them.
_SYSTEM_PATH = "/usr/bin:/usr/sbin:/usr/local/bin"


def program(name: str, *, package: str) -> str:
    """Path of a program, or a skip that says what to install."""
    path = shutil.which(name, path=_SYSTEM_PATH)
    if path is None:
        pytest.skip(f"'{name}' is not here: apt-get install {package}")
    return path


def errors_of_dciodvfy(data: bytes, folder: Path) -> list[str]:
    """What dicom3tools' validator finds wrong with an object."""
    path = folder / "object.dcm"
    path.write_bytes(data)
    done = subprocess.run(
        [program("dciodvfy", package="dicom3tools"), "-new", path], capture_output=True, text=True
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy says at least which IOD it found"
    return [line for line in lines if line.startswith("Error")]


@dataclass(frozen=True)
class OrthancServer:
    """A running Orthanc.

    Attributes:
        dicom_port: C-STORE, C-FIND, C-MOVE; AE title ORTHANC.
        http_port: REST and, under ``/dicom-web``, DICOMweb.
        log: Its log file.
    """

    dicom_port: int
    http_port: int
    log: Path

    @property
    def dicom_web(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def get(self, path: str) -> Any:
        response = requests.get(
            f"http://127.0.0.1:{self.http_port}{path}", auth=ORTHANC_USER, timeout=60
        )
        response.raise_for_status()
        return response.json() if "json" in response.headers["Content-Type"] else response.content

    def instances(self, study_uid: str) -> list[pydicom.Dataset]:
        """Every instance of a study, as Orthanc gives it back."""
        found = requests.post(
            f"http://127.0.0.1:{self.http_port}/tools/find",
            json={"Level": "Instance", "Query": {"StudyInstanceUID": study_uid}},
            auth=ORTHANC_USER,
            timeout=60,
        ).json()
        files = [self.get(f"/instances/{name}/file") for name in found]
        return [pydicom.dcmread(io.BytesIO(data)) for data in files]


ORTHANC_USER = ("cxr", "cxr-test-only")


@contextlib.contextmanager
def running_orthanc(
    folder: Path,
    *,
    move_port: int,
    peers: Sequence[str] = ("CXRSCU", "MONAI_CXR"),
    again: OrthancServer | None = None,
    options: dict[str, Any] | None = None,
) -> Iterator[OrthancServer]:
    """Start Orthanc on what ``folder`` holds; its C-MOVE destination CXRMOVE is our ``move_port``.

    Args:
        folder: Of its store; empty the first time.
        move_port: Ours.
        peers: AE titles that may call.
        again: Take the ports that this one had, which was stopped.
        options: Further settings of Orthanc.
    """
    orthanc = program("Orthanc", package="orthanc orthanc-dicomweb")
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not plugin.exists():
        pytest.skip("Orthanc's DICOMweb is not here: apt-get install orthanc-dicomweb")
    modalities = {name.lower(): [name, "127.0.0.1", 1] for name in peers}
    modalities["move"] = ["CXRMOVE", "127.0.0.1", move_port]
    settings = {
        "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "Plugins": [str(plugin)], "DicomAet": "ORTHANC", "DicomPort": 4242,
        "DicomCheckCalledAet": True, "DicomAlwaysAllowEcho": False,
        "DicomAlwaysAllowStore": False, "DicomCheckModalityHost": True,
        "DicomModalities": modalities, "StableAge": 1, "HttpPort": 8042,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": True,
        "RegisteredUsers": dict([ORTHANC_USER]), "OverwriteInstances": False, "SaveJobs": False,
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Ssl": False},
        **(options or {}),
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    ports_file = folder / "ports.json"
    relay = Path(__file__).parent / "loopback_only.py"
    ports_file.unlink(missing_ok=True)
    inside = "4242,8042"
    if again is not None:
        inside = f"4242:{again.dicom_port},8042:{again.http_port}"
    command = [sys.executable, relay, ports_file, inside, str(move_port), "--", orthanc]
    log = folder / "orthanc.log"
    with log.open("ab") as stream:
        environment = {**os.environ, "TCP_NODELAY": "1"}
        process = subprocess.Popen(
            [*command, folder / "orthanc.json"], stdout=stream, stderr=stream, env=environment
        )
    try:
        ports = _wait(process, log, lambda: json.loads(ports_file.read_text()))
        server = OrthancServer(ports["4242"], ports["8042"], log)
        _wait(process, log, lambda: server.get("/system"))
        yield server
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Let a process end by itself; after a minute it is killed."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], log: Path, probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 120
    while True:
        try:
            return probe()
        except (OSError, requests.RequestException, json.JSONDecodeError):
            if process.poll() is not None:
                text = log.read_text(errors="replace")
                if "no network namespace" in text:
                    pytest.skip("Orthanc needs a network namespace of its own: run as root")
                pytest.fail(f"Orthanc ended:\n{text[-2000:]}")
            if time.monotonic() > deadline:
                pytest.fail(f"Orthanc did not answer:\n{log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as handle:
        handle.bind(("127.0.0.1", 0))
        return int(handle.getsockname()[1])
