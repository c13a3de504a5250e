"""Archive: every file a row, every film one result and one report, whatever is killed when."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_peers import free_port
from filelock import FileLock
from PIL import Image

from monai_cxr.bundle.engines.openvino_engine import offers_bf16
from monai_cxr.bundle.engines.rates import Measured, remember
from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.exports import Parity
from monai_cxr.bundle.model import bundle_digest
from monai_cxr.errors import InputError, SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.reading.files import read_radiograph
from monai_cxr.reading.listing import archive_files
from monai_cxr.screening.archive.archive import ArchiveOptions, screen_archive
from monai_cxr.screening.archive.pacs import refuse_discarded
from monai_cxr.screening.archive.ray import screen_archive_on_ray
from monai_cxr.screening.ledger import audit, open_ledger
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.ledger.watching.counts import Counts

_DEADLINE_SECONDS = 900.0


@pytest.fixture(scope="module")
def films(phantom_index) -> list[Path]:
    return [Path(path) for path in phantom_index.table["path"][:8]]


@pytest.fixture(scope="module")
def archive(films, tmp_path_factory) -> Path:
    """Six films, a copy of one, one with its UID and other pixels, two pictures, and no films."""
    source = tmp_path_factory.mktemp("source") / "archive"
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
    pixels = np.round(read_radiograph(films[0]).pixels * 255).astype(np.uint8)
    for patient in ("patient1", "patient2"):
        (source / patient).mkdir()
        Image.fromarray(pixels).save(source / patient / "view1.png")
    (source / "year1" / "truncated.dcm").write_bytes(films[7].read_bytes()[:300])
    (source / "year1" / "empty").write_bytes(b"")
    (source / "year1" / "noise").write_bytes(b"noise" * 99)
    (source / "labels.csv").write_text("ignored\n")
    (source / ".hidden").write_bytes(b"ignored")
    return source


@pytest.fixture(scope="module")
def screened(archive, packaged_bundle, tmp_path_factory) -> tuple[Path, dict[str, object]]:
    """The archive screened by one process without an interruption, and what the verb said."""
    out = tmp_path_factory.mktemp("screened") / "out"
    command = _verb(archive, packaged_bundle, out, "--json")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


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
    def test_a_row_a_file_and_a_report_a_film(self, screened):
        out, said = screened
        refused = {
            "same_uid_other_pixels": 1,
            "lateral": 1,
            "no_identity": 1,
            "empty_file": 1,
            "not_an_image": 1,
        }
        assert (said["n_scored"], said["n_duplicates"], said["n_reports"]) == (8, 1, 6)
        assert said["not_scored"] == refused
        table = pd.read_parquet(out / "results.parquet")
        scored = table[table["reason"] == ""]
        assert (len(table), len(scored), scored["sop_uid"].nunique()) == (13, 8, 8)
        assert scored[[f"probability_{name}" for name in FINDING_NAMES]].notna().all(axis=None)
        assert table["reason"].loc[table["reason"] != ""].value_counts().to_dict() == refused
        assert set(table["message"].loc[table["reason"] == ""]) == {""}
        pictures = scored["sop_uid"].str.endswith(".png")
        assert sorted(scored["sop_uid"][pictures]) == ["patient1/view1.png", "patient2/view1.png"]
        assert _reports(out) == sorted(scored["sop_uid"][~pictures])
        page = (out / "summary.html").read_text()
        assert "same_uid_other_pixels" in page
        assert not any(patient in page for patient in scored["patient_id"] if patient)

    def test_again_does_only_what_is_missing(self, screened, archive, packaged_bundle, tmp_path):
        out = tmp_path / "out"
        shutil.copytree(screened[0], out)
        before = {path: path.stat().st_mtime_ns for path in (out / "sr").iterdir()}
        again = screen_archive(archive, packaged_bundle, out, ArchiveOptions(device="cpu"))
        assert (again.n_new, again.counts.n_results) == (0, 8)
        assert {path: path.stat().st_mtime_ns for path in (out / "sr").iterdir()} == before
        _assert_same_table(screened[0], out)

    def test_killed_twice_and_by_any_number_of_processes_it_is_the_same(
        self, screened, archive, packaged_bundle, tmp_path
    ):
        out = tmp_path / "out"
        command = _verb(archive, packaged_bundle, out, "--batch-size", "1")
        for reached, kill in ((1, os.kill), (4, os.killpg)):  # the driver alone; all of them
            running = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
            _wait_for(out, running, lambda n, reached=reached: n.n_results >= reached)
            kill(running.pid, signal.SIGKILL)
            running.wait()
            _wait_for_orphans_of(running.pid)
        options = ArchiveOptions(workers=2, device="cpu")
        summary = screen_archive(archive, packaged_bundle, out, options)
        assert (summary.counts.n_results, summary.n_reports("delivered")) == (8, 6)
        assert summary.counts.films["completed"] == 8
        _assert_same_table(screened[0], out)
        with open_ledger(out / "ledger.sqlite") as ledger:
            assert audit.verify(ledger).is_intact

    def test_no_ray_cluster_is_a_sentence(self, archive, packaged_bundle, tmp_path):
        pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'.")
        address = f"127.0.0.1:{free_port()}"
        with pytest.raises(SettingsError, match=f"No Ray cluster answers at '{address}'"):
            screen_archive_on_ray(archive, packaged_bundle, tmp_path / "out", address=address)

    def test_a_ray_cluster_gives_the_same_also_after_a_killed_driver(
        self, screened, archive, packaged_bundle, tmp_path
    ):
        pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'.")
        out = tmp_path / "out"
        command = _verb(archive, packaged_bundle, out, "--ray", "local", "--batch-size", "2")
        killed = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        _wait_for(out, killed, lambda n: n.films["in_progress"] > 0)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
        assert done.returncode == 0, done.stderr
        _assert_same_table(screened[0], out)


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
        (tmp_path / "out").mkdir()
        with (
            FileLock(tmp_path / "out" / ".lock"),
            pytest.raises(SettingsError, match="Another process"),
        ):
            screen_archive(films[0], packaged_bundle, tmp_path / "out")


def _assert_same_table(expected: Path, actual: Path) -> None:
    """The same rows and reports; numbers to the rounding of float32, as batches differ."""
    first, second = (pd.read_parquet(out / "results.parquet") for out in (expected, actual))
    numbers = [c for c in first.columns if c.startswith(("logit_", "probability_"))]
    pd.testing.assert_frame_equal(first.drop(columns=numbers), second.drop(columns=numbers))
    np.testing.assert_allclose(first[numbers], second[numbers], atol=1e-5)
    assert _reports(expected) == _reports(actual)


def _wait_for(
    out: Path, running: subprocess.Popen[bytes], condition: Callable[[Counts], bool]
) -> None:
    """Until the ledger says so, or the run has ended."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline and running.poll() is None:
        if (out / "ledger.sqlite").exists():
            with open_ledger(out / "ledger.sqlite") as ledger:
                if condition(counts.count(ledger)):
                    return
        time.sleep(0.05)


