"""Spool, intake, watch folder, retention and backup."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pydicom
import pytest
from ledger_data import finish_all
from pacs_films import film_bytes

from monai_cxr.errors import SettingsError
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.screening.arriving import intake, retention
from monai_cxr.screening.arriving.spool import Spool, SpoolFull
from monai_cxr.screening.arriving.watch_folder import WatchFolder
from monai_cxr.screening.ledger import arrivals, audit, jobs, open_ledger, outbox, quarantine
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.service.backup import back_up, restore


@pytest.fixture
def film(phantom_index) -> Path:
    return Path(phantom_index.table["path"][0])


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool", reserve_bytes=0)


def _receive(ledger, spool, data):
    return intake.receive(ledger, spool, data, source="test", calling_ae="CT1")


def _changed(film: Path, tmp_path: Path, **values: object) -> bytes:
    dataset = pydicom.dcmread(film)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "changed.dcm")
    return (tmp_path / "changed.dcm").read_bytes()


class TestSpool:
    def test_same_bytes_make_one_file(self, spool):
        assert spool.store(b"film") == spool.store(b"film")
        assert [path.read_bytes() for path in spool.files()] == [b"film"]

    def test_below_the_low_water_mark_nothing_is_kept(self, tmp_path):
        spool = Spool(tmp_path, reserve_bytes=2**62)
        assert spool.is_low()
        with pytest.raises(SpoolFull, match=r"GiB are free .* the 4.* GiB that must stay"):
            spool.store(b"film")
        assert list(spool.files()) == []

    def test_a_disk_that_fills_while_writing(self, spool, monkeypatch):
        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(SpoolFull, match="No space left"):
            spool.store(b"film")
        assert spool.sweep_parts() == 0

    def test_what_another_process_is_writing_is_not_swept(self, spool):
        alive, dead = spool.root / "parts" / f"a.{os.getpid()}.1", spool.root / "parts" / "b.0x.1"
        alive.write_bytes(b"half")
        dead.write_bytes(b"half")
        assert spool.sweep_parts() == 1
        assert alive.exists()

    def test_files_elsewhere_are_left_alone(self, spool, tmp_path):
        (tmp_path / "mine").write_bytes(b"x")
        spool.discard(tmp_path / "mine")
        assert (tmp_path / "mine").exists()


class TestReceive:
    def test_new_duplicate_conflict(self, ledger, spool, film, tmp_path):
        data = film.read_bytes()
        first = _receive(ledger, spool, data)
        assert (first.outcome, first.is_accepted) == ("new", True)
        assert _receive(ledger, spool, data).outcome == "duplicate"
        resent = _changed(film, tmp_path, InstitutionName="elsewhere")
        assert _receive(ledger, spool, resent).outcome == "duplicate"
        assert len(list(spool.files())) == 1
        pixels = pydicom.dcmread(film).PixelData
        other = _changed(film, tmp_path, PixelData=bytes(len(pixels)))
        conflict = _receive(ledger, spool, other)
        assert (conflict.outcome, conflict.reason) == ("conflict", "same_uid_other_pixels")
        assert len(list(spool.files())) == 2

    def test_another_transfer_syntax_is_no_conflict(self, ledger, spool, film, tmp_path):
        _receive(ledger, spool, film.read_bytes())
        dataset = pydicom.dcmread(film)
        dataset.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        dataset.save_as(tmp_path / "rle.dcm")
        assert _receive(ledger, spool, (tmp_path / "rle.dcm").read_bytes()).outcome == "duplicate"

    def test_unreadable_and_nameless_files_are_kept_with_their_reason(
        self, ledger, spool, film, tmp_path
    ):
        assert _receive(ledger, spool, b"noise").reason == "not_dicom"
        nameless = _changed(film, tmp_path, SOPInstanceUID="")
        assert _receive(ledger, spool, nameless).reason == "no_identity"
        entries = quarantine.entries(ledger)
        assert all(Path(entry.path).is_file() for entry in entries)
        assert counts.count(ledger).arrivals == {"refused": 2}

    def test_our_own_results_do_not_come_back(self, ledger, spool, film, tmp_path):
        ours = _changed(film, tmp_path, Manufacturer="monai_cxr")
        assert _receive(ledger, spool, ours).outcome == "ignored"
        _receive(ledger, spool, film.read_bytes())
        finish_all(ledger, deliveries=[("sr", "pacs")])
        (delivery,) = outbox.lease(ledger, "d", 1)
        outbox.delivered(ledger, "d", delivery.id, object_uid="2.25.77")
        back = _changed(film, tmp_path, SOPInstanceUID="2.25.77")
        assert _receive(ledger, spool, back).outcome == "ignored"
        assert jobs.n_unfinished(ledger) == 0

    def test_what_a_crash_left_in_the_spool_is_taken_in(self, ledger, spool, film):
        spool.store(film.read_bytes())
        (spool.root / "parts" / "half").write_bytes(b"half")
        assert intake.recover(ledger, spool) == 1
        assert intake.recover(ledger, spool) == 0
        assert jobs.n_unfinished(ledger) == 1
        assert not list((spool.root / "parts").iterdir())

    def test_a_long_header_is_read_to_its_end(self, tmp_path):
        import numpy as np

        dataset = pydicom.dcmread(
            pydicom.filebase.DicomBytesIO(synthetic_dicom(np.zeros((64, 64), np.uint16)))
        )
        dataset.add_new(0x00091001, "OB", bytes(300_000))
        dataset.AccessionNumber = "A1"
        dataset.save_as(tmp_path / "long.dcm")
        film = intake.describe(tmp_path / "long.dcm", name="long.dcm", source="test")
        assert film.accession_number == "A1"


class TestWatchFolder:
    @pytest.fixture
    def watch(self, tmp_path, clock) -> WatchFolder:
        (tmp_path / "in").mkdir()
        return WatchFolder(tmp_path / "in", settle_seconds=5.0, delete=True, clock=clock)

    def test_a_file_is_taken_when_it_has_settled(self, watch, ledger, spool, film, clock):
        data = film.read_bytes()
        target = watch.folder / "slow.dcm"
        target.write_bytes(data[:1000])
        assert watch.scan(ledger, spool) == 0
        clock.advance(4)
        assert watch.scan(ledger, spool) == 0
        target.write_bytes(data)  # still being written: it starts to settle again
        clock.advance(4)
        assert watch.scan(ledger, spool) == 0
        clock.advance(4)
        assert watch.scan(ledger, spool) == 0
        assert target.exists()
        clock.advance(2)
        assert watch.scan(ledger, spool) == 1
        assert not target.exists()
        assert counts.count(ledger).arrivals == {"new": 1}

    def test_kept_files_are_taken_once(self, watch, ledger, spool, film, clock):
        watch.delete = False
        (watch.folder / "sub").mkdir()
        shutil.copy(film, watch.folder / "sub" / "1.2.3")
        for name in ("x.part", "y.TMP", ".hidden"):
            shutil.copy(film, watch.folder / name)
        taken = 0
        for _ in range(4):
            taken += watch.scan(ledger, spool)
            clock.advance(6)
        assert taken == 1
        assert sorted(p.name for p in watch.folder.rglob("*") if p.is_file()) == [
            *(".hidden", "1.2.3", "x.part", "y.TMP")
        ]

    def test_with_a_full_disk_files_wait(self, watch, ledger, tmp_path, film, clock):
        shutil.copy(film, watch.folder / "a.dcm")
        full = Spool(tmp_path / "full", reserve_bytes=2**62)
        watch.scan(ledger, full)
        clock.advance(6)
        with pytest.raises(SpoolFull):
            watch.scan(ledger, full)
        assert (watch.folder / "a.dcm").exists()
        full.reserve_bytes = 0
        assert watch.scan(ledger, full) == 1


class TestRetention:
    def test_files_of_finished_films_go_the_others_stay(self, ledger, spool, film, clock):
        _receive(ledger, spool, film.read_bytes())
        _receive(ledger, spool, b"noise")
        clock.advance(10 * 86_400)
        assert retention.clean_spool(ledger, spool, keep_days=5, keep_refused_days=99) == 0
        finish_all(ledger, deliveries=[("sr", "pacs")])
        clock.advance(10 * 86_400)
        assert (
            retention.clean_spool(ledger, spool, keep_days=5, keep_refused_days=99) == 0
        )  # not delivered yet
        (delivery,) = outbox.lease(ledger, "d", 1)
        outbox.delivered(ledger, "d", delivery.id)
        assert retention.clean_spool(ledger, spool, keep_days=5, keep_refused_days=99) == 1
        assert [p.read_bytes() for p in spool.files()] == [b"noise"]
        assert _receive(ledger, spool, film.read_bytes()).outcome == "duplicate"


class TestBackup:
    def test_there_and_back(self, tmp_path, film, spool):
        with open_ledger(tmp_path / "l.sqlite") as ledger:
            _receive(ledger, spool, film.read_bytes())
            note = back_up(ledger, tmp_path / "copy.sqlite")
            _receive(ledger, spool, b"noise")
        assert restore(tmp_path / "copy.sqlite", tmp_path / "new.sqlite") == note
        with open_ledger(tmp_path / "new.sqlite") as restored:
            assert counts.count(restored).arrivals == {"new": 1}
            assert audit.verify(restored, expected_head=note.head).is_intact
        with pytest.raises(SettingsError, match="nothing is overwritten"):
            restore(tmp_path / "copy.sqlite", tmp_path / "new.sqlite")

    def test_a_damaged_copy_is_refused(self, tmp_path):
        (tmp_path / "copy.sqlite").write_bytes(b"SQLite format 3\0" + os.urandom(4096))
        with pytest.raises(SettingsError, match="damaged"):
            restore(tmp_path / "copy.sqlite", tmp_path / "new.sqlite")

    def test_postgresql_has_its_own(self, postgres_server, tmp_path):
        opened = open_ledger(postgres_server.new_ledger())
        with opened as ledger, pytest.raises(SettingsError, match="pg_dump"):
            back_up(ledger, tmp_path / "copy")


def test_ten_thousand_studies_stay_quick_to_list(tmp_path, clock):
    """Not a timing: the page of a worklist reads an index, not the studies."""
    from sqlalchemy import text

    with open_ledger(tmp_path / "l.sqlite", clock=clock) as ledger, ledger.read() as connection:
        plan = connection.execute(
            text("EXPLAIN QUERY PLAN SELECT * FROM studies ORDER BY last_received_at DESC LIMIT 50")
        ).all()
        assert "USING INDEX ix_studies_received" in plan[0].detail
        plan = connection.execute(
            text(
                "EXPLAIN QUERY PLAN SELECT * FROM films WHERE state = 'scheduled' AND "
                "available_at <= 5 ORDER BY rank, id LIMIT 8"
            )
        ).all()
        assert "USING INDEX ix_films_queue" in plan[0].detail
        assert arrivals.known_paths(ledger, []) == set()


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # pydicom's, of these UIDs
def test_uid_over_64_wrong_study(ledger, tmp_path):
    """Two films whose UIDs differ after the 64th character are two films of two studies."""
    spool = Spool(tmp_path / "spool", reserve_bytes=0)
    stem = "1.2.3." + "4" * 60
    for end in (".1", ".2"):
        data = film_bytes(1, StudyInstanceUID=stem + end, SOPInstanceUID=stem + end)
        receipt = intake.receive(ledger, spool, data, source="test")
        assert (receipt.outcome, receipt.sop_uid) == ("new", stem + end)
    leased = jobs.lease(ledger, "w", 9)
    assert {film.key.study_uid for film in leased} == {stem + ".1", stem + ".2"}
