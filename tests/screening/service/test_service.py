"""Service: films in at one end, results and reports out at the other; killed, drained, watched."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pydicom
import pytest
from pdf_text import pdf_text
from planted_faults import HOOK, plant
from pydicom.uid import ComprehensiveSRStorage, EncapsulatedPDFStorage
from running_service import Running
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.screening.ledger import audit, open_ledger, quarantine
from monai_cxr.screening.ledger.watching import counts

_DEADLINE_SECONDS = 900.0

NAMES = {
    "ISO_IR 100": "Müller-Lüdenscheidt^Jörg",
    "ISO_IR 144": "Люкceмбypг^Роза",
    "ISO_IR 192": "王^小東=王^小東",
    "\\ISO 2022 IR 87": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "ISO_IR 126": "Διονυσιος^Αλεξανδρος",
    "ISO_IR 138": "שרון^דבורה",
}


@pytest.fixture
def films(phantom_index, tmp_path) -> list[Path]:
    """Six films with names in six character sets, and one file that is broken in a telling way."""
    folder = tmp_path / "films"
    folder.mkdir()
    for number, (charset, name) in enumerate(NAMES.items()):
        dataset = pydicom.dcmread(phantom_index.table["path"][number])
        dataset.SpecificCharacterSet = charset.split("\\")
        dataset.PatientName = name
        dataset.PatientID = f"SECRET-{number}"
        dataset.save_as(folder / f"SECRET-{number}.dcm")
    broken = pydicom.dcmread(folder / "SECRET-0.dcm")
    broken.SOPInstanceUID = "1.2.3.999"
    broken.PatientBirthDate = "19700101"
    broken.PixelData = b"SECRET-9" * 4
    broken.save_as(folder / "SECRET-9.dcm")
    data = (folder / "SECRET-9.dcm").read_bytes()
    (folder / "SECRET-9.dcm").write_bytes(data.replace(b"19700101", b"SECRETBD"))
    return sorted(folder.glob("*.dcm"))


@pytest.fixture
def service(postgres_server, packaged_bundle, tmp_path):
    """With PostgreSQL as its ledger; the archive's tests kill processes on SQLite."""
    with Running.watching(tmp_path, packaged_bundle, postgres_server.new_ledger()) as running:
        yield running


@pytest.mark.slow
def test_films_in_reports_out_and_no_patient_in_any_log(service, films, tmp_path):
    """Kills and outages are the soak's: see test_soak.py."""
    for film in films:
        shutil.copy(film, tmp_path / "in")
    objects = 'path = "out"\nobjects = ["sr", "pdf"]\nsr_class = "comprehensive"'
    settings = service.settings.read_text()
    service.settings.write_text(settings.replace('path = "out"', objects))
    service.start()
    for kind in ("sr", "pdf"):
        service.wait_for(lambda n, k=kind: n.deliveries.get((k, "folder", "delivered"), 0) == 6)
    service.wait_for(lambda n: n.films["quarantined"] == 1)

    assert service.get("/healthz") == (200, "ok\n")
    assert service.get("/readyz") == (200, "ready\n")
    metrics = service.get("/metrics")[1]
    assert 'monai_cxr_films{state="completed"} 6.0' in metrics
    assert 'monai_cxr_deliveries{destination="folder",kind="sr",state="delivered"} 6.0' in metrics
    assert service.get("/other")[0] == 404
    assert service.stop(signal.SIGTERM) == 0

    sent = [pydicom.dcmread(path) for path in (tmp_path / "out").glob("*.dcm")]
    for class_uid in (ComprehensiveSRStorage, EncapsulatedPDFStorage):
        of_class = [str(one.PatientID) for one in sent if one.SOPClassUID == class_uid]
        assert sorted(of_class) == [f"SECRET-{number}" for number in range(6)]
    for one in sent:
        if one.SOPClassUID == EncapsulatedPDFStorage:
            said = pdf_text(one.EncapsulatedDocument[: one.EncapsulatedDocumentLength])
            assert "Cardiomegaly" in said
            assert "SECRET" not in "".join(said)
    with open_ledger(service.ledger) as ledger:
        numbers = counts.count(ledger)
        assert (numbers.n_results, numbers.films["completed"]) == (6, 6)
        assert audit.verify(ledger).is_intact
    _assert_no_patient(service.log.read_text() + metrics)