def _wait_for_orphans_of(driver: int) -> None:
    """Until the workers of a killed driver have noticed."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline:
        try:
            os.killpg(driver, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


def test_archive_repeat_rereads_bf16(packaged_bundle, phantom_index, films, tmp_path, monkeypatch):
    """A second run reads nothing again where another precision is served than was packaged."""
    if not offers_bf16():
        pytest.skip("This processor has no bf16.")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    exported_bundle = Path(shutil.copytree(packaged_bundle, tmp_path / "bundle"))
    export(exported_bundle, "openvino", films=[phantom_index.path])
    rates = {"openvino": 1.0, "openvino-bf16": 40.0}
    near = Parity("phantom", 24, 0.1, 0.004, 0.0004)
    remember(bundle_digest(exported_bundle), Measured(rates, {"openvino-bf16": near}))
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    for film in films[:2]:
        shutil.copy(film, source / film.name)
    options = ArchiveOptions(with_reports=False, device="cpu")
    first = screen_archive(source, exported_bundle, out, options)
    assert first.n_new == 2
    assert first.model_digest != bundle_digest(exported_bundle)  # as served
    assert set(pd.read_parquet(out / "results.parquet")["model_digest"]) == {first.model_digest}
    assert screen_archive(source, exported_bundle, out, options).n_new == 0
    with open_ledger(out / "ledger.sqlite") as ledger:
        assert "reopened" not in {entry.action for entry in audit.entries(ledger)}
        refuse_discarded(ledger, first.model_digest)
