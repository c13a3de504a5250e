"""Operators: what a person sees of a day's work, decides in bulk, and finds on the disk."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_data import finish_all, outcome, received
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.errors import SettingsError
from monai_cxr.screening import logs
from monai_cxr.screening.arriving import retention
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.study_message import Message
from monai_cxr.screening.ledger import arrivals, jobs, open_ledger, outbox, quarantine
from monai_cxr.screening.ledger.database import reason_of
from monai_cxr.screening.ledger.records import Outcome
from monai_cxr.screening.ledger.schema import films, results
from monai_cxr.screening.service.parts import destination_of
from monai_cxr.screening.settings.checks import read_settings
from monai_cxr.screening.settings.tables import ScreeningSettings
from monai_cxr.screening.working.worker import WorkerOptions, commit

DAY = 86_400.0


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(ledger, *numbers: int, reason: str = "lateral") -> None:
    for number in numbers:
        arrivals.enqueue(ledger, received(number))
        (film,) = jobs.lease(ledger, "w", 1)
        jobs.finish(ledger, "w", [Outcome(film.id, reason=reason, message="Refused.")])


@pytest.fixture
def address(tmp_path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_quarantine_verb_markup(address):
    """Brackets in a UID are letters, also those that rich would take for a colour."""
    with open_ledger(address) as ledger:
        quarantine.refuse(ledger, "", "sop_class", "[bold]x[/bold]", sop_uid="[/red]x[link=a]")
    shown = run("screen", "quarantine", "--ledger", address)
    assert "[/red]x[link=a]" in shown
    assert "[bold]x[/bold]" in shown


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_export_csv_formula(address, tmp_path, start):
    with open_ledger(address) as ledger:
        arrivals.enqueue(ledger, received(1))
        finish_all(ledger)
        value = f'{start}HYPERLINK("http://x","y")'
        with ledger.write() as connection:
            connection.execute(update(films).values(patient_id=value))
            connection.execute(update(results).values(manufacturer=value))
    out = tmp_path / "x.csv"
    run("screen", "export", "--ledger", address, "--out", out)
    (row,) = csv.DictReader(io.StringIO(out.read_bytes().decode(), newline=""))
    assert row["patient_id"] == row["manufacturer"] == f"'{value}"
    assert float(row["logit_Mass"]) < 0  # a number stays one


class TestQuarantinedFilesNeverDeleted:
    @pytest.fixture
    def spool(self, tmp_path) -> Spool:
        return Spool(tmp_path / "spool", reserve_bytes=0)

    def _refused(self, ledger, spool, number: int):
        path = spool.store(b"%d" % number)
        arrivals.enqueue(ledger, received(number, path=str(path)))
        (film,) = jobs.lease(ledger, "w", 1)
        jobs.finish(ledger, "w", [Outcome(film.id, reason="lateral", message="Lateral.")])
        return path

    def test_after_its_time(self, ledger, clock, spool):
        path = self._refused(ledger, spool, 1)
        unread = spool.store(b"no film")
        quarantine.refuse(ledger, str(unread), "not_dicom", "Not DICOM.")
        clock.advance(8 * DAY)
        assert retention.clean_spool(ledger, spool, keep_days=7, keep_refused_days=30) == 0
        clock.advance(23 * DAY)
        assert retention.clean_spool(ledger, spool, keep_days=7, keep_refused_days=30) == 2
        assert not path.exists()
        assert not unread.exists()
        found = quarantine.entries(ledger, include_resolved=True)
        assert {entry.resolution for entry in found} == {"expired"}
        assert quarantine.entries(ledger) == []
        assert retention.clean_spool(ledger, spool, keep_days=7, keep_refused_days=30) == 0

    def test_a_dismissed_one_at_once_and_no_other(self, ledger, spool):
        first, second = (self._refused(ledger, spool, number) for number in (1, 2))
        _, oldest = quarantine.entries(ledger)
        assert quarantine.dismiss(ledger, [oldest.id], actor="anna") == 1
        assert retention.clean_spool(ledger, spool, keep_days=7) == 1
        assert not first.exists()
        assert second.is_file()

    def test_a_file_that_a_film_still_needs_stays(self, ledger, spool):
        path = self._refused(ledger, spool, 1)
        quarantine.refuse(ledger, str(path), "mismatch", "The same bytes again.")
        (again, first) = quarantine.entries(ledger)
        quarantine.release(ledger, [first.id], actor="anna")
        quarantine.dismiss(ledger, [again.id], actor="anna")
        retention.clean_spool(ledger, spool, keep_days=0)
        assert path.is_file()


def test_bulk_by_reason(address):
    with open_ledger(address) as ledger:
        refused(ledger, 1, 2)
        refused(ledger, 3, reason="pediatric")
    option = ("--ledger", address, "--json")
    done = json.loads(run("screen", "quarantine", *option, "--reason", "lateral", "--dismiss-all"))
    assert (done["n_dismissed"], done["entries"]) == (2, [])
    done = json.loads(
        run("screen", "quarantine", *option, "--reason", "pediatric", "--release-all")
    )
    assert done["n_released"] == 1
    wrong = CliRunner().invoke(app, ["screen", "quarantine", *map(str, option), "--dismiss-all"])
    assert wrong.exit_code != 0


def test_deliveries_by_reason(address):
    with open_ledger(address) as ledger:
        arrivals.enqueue(ledger, received(1))
        finish_all(ledger, deliveries=[("sr", "a"), ("sr", "b")])
        for delivery in outbox.lease(ledger, "d", 9):
            status = {"a": "0xA700", "b": "0x0122"}[delivery.destination]
            outbox.failed(ledger, "d", delivery.id, status=status, permanent=True)
    option = ("--ledger", address, "--json")
    retried = json.loads(run("screen", "retry", *option, "--reason", "0xA700"))
    assert retried == {"n_retried": 1}
    dismissed = json.loads(run("screen", "retry", *option, "--reason", "0x0122", "--dismiss"))
    assert dismissed == {"n_dismissed": 1}
    status = json.loads(run("screen", "status", *option))
    assert {d["state"]: d["n"] for d in status["deliveries"]} == {"pending": 1, "dismissed": 1}


def test_refused_film_leaves_no_log(address, tmp_path):
    """Each film received, read and delivered, or not, is one line without an identity."""
    stream = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger("monai_cxr").level
    logs.configure(level="INFO", stream=stream)
    try:
        with open_ledger(address) as ledger:
            arrivals.enqueue_many(ledger, [received(1), received(2)])
            films_ = jobs.lease(ledger, "w", 9)
            ended = [outcome(films_[0]), Outcome(films_[1].id, reason="lateral", message="")]
            options = WorkerOptions("w", deliveries=(("hl7", "out"),))
            commit(ledger, options, films_, ended, [])
            builders = {"hl7": lambda content: Message("m", ".hl7", b"MSH")}
            deliver_batch(ledger, Folder("out", tmp_path / "out"), builders, "d")
    finally:
        logging.getLogger().handlers[:] = before[0]
        logging.getLogger("monai_cxr").setLevel(before[1])
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    read = [line for line in lines if line["message"] == "film finished"]
    assert [(line["state"], line["reason"]) for line in read] == [
        ("completed", ""),
        ("quarantined", "lateral"),
    ]
    (delivered,) = [line for line in lines if line["message"] == "delivered"]
    assert (delivered["kind"], delivered["destination"]) == ("hl7", "out")
    assert {delivered["uid_hash"], read[0]["uid_hash"]} == {logs.uid_hash("1.2.1.1.1")}
    assert "1.2.1.1" not in stream.getvalue()
    assert "P1" not in stream.getvalue()


PROGRAM = """
import os, sys
from pathlib import Path
os.umask(0)
sys.path[:0] = sys.argv[2:]
root = Path(sys.argv[1])
from ledger_data import finish_all, outcome, received
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.study_message import Message
from monai_cxr.screening.ledger import arrivals, open_ledger
from monai_cxr.screening.archive.results_table import export_results
from monai_cxr.screening.service.backup import back_up
with open_ledger(root / "a" / "ledger.sqlite") as ledger:
    path = Spool(root / "spool", reserve_bytes=0).store(b"film")
    arrivals.enqueue(ledger, received(1, path=str(path)))
    finish_all(ledger)
    Folder("out", root / "reports" / "deep").write(Message("m", ".hl7", b"MSH"))
    export_results(ledger, root / "r.csv")
    export_results(ledger, root / "r.parquet")
    back_up(ledger, root / "copy.sqlite")
    for path in sorted(root.rglob("*")):
        print(oct(path.stat().st_mode & 0o777), path.name)