@pytest.mark.slow
def test_hanging_film_stops_everything_healthy(
    packaged_bundle, phantom_index, tmp_path, monkeypatch
):
    """The fault is planted in every process, so whoever decodes such a film ends or hangs."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOOK), *filter(None, sys.path)]))
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    running = Running.watching(tmp_path, packaged_bundle, url)
    text = running.settings.read_text()
    limits = 'device = "cpu"\nreader_timeout_seconds = 5\nlease_seconds = 1'
    running.settings.write_text(text.replace('device = "cpu"', limits))
    for fault in ("HANG", "SEGV"):
        plant(Path(phantom_index.table["path"][0]), tmp_path / "in" / f"{fault}.dcm", fault)
    for path in phantom_index.table["path"][:4]:
        shutil.copy(path, tmp_path / "in")
    with running:
        running.start()
        running.wait_for(lambda n: n.films["in_progress"] > 0)
        answers = []
        running.wait_for(
            lambda n: answers.append(running.get("/readyz")) or n.films["quarantined"] == 2
        )
        # The film that hung was longer in hand than a lease: whoever asked was told.
        assert any(re.match("work has got no further for [0-9]+ s", text) for _, text in answers)
        running.wait_for(lambda n: n.deliveries.get(("sr", "folder", "delivered"), 0) == 4)
        assert running.get("/readyz") == (200, "ready\n")
        assert running.stop(signal.SIGTERM) == 0
    with open_ledger(running.ledger) as ledger:
        reasons = sorted(entry.reason for entry in quarantine.entries(ledger))
        assert reasons == ["reader_crashed", "reader_timeout"]


def test_a_part_that_fails_ends_the_service_with_one_calm_line(
    postgres_server, packaged_bundle, films, tmp_path
):
    url = postgres_server.new_ledger()
    with Running.watching(tmp_path, packaged_bundle, url) as running:
        running.start("--only", "watch", "--health-port", "0")
        while '"started"' not in running.log.read_text():
            assert running.process.poll() is None, running.log.read_text()
            time.sleep(0.05)
        schema = url.rpartition("%3D")[2]
        postgres_server.execute(f"ALTER TABLE {schema}.films RENAME TO elsewhere")
        shutil.copy(films[0], tmp_path / "in")
        assert running.process.wait(_DEADLINE_SECONDS) == 1
    lines = running.log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == [
        "monai-cxr: The part 'watch' ended by an unexpected ProgrammingError, so the service "
        "stopped. Nothing that was accepted is lost: start it again."
    ]
    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert ("a part has stopped", "watch") in {(r["message"], r.get("part")) for r in records}
    assert "SECRET" not in running.log.read_text()


def _assert_no_patient(text: str) -> None:
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert {"started", "file taken", "stopped"} <= {line["message"] for line in lines}
    everything = text + json.dumps(lines, ensure_ascii=False)
    assert "SECRET" not in everything
    for name in NAMES.values():
        for part in re.split(r"[\^=]", name):
            assert part.casefold() not in everything.casefold()


class TestVerbs:
    @pytest.fixture
    def settings(self, packaged_bundle, tmp_path) -> Path:
        path = tmp_path / "s.toml"
        path.write_text(
            f'[ledger]\nurl = "sqlite:///{tmp_path}/l.sqlite"\n[spool]\nfolder = "spool"\n'
            f'reserve_gib = 0\n[model]\nbundle = "{packaged_bundle}"\n'
            '[[destinations]]\nname = "out"\nkind = "folder"\npath = "out"\n'
        )
        return path

    def _run(self, *arguments: object) -> dict:
        result = CliRunner().invoke(app, ["screen", *map(str, arguments), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def test_status_quarantine_retry_export_backup(self, settings, films, tmp_path):
        from ledger_data import finish_all

        from monai_cxr.screening.arriving import intake
        from monai_cxr.screening.arriving.spool import Spool
        from monai_cxr.screening.ledger import outbox
        from monai_cxr.screening.ledger.records import Outcome

        with open_ledger(f"sqlite:///{tmp_path}/l.sqlite") as ledger:
            from monai_cxr.screening.ledger import jobs

            spool = Spool(tmp_path / "spool", reserve_bytes=0)
            for film in films[:2]:
                intake.receive(ledger, spool, film.read_bytes(), source="test")
            (first,) = jobs.lease(ledger, "w", 1)
            jobs.finish(ledger, "w", [Outcome(first.id, reason="lateral", message="Lateral.")])
            finish_all(ledger, deliveries=[("sr", "out")])
            (delivery,) = outbox.lease(ledger, "d", 1)
            outbox.failed(ledger, "d", delivery.id, status="0xA700", permanent=True)
        option = ("--settings", settings)
        status = self._run("status", *option)
        assert status["films"]["completed"] == status["quarantine"]["lateral"] == 1
        assert status["audit"]["is_intact"]
        (entry,) = self._run("quarantine", *option, "--reason", "lateral")["entries"]
        assert self._run("retry", *option) == {"n_retried": 1}
        assert self._run("export", *option, "--out", tmp_path / "r.csv")["n_rows"] == 2
        assert "lateral" in (tmp_path / "r.csv").read_text()
        released = self._run("quarantine", *option, "--release", entry["id"])
        assert released["n_released"] == 1
        copied = self._run("backup", *option, "--out", tmp_path / "copy.sqlite")
        back = self._run("restore", tmp_path / "copy.sqlite", "--out", tmp_path / "back.sqlite")
        assert back["head"] == copied["head"]
        assert self._run("status", "--ledger", tmp_path / "back.sqlite")["n_results"] == 1

    def test_doctor_finds_what_is_well_and_what_is_not(self, settings, tmp_path):
        checks = {
            c["name"]: c["state"] for c in self._run("doctor", "--settings", settings)["checks"]
        }
        assert checks["ledger"] == checks["spool"] == checks["bundle"] == "ok"
        settings.write_text(settings.read_text().replace('path = "out"', 'path = "s.toml/x"'))
        result = CliRunner().invoke(app, ["screen", "doctor", "--settings", str(settings)])
        assert result.exit_code == 1

    def test_mercure(self, packaged_bundle, films, tmp_path, monkeypatch):
        for name in ("IN", "OUT"):
            (tmp_path / name).mkdir()
            monkeypatch.setenv(f"MERCURE_{name}_DIR", str(tmp_path / name))
        dataset = pydicom.dcmread(films[0])
        name = f"{dataset.SeriesInstanceUID}#{dataset.SOPInstanceUID}.dcm"
        shutil.copy(films[0], tmp_path / "IN" / name)
        shutil.copy(films[-1], tmp_path / "IN" / "1.2#1.2.3.dcm")
        task = {"process": {"settings": {"bundle": str(packaged_bundle)}}}
        (tmp_path / "IN" / "task.json").write_text(json.dumps(task))
        result = CliRunner().invoke(app, ["screen", "mercure", "--device", "cpu"])
        assert result.exit_code == 0, result.output
        content = json.loads((tmp_path / "OUT" / "result.json").read_text())
        reasons = {film["sop_uid"]: film["reason"] for film in content["films"]}
        assert reasons[str(dataset.SOPInstanceUID)] == ""
        assert reasons["1.2.3"]
        (report,) = (tmp_path / "OUT").glob("*.dcm")
        assert pydicom.dcmread(report).StudyInstanceUID == dataset.StudyInstanceUID
        for path in (report, tmp_path / "OUT" / "result.json"):
            assert path.stat().st_mode & 0o777 == 0o600

    def test_one_of_settings_and_ledger(self):
        result = CliRunner().invoke(app, ["screen", "status"])
        assert "one of --settings" in str(result.exception)


def test_json_lines_of_libraries_are_withheld(tmp_path):
    check = (
        "import logging, warnings, sys\n"
        "from monai_cxr.screening import logs\n"
        "logs.configure(level='INFO', stream=sys.stdout)\n"
        "logging.getLogger('pydicom').error('DOE^JANE')\n"
        "logging.getLogger('somebody').error('DOE^JANE %s', 'DOE')\n"
        "logging.getLogger('monai_cxr.x').error('said', extra={'film': 3, 'patient': 'DOE'})\n"
        "warnings.warn('Invalid value for VR DA: DOE^JANE')\n"
        "try:\n    raise ValueError('DOE')\n"
        "except ValueError:\n    logging.getLogger('monai_cxr').exception('failed')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, env=os.environ
    )
    assert "DOE" not in done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["message"] for line in lines] == [
        "(text of a library, withheld)",
        "said",
        "failed",
    ]
    assert (lines[1]["film"], lines[2]["error"]) == (3, "ValueError")
