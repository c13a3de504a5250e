"""The tutorial beside Orthanc: its settings and its commands, with a real Orthanc."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest
from browser import Browser
from dicom_peers import ORTHANC_USER

from monai_cxr import cli, read_for_model
from monai_cxr.dicom.results.instances import DicomInstance
from monai_cxr.errors import UnsupportedImage
from monai_cxr.screening.network import storage_scu
from monai_cxr.screening.network.dicom_network import Peer

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorials" / "beside-orthanc.md"
PROGRAM = "from monai_cxr.cli import main; main()"
_DEADLINE_SECONDS = 300


def settings_of_the_page(orthanc, bundle) -> str:
    """The page's settings, with this Orthanc's address and this bundle."""
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for old, new in (
        ("http://127.0.0.1:8042/dicom-web", orthanc.dicom_web),
        ('username = "monai-cxr"', f'username = "{ORTHANC_USER[0]}"'),
        ('bundle = "demo/bundle"', f'bundle = "{bundle}"\ndevice = "cpu"'),
        ('folder = "spool"', 'folder = "spool"\nreserve_gib = 0'),
    ):
        assert old in text
        text = text.replace(old, new)
    return text + "\n[health]\nport = 0\n[rollup]\nquiet_seconds = 0\n"


def first_frontal(paths) -> Path:
    """The first film that the check for chest films lets pass; of small phantoms not each does."""
    for path in paths:
        with contextlib.suppress(UnsupportedImage):
            read_for_model(path)
            return Path(path)
    raise AssertionError("Not one of the phantoms is taken for a chest film.")


def typed(monkeypatch, words) -> int:
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code or 0


def take_picture(orthanc, study_uid: str, path: Path) -> None:
    """Orthanc's own page of the study, as the tutorial shows it."""
    (found,) = (one for one in orthanc.get("/studies?expand") if study_uid in str(one))
    address = f"http://{':'.join(ORTHANC_USER)}@127.0.0.1:{orthanc.http_port}"
    browser = Browser(address, size=(1000, 640))
    try:
        browser.open(f"/app/explorer.html#study?uuid={found['ID']}")
        browser.until(lambda: "Series" in browser.driver.page_source, "the series")
        time.sleep(2)
        browser.driver.save_screenshot(str(path))
    finally:
        browser.driver.quit()


@pytest.mark.slow
def test_a_film_in_orthanc_gets_its_report(
    orthanc, phantom_index, packaged_bundle, tmp_path, monkeypatch, capsys
):
    film = first_frontal(phantom_index.table["path"])
    peer = Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port, timeout_seconds=120.0)
    sent = DicomInstance("", "", "", "", film.read_bytes())
    assert storage_scu.store([sent], peer, calling_ae="CXRSCU")[0].stored
    header = pydicom.dcmread(film, stop_before_pixels=True)
    study, day = header.StudyInstanceUID, header.StudyDate

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORTHANC_PASSWORD", ORTHANC_USER[1])
    Path("screening.toml").write_text(settings_of_the_page(orthanc, packaged_bundle))
    text = re.sub(r"```.*?```", "", PAGE.read_text("utf-8"), flags=re.DOTALL)
    lines = [shlex.split(line) for line in re.findall(r"^    (monai-cxr .*)$", text, re.MULTILINE)]
    doctor, pull, *looks = lines
    assert typed(monkeypatch, doctor) == 0
    iso = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    pull = [iso if re.fullmatch(r"\d{4}-\d\d-\d\d", word) else word for word in pull]
    assert typed(monkeypatch, pull) == 0

    run = [sys.executable, "-c", PROGRAM, "screen", "run", "--settings", "screening.toml"]
    with Path("log.jsonl").open("wb") as log:
        service = subprocess.Popen(run, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        wanted = {"SR", "OT"}
        while not wanted <= {one.Modality for one in orthanc.instances(study)}:
            assert service.poll() is None, Path("log.jsonl").read_text()
            assert time.monotonic() < deadline, Path("log.jsonl").read_text()
            time.sleep(0.5)
        service.send_signal(signal.SIGINT)
        assert service.wait(_DEADLINE_SECONDS) in (0, cli.EXIT_STOPPED)
    finally:
        service.kill()
    if pictures := os.environ.get("MONAI_CXR_PICTURES"):
        take_picture(orthanc, study, Path(pictures) / "orthanc-results.png")
    capsys.readouterr()
    for words in looks:
        assert typed(monkeypatch, words) == 0
    assert re.search(r"completed\s*│\s*1\b", capsys.readouterr().out)
