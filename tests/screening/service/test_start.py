"""What can be judged at the start is judged at the start, and other systems hold nothing up."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from dicom_peers import free_port, program
from typer.testing import CliRunner

from monai_cxr.atomic import held
from monai_cxr.cli import app
from monai_cxr.errors import MissingDependency
from monai_cxr.screening.service import doctor
from monai_cxr.screening.service.service import ScreeningService
from monai_cxr.screening.settings.checks import read_settings

ROOT = Path(__file__).parents[3]
# pynetdicom leaves the socket of a broken connection to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def settings_file(folder: Path, more: str) -> Path:
    path = folder / "screening.toml"
    path.write_text(
        f'[ledger]\nurl = "sqlite:///{folder}/ledger.sqlite"\n[spool]\nfolder = "spool"\n'
        f"reserve_gib = 0\n[health]\nport = 0\n{more}"
    )
    return path


class TestMissingExtraEndsService:
    FHIR = '[[destinations]]\nname = "f"\nkind = "folder"\npath = "out"\nobjects = ["fhir"]\n'

    def test_missing_extra_ends_service(self, tmp_path, monkeypatch):
        path = settings_file(tmp_path, self.FHIR)
        checks = {check.name: check for check in doctor.examine(read_settings(path))}
        assert checks["destination f"].state == doctor.OK
        for name in [n for n in sys.modules if n.partition(".")[0] == "fhir"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "fhir", None)  # as where it is not installed
        checks = {check.name: check for check in doctor.examine(read_settings(path), own=True)}
        assert checks["destination f"].state == doctor.FAILED
        assert "monai-cxr[fhir]" in checks["destination f"].text
        with pytest.raises(MissingDependency, match="fhir"):
            ScreeningService(read_settings(path), ("deliver",)).run()
        assert not (tmp_path / "ledger.sqlite-wal").exists()


class TestDoctorBeforeStart:
    def _more(self) -> str:
        port = free_port()
        return (
            f'[[destinations]]\nname = "pacs"\nkind = "pacs"\nae_title = "P"\n'
            f'host = "127.0.0.1"\nport = {port}\n'
            f'[[pulls]]\nname = "web"\nkind = "dicomweb"\nurl = "http://127.0.0.1:{port}/dicom-web"'
        )

    def test_a_pacs_that_is_away_keeps_nothing_from_starting(self, tmp_path):
        path = settings_file(tmp_path, self._more())
        command = ["screen", "doctor", "--settings", str(path)]
        asked = CliRunner().invoke(app, [*command, "--json"])
        assert asked.exit_code == 1
        assert "connection refused" in asked.stdout
        own = CliRunner().invoke(app, [*command, "--own", "--json"])
        assert own.exit_code == 0, own.stdout
        assert own.stdout.count('"warning"') >= 2

    def test_what_is_ours_still_fails(self, tmp_path):
        more = self._more() + '\n[watch]\nfolder = "nowhere"\n'
        path = settings_file(tmp_path, more)
        done = CliRunner().invoke(app, ["screen", "doctor", "--settings", str(path), "--own"])
        assert done.exit_code == 1

    def test_the_unit_asks_for_what_is_ours(self):
        unit = (ROOT / "deploy" / "monai-cxr-screening.service").read_text()
        (line,) = [line for line in unit.splitlines() if line.startswith("ExecStartPre=")]
        assert "doctor --own" in line
        assert "TimeoutStartSec=" in unit


def test_unit_container_and_settings_are_one_set_up():
    """The paths of the unit, of the container and of the settings are the same."""
    unit, container, settings = (
        (ROOT / "deploy" / name).read_text()
        for name in ("monai-cxr-screening.service", "Containerfile", "screening.toml")
    )
    state = "/var/lib/monai-cxr"
    assert f"ReadWritePaths={state}" in unit
    assert f"VOLUME {state}" in container
    assert f"-v cxr-state:{state} " in container
    assert f'url = "sqlite:///{state}/ledger.sqlite"' in settings
    for line in settings.splitlines():
        if line.startswith(("folder =", "bundle =", "path =")):
            assert f'"{state}/' in line
    assert "fhir" in container
    page = (ROOT / "docs" / "how-to" / "run-the-screening-service.md").read_text()
    (program_of_unit,) = set(re.findall(r"(?m)^ExecStart\w*=(\S+)", unit))
    assert f"python3 -m venv {program_of_unit.removesuffix('/bin/monai-cxr')}\n" in page
    assert f"-- {program_of_unit} screen doctor" in page


def test_the_settings_of_deploy_are_read(tmp_path, monkeypatch):
    """Also with every commented table switched on."""
    text = (ROOT / "deploy" / "screening.toml").read_text()
    (tmp_path / "s.toml").write_text(text)
    assert read_settings(tmp_path / "s.toml").listener is not None
    for name in ("DICOMWEB_PASSWORD", "FHIR_TOKEN"):
        monkeypatch.setenv(name, "secret")
    (tmp_path / "report-text.key").write_text("A" * 43 + "=")
    text = text.replace("/etc/monai-cxr/report-text.key", "report-text.key")
    (tmp_path / "s.toml").write_text(re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", text))
    settings = read_settings(tmp_path / "s.toml")
    kinds = {one.kind for one in settings.destinations}
    assert kinds == {"folder", "pacs", "dicomweb", "fhir"}
    assert settings.hl7 is not None
    assert settings.reports.text_key
    assert settings.pulls
    assert settings.listener.rules


def test_systemd_takes_the_unit(tmp_path):
    verify = program("systemd-analyze", package="systemd")
    unit = (ROOT / "deploy" / "monai-cxr-screening.service").read_text()
    made = tmp_path / "monai-cxr-screening.service"
    made.write_text(unit.replace("/opt/monai-cxr/bin/monai-cxr", "/bin/true"))
    done = subprocess.run([verify, "verify", made], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "monai-cxr" not in done.stderr


def test_a_lock_is_held_by_one(tmp_path):
    with held(tmp_path / "lock") as first, held(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with held(tmp_path / "lock") as again:
        assert again