"""


def test_readable_by_all_and_url_secrets(tmp_path):
    """With a umask of 0, everything that holds a patient is for its owner alone."""
    support = Path(__file__).parents[2] / "support"
    command = [sys.executable, "-c", PROGRAM, tmp_path, support]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modes = [line.split(" ", 1) for line in done.stdout.splitlines()]
    names = {name for _, name in modes}
    assert {"ledger.sqlite", "ledger.sqlite-wal", "m.hl7", "r.csv", "copy.sqlite"} <= names
    open_ones = {
        name: mode for mode, name in modes
        if mode not in ("0o600", "0o700") and not name.endswith((".lock", ".checkpoint"))
    }  # fmt: skip
    assert open_ones == {}


@pytest.mark.parametrize(("mode", "of_folder"), [("0600", 0o700), ("0640", 0o750), ("0660", 0o770)])
def test_files_of_a_folder_have_the_mode_that_is_set(tmp_path, mode, of_folder):
    """Whatever the umask is, an interface engine of our group reads them and nobody else does."""
    settings = settings_with_folder(tmp_path, f'file_mode = "{mode}"')
    for number, umask in enumerate((0o000, 0o022, 0o077)):
        before = os.umask(umask)
        try:
            folder = destination_of(settings.destinations[0])
            folder = replace(folder, path=folder.path / str(number))
            assert folder.write(Message("m", ".hl7", b"MSH")).stored
        finally:
            os.umask(before)
        assert folder.path.stat().st_mode & 0o777 == of_folder
        assert (folder.path / "m.hl7").stat().st_mode & 0o777 == int(mode, 8)


@pytest.mark.parametrize("mode", ["0644", "0666", "777", "0o640", ""])
def test_no_mode_lets_everybody_read(tmp_path, mode):
    with pytest.raises(SettingsError, match=r"destinations\.out\.file_mode of 0600, 0640, 0660"):
        settings_with_folder(tmp_path, f'file_mode = "{mode}"')


def settings_with_folder(folder: Path, line: str) -> ScreeningSettings:
    (folder / "s.toml").write_text(
        f"""
        [ledger]
        url = "sqlite:///ledger.sqlite"
        [spool]
        folder = "spool"
        [[destinations]]
        name = "out"
        kind = "folder"
        path = "reports"
        {line}
        """
    )
    return read_settings(folder / "s.toml")


@pytest.mark.parametrize(
    ("table", "url"),
    [
        ("destinations", "https://cxr:s3cr3t@pacs/dicom-web"),
        ("pulls", "https://cxr@pacs/dicom-web"),
        ("ledger", "postgresql://cxr:s3cr3t@host/cxr"),
    ],
)
def test_no_secret_in_an_address(tmp_path, table, url):
    """Names, logs and cursors repeat addresses; a secret there is refused, and not said."""
    ledger = url if table == "ledger" else "sqlite:///ledger.sqlite"
    more = "" if table == "ledger" else f'[[{table}]]\nname = "w"\nkind = "dicomweb"\nurl = "{url}"'
    text = f'[ledger]\nurl = "{ledger}"\n[spool]\nfolder = "spool"\n{more}\n'
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_settings(tmp_path / "s.toml")
    assert "s3cr3t" not in str(caught.value)
    assert "password" in str(caught.value)


def test_reading_verbs_take_no_lock_and_open_on_a_full_disk(tmp_path):
    """The ledger lies on a disk without a free byte, and another process is writing to it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("A small disk cannot be mounted here: run as root.")
    try:
        address = disk / "ledger.sqlite"
        with open_ledger(address) as ledger:
            refused(ledger, 1)
            _fill(disk / "filler")
            with ledger.write():  # BEGIN IMMEDIATE, and the status is asked meanwhile
                status = json.loads(run("screen", "status", "--ledger", address, "--json"))
                run("screen", "quarantine", "--ledger", address)
            assert status["quarantine"] == {"lateral": 1}
        status = json.loads(run("screen", "status", "--ledger", address, "--json"))
        assert status["quarantine"] == {"lateral": 1}  # nobody else has it open
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _fill(path: Path) -> None:
    """Take every byte of a disk."""
    handle = os.open(path, os.O_CREAT | os.O_WRONLY)
    with contextlib.suppress(OSError):
        while os.write(handle, bytes(4096)):
            pass
    os.close(handle)


def test_a_full_disk_is_told_as_one():
    full = OperationalError("INSERT", {}, Exception("database or disk is full"))
    away = OperationalError("INSERT", {}, Exception("connection refused"))
    assert (reason_of(full), reason_of(away)) == ("disk_full", "no_answer")
