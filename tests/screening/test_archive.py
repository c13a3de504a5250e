"""Archive: every file a row, every film one result and one report, whatever is killed when."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from monai_cxr.errors import InputError, SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.screening.archive import ArchiveOptions, screen_archive
from monai_cxr.screening.archive_source import archive_files
from monai_cxr.screening.ledger import audit, counts, open_ledger

_DEADLINE_SECONDS = 240.0


@pytest.fixture(scope="module")
def films(phantom_index) -> list[Path]:
    return [Path(path) for path in phantom_index.table["path"][:8]]


@pytest.fixture
def archive(films, tmp_path) -> Path:
    """Six films in two folders, a copy of one, one with its UID and other pixels, and no films."""
    source = tmp_path / "archive"
    for number, film in enumerate(films[:6]):
        target = source / f"year{number % 2}" / f"1.2.{number}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, target)
    shutil.copy(films[0], source / "year0" / "copy.dcm")
    other = pydicom.dcmread(films[1])
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(source / "year1" / "conflict.dcm")
    lateral = pydicom.dcmread(films[6])
    lateral.ViewPosition = "LL"
    lateral.save_as(source / "year1" / "lateral.dcm")
    (source / "year1" / "truncated.dcm").write_bytes(films[7].read_bytes()[:300])
    (source / "year1" / "empty").write_bytes(b"")
    (source / "year1" / "noise").write_bytes(os.urandom(999))
    (source / "labels.csv").write_text("ignored\n")
    (source / ".hidden").write_bytes(b"ignored")
    return source


def _verb(source: Path, bundle: Path, out: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-c", "from monai_cxr.cli import main; main()", "screen", "archive"),
        *(str(source), "--bundle", str(bundle), "--out", str(out), "--device", "cpu", *options),
    ]


def _reports(out: Path) -> list[str]:
    """UIDs of the films that the reports cite, one a report."""
    reports = [pydicom.dcmread(path) for path in (out / "sr").glob("*.dcm")]
    return sorted(
        r.CurrentRequestedProcedureEvidenceSequence[0]
        .ReferencedSeriesSequence[0]
        .ReferencedSOPSequence[0]
        .ReferencedSOPInstanceUID
        for r in reports
    )


class TestArchive:
    def test_a_row_a_file_and_a_report_a_film(self, archive, packaged_bundle, tmp_path):
        out = tmp_path / "out"
        done = subprocess.run(
            _verb(archive, packaged_bundle, out, "--json"), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        refused = {
            "same_uid_other_pixels": 1,
            "lateral": 1,
            "no_identity": 1,
            "empty_file": 1,
            "not_an_image": 1,
        }
        assert (said["n_scored"], said["n_duplicates"], said["n_reports"]) == (6, 1, 6)
        assert said["not_scored"] == refused
        table = pd.read_parquet(out / "results.parquet")
        scored = table[table["reason"] == ""]
        assert (len(table), len(scored), scored["sop_uid"].nunique()) == (11, 6, 6)
        assert scored[[f"probability_{name}" for name in FINDING_NAMES]].notna().all(axis=None)
        assert table["reason"].loc[table["reason"] != ""].value_counts().to_dict() == refused
        assert set(table["message"].loc[table["reason"] == ""]) == {""}
        assert _reports(out) == sorted(scored["sop_uid"])
        page = (out / "summary.html").read_text()
        assert "same_uid_other_pixels" in page
        assert not any(patient in page for patient in scored["patient_id"] if patient)

        before = {path: path.stat().st_mtime_ns for path in (out / "sr").iterdir()}
        shutil.copy(archive / "year0" / "1.2.0", archive / "year0" / "late.dcm")
        again = screen_archive(archive, packaged_bundle, out, ArchiveOptions(device="cpu"))
        assert (again.n_new, again.counts.arrivals["duplicate"]) == (0, 2)
        assert {path: path.stat().st_mtime_ns for path in (out / "sr").iterdir()} == before

    def test_killed_at_several_instants_it_loses_and_doubles_nothing(
        self, archive, packaged_bundle, tmp_path
    ):
        out = tmp_path / "out"
        command = _verb(archive, packaged_bundle, out, "--batch-size", "1")
        for reached in (1, 3, 5):
            running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
            _wait_for(out, reached, running)
            target = os.killpg if reached == 3 else os.kill  # with its workers, or alone
            target(running.pid, signal.SIGKILL)
            running.wait()
            _wait_for_workers_of(running.pid)
        summary = screen_archive(archive, packaged_bundle, out, ArchiveOptions(device="cpu"))
        assert summary.counts.films == {
            "scheduled": 0,
            "in_progress": 0,
            "completed": 6,
            "quarantined": 1,
        }
        assert (summary.counts.n_results, summary.n_reports("delivered")) == (6, 6)
        table = pd.read_parquet(out / "results.parquet")
        assert len(table) == 11
        assert _reports(out) == sorted(table["sop_uid"].loc[table["reason"] == ""])
        with open_ledger(out / "ledger.sqlite") as ledger:
            assert audit.verify(ledger).is_intact

    def test_any_number_of_processes_gives_the_same_table(self, archive, packaged_bundle, tmp_path):
        tables = []
        for workers in (1, 2):
            options = ArchiveOptions(workers, with_reports=False, device="cpu")
            screen_archive(archive, packaged_bundle, tmp_path / f"{workers}", options)
            tables.append(pd.read_parquet(tmp_path / f"{workers}" / "results.parquet"))
        _assert_same(*tables)

    def test_a_ray_cluster_gives_the_same_table_also_after_a_killed_driver(
        self, archive, packaged_bundle, tmp_path
    ):
        pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'.")
        options = ArchiveOptions(with_reports=False, device="cpu")
        screen_archive(archive, packaged_bundle, tmp_path / "local", options)
        out = tmp_path / "ray"
        command = _verb(archive, packaged_bundle, out, "--ray", "local", "--batch-size", "2")
        killed = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        _wait_for_lease(out, killed)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
        assert done.returncode == 0, done.stderr
        _assert_same(
            pd.read_parquet(tmp_path / "local" / "results.parquet"),
            pd.read_parquet(out / "results.parquet"),
        )
        assert len(_reports(out)) == 6

    def test_images_without_a_header_are_named_by_their_place(
        self, packaged_bundle, films, tmp_path
    ):
        from PIL import Image

        from monai_cxr.files import read_radiograph

        pixels = read_radiograph(films[0]).pixels
        for folder in ("p1", "p2"):
            (tmp_path / "in" / folder).mkdir(parents=True)
            picture = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
            picture.save(tmp_path / "in" / folder / "view1.png")
        summary = screen_archive(
            tmp_path / "in", packaged_bundle, tmp_path / "out", ArchiveOptions(device="cpu")
        )
        table = pd.read_parquet(tmp_path / "out" / "results.parquet")
        assert sorted(table["sop_uid"]) == ["p1/view1.png", "p2/view1.png"]
        assert (summary.counts.films["completed"], summary.counts.deliveries) == (2, {})


class TestSource:
    def test_lists_and_tables(self, films, tmp_path):
        shutil.copy(films[0], tmp_path / "a.dcm")
        (tmp_path / "list.txt").write_text(f"# films\na.dcm\n\n{films[1]}\n")
        pd.DataFrame({"path": ["a.dcm"]}).to_csv(tmp_path / "list.csv")
        listed = [file.path for file in archive_files(tmp_path / "list.txt")]
        assert listed == [tmp_path / "a.dcm", films[1]]
        assert [f.path.name for f in archive_files(tmp_path / "list.csv")] == ["a.dcm"]
        assert [f.path.name for f in archive_files(tmp_path / "a.dcm")] == ["a.dcm"]

    def test_what_cannot_be_a_source(self, tmp_path, packaged_bundle):
        (tmp_path / "binary").write_bytes(b"\xff\xfe\x00" * 99)
        with pytest.raises(SettingsError, match="UTF-8"):
            list(archive_files(tmp_path / "binary"))
        with pytest.raises(InputError, match="does not exist"):
            list(archive_files(tmp_path / "absent"))
        (tmp_path / "nothing").mkdir()
        with pytest.raises(InputError, match="no file"):
            screen_archive(tmp_path / "nothing", packaged_bundle, tmp_path / "out")

    def test_two_processes_do_not_share_a_folder(self, films, packaged_bundle, tmp_path):
        import fcntl

        (tmp_path / "out").mkdir()
        with (tmp_path / "out" / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(SettingsError, match="Another process"):
                screen_archive(films[0], packaged_bundle, tmp_path / "out")


def _assert_same(first: pd.DataFrame, second: pd.DataFrame) -> None:
    numbers = [c for c in first.columns if c.startswith(("logit_", "probability_"))]
    pd.testing.assert_frame_equal(first.drop(columns=numbers), second.drop(columns=numbers))
    np.testing.assert_allclose(first[numbers], second[numbers], atol=1e-5)


def _wait_for(out: Path, n_results: int, running: subprocess.Popen[bytes]) -> None:
    """Until the ledger holds so many results, or the run has ended."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        if (out / "ledger.sqlite").exists():
            with open_ledger(out / "ledger.sqlite") as ledger:
                if counts.count(ledger).n_results >= n_results:
                    return
        time.sleep(0.05)


def _wait_for_lease(out: Path, running: subprocess.Popen[bytes]) -> None:
    """Until films are leased, or the run has ended."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        if (out / "ledger.sqlite").exists():
            with open_ledger(out / "ledger.sqlite") as ledger:
                if counts.count(ledger).films["in_progress"]:
                    return
        time.sleep(0.05)


def _wait_for_workers_of(driver: int) -> None:
    """Until the orphans of a killed driver have noticed; they hold no lock that a run needs."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(driver, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
