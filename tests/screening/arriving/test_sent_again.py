"""Films that are sent again: corrected, whole after they were damaged, at another clock's time."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from ledger_data import finish_all, outcome
from pacs_films import film_bytes

from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.release import release
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.arriving.watch_folder import WatchFolder
from monai_cxr.screening.ledger import audit, jobs, outbox, quarantine, studies
from monai_cxr.screening.ledger.people import worklist
from monai_cxr.screening.ledger.records import Outcome

ROOT = "1.2.826.0.1.3680043.10.1479.77"


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool", reserve_bytes=0)


def take(ledger, spool, data: bytes) -> str:
    return intake.receive(ledger, spool, data, source="test", calling_ae="XR1").outcome


def other_pixels(number: int) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(film_bytes(number)))
    dataset.PixelData = bytes(len(dataset.PixelData))
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def refuse(ledger, reason: str) -> None:
    (film,) = jobs.lease(ledger, "w", 1)
    jobs.finish(ledger, "w", [Outcome(film.id, reason=reason, message="No.")])


class TestCorrectedHeaderDropped:
    def test_another_patient_is_reported_anew(self, ledger, spool):
        assert take(ledger, spool, film_bytes(1, PatientID="WRONG-111")) == "new"
        finish_all(ledger, deliveries=[("sr", "pacs")])
        (delivery,) = outbox.lease(ledger, "d", 1)
        outbox.delivered(ledger, "d", delivery.id, object_uid="2.25.1")
        assert take(ledger, spool, film_bytes(1, PatientID="RIGHT-222")) == "corrected"
        film = jobs.film(ledger, f"{ROOT}.1.1")
        assert (film.key.patient_id, film.state) == ("RIGHT-222", "scheduled")
        assert pydicom.dcmread(film.path).PatientID == "RIGHT-222"
        finish_all(ledger, deliveries=[("sr", "pacs")])
        assert [d.state for d in outbox.deliveries(ledger)] == ["pending"]
        entry = next(e for e in audit.entries(ledger) if e.action == "film replaced")
        assert "PatientID" in entry.detail["changed"]
        assert "RIGHT-222" not in str(entry.detail)
        assert entry.detail["n_delivered_before"] == 1
        assert len(list(spool.files())) == 1  # the wrong one is gone
        assert take(ledger, spool, film_bytes(1, PatientID="RIGHT-222")) == "duplicate"

    def test_another_study_takes_the_film_along(self, ledger, spool):
        take(ledger, spool, film_bytes(1))
        finish_all(ledger)
        moved = film_bytes(1, StudyInstanceUID=f"{ROOT}.2.999", AccessionNumber="A999")
        assert take(ledger, spool, moved) == "corrected"
        assert studies.study(ledger, f"{ROOT}.2.1") is None
        assert studies.study(ledger, f"{ROOT}.2.999").n_films == 1
        finish_all(ledger)
        (pair,) = worklist.films_of_study(ledger, f"{ROOT}.2.999")
        assert pair[1] is not None

    @pytest.mark.parametrize(
        ("reason", "wrong"),
        [
            ("pediatric", {"PatientBirthDate": "20260101"}),
            ("lateral", {"ViewPosition": "LL"}),
            ("accession", {"AccessionNumber": "TYPO"}),
            ("name", {"PatientName": "Wrong^Person"}),
        ],
    )
    def test_a_film_that_was_refused_for_its_header(self, ledger, spool, reason, wrong):
        take(ledger, spool, film_bytes(1, **wrong))
        refuse(ledger, reason)
        assert take(ledger, spool, film_bytes(1)) == "corrected"
        assert quarantine.entries(ledger) == []
        assert finish_all(ledger) == 1

    def test_a_film_in_hand_is_not_finished_as_the_one_before(self, ledger, spool):
        take(ledger, spool, film_bytes(1, PatientID="WRONG"))
        (film,) = jobs.lease(ledger, "w", 1)
        take(ledger, spool, film_bytes(1, PatientID="RIGHT"))
        assert jobs.finish(ledger, "w", [outcome(film)]) == 0
        assert jobs.n_unfinished(ledger) == 1

    def test_a_route_through_another_archive_is_no_correction(self, ledger, spool):
        take(ledger, spool, film_bytes(1))
        assert take(ledger, spool, film_bytes(1, InstitutionName="B", StationName="X")) == (
            "duplicate"
        )


class TestDamagedFirstBlocksGood:
    @pytest.mark.parametrize("has_been_read", [True, False])
    def test_the_whole_film_takes_its_place(self, ledger, spool, has_been_read):
        whole = film_bytes(1)
        cut = pydicom.dcmread(io.BytesIO(whole))
        cut.PixelData = cut.PixelData[: len(cut.PixelData) // 2]
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, cut, enforce_file_format=True)
        assert take(ledger, spool, stream.getvalue()) == "new"
        if has_been_read:
            refuse(ledger, "damaged_pixels")
        assert take(ledger, spool, whole) == "replaced"
        assert quarantine.entries(ledger) == []
        assert len(list(spool.files())) == 1
        assert finish_all(ledger) == 1

    def test_the_real_pair(self, ledger, spool, data_directory):
        fixed = data_directory / "dicom" / "pylibjpeg_966_fixed.dcm"
        if not fixed.is_file():
            pytest.skip("pylibjpeg_966_fixed.dcm is not among the data.")
        first = pydicom.dcmread(fixed)
        first.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
        stream = io.BytesIO()
        pydicom.dcmwrite(stream, first, enforce_file_format=True)
        take(ledger, spool, stream.getvalue())
        refuse(ledger, "damaged_pixels")
        assert take(ledger, spool, fixed.read_bytes()) == "replaced"

    def test_a_person_can_prefer_the_newcomer(self, ledger, spool):
        take(ledger, spool, film_bytes(1))
        finish_all(ledger)
        assert take(ledger, spool, other_pixels(1)) == "conflict"
        (entry,) = quarantine.entries(ledger)
        assert release(ledger, [entry.id], actor="me") == 1
        assert jobs.film(ledger, f"{ROOT}.1.1").path == entry.path
        assert quarantine.entries(ledger) == []
        assert finish_all(ledger) == 1

    def test_what_is_cut_is_not_deleted(self, ledger, spool, tmp_path, clock):
        (tmp_path / "in").mkdir()
        watch = WatchFolder(tmp_path / "in", settle_seconds=1.0, delete=True, clock=clock)
        whole = film_bytes(1)
        (watch.folder / "cut.dcm").write_bytes(whole[:-4_000])
        for _ in range(3):
            watch.scan(ledger, spool)
            clock.advance(2)
        assert (watch.folder / "cut.dcm").exists()
        (watch.folder / "cut.dcm").write_bytes(whole)  # the writer goes on after its stall
        for _ in range(3):
            watch.scan(ledger, spool)
            clock.advance(2)
        assert not (watch.folder / "cut.dcm").exists()
        assert finish_all(ledger) == 1


class TestClockAheadFilmsStuck:
    def test_films_of_a_clock_ahead_are_read_when_it_is_right(self, ledger, spool, clock):
        clock.advance(2 * 86_400)
        take(ledger, spool, film_bytes(1))
        (film,) = jobs.lease(ledger, "w", 1)
        jobs.retry_later(ledger, "w", film.id, "OSError")
        take(ledger, spool, film_bytes(2))
        clock.advance(-2 * 86_400)
        take(ledger, spool, film_bytes(3))
        assert finish_all(ledger, deliveries=[("sr", "pacs")]) == 3
        assert len(studies.close_quiet(ledger, quiet_seconds=0.0)) == 3

    def test_a_lease_of_a_clock_ahead_ends(self, ledger, spool, clock):
        clock.advance(30 * 86_400)
        take(ledger, spool, film_bytes(1))
        assert len(jobs.lease(ledger, "dead", 1)) == 1
        clock.advance(-30 * 86_400)
        assert len(jobs.lease(ledger, "w", 1)) == 1

    @pytest.mark.parametrize("days", [2, 3_650])
    def test_two_clocks_give_no_film_up(self, ledger, spool, clock, days):
        """Each sees the other's leases as over, or as impossible, and takes them."""
        take(ledger, spool, film_bytes(1))
        for _ in range(10):
            clock.advance(days * 86_400)
            assert len(jobs.lease(ledger, "ahead", 1)) == 1
            clock.advance(-days * 86_400)
            assert len(jobs.lease(ledger, "right", 1)) == 1
        assert quarantine.entries(ledger) == []

    @pytest.mark.parametrize("days", [2, 3_650])
    def test_a_delivery_of_a_clock_ahead_is_made_when_it_is_right(self, ledger, spool, clock, days):
        take(ledger, spool, film_bytes(1))
        take(ledger, spool, film_bytes(2))
        finish_all(ledger, deliveries=[("sr", "pacs")])
        clock.advance(days * 86_400)
        (first, _) = outbox.lease(ledger, "dead", 2)  # one is killed, one fails
        outbox.failed(ledger, "dead", first.id, error="no_connection")
        clock.advance(-days * 86_400)
        assert len(outbox.lease(ledger, "d", 9, destinations=["pacs"])) == 2
        assert outbox.lease(ledger, "other", 9) == []  # it has a lease of the right clock now

    def test_a_clock_that_was_behind_gives_nothing_up(self, ledger, spool, clock):
        clock.advance(-40 * 365 * 86_400)
        take(ledger, spool, film_bytes(1))
        finish_all(ledger, deliveries=[("sr", "pacs")])
        (delivery,) = outbox.lease(ledger, "d", 1)
        outbox.failed(ledger, "d", delivery.id, error="no_connection")
        clock.advance(40 * 365 * 86_400)
        (delivery,) = outbox.lease(ledger, "d", 1)
        assert outbox.failed(ledger, "d", delivery.id, error="no_connection") == "pending"

    def test_a_failed_film_still_waits(self, ledger, spool, clock):
        take(ledger, spool, film_bytes(1))
        (film,) = jobs.lease(ledger, "w", 1)
        jobs.retry_later(ledger, "w", film.id, "OSError")
        assert jobs.lease(ledger, "w", 1) == []
        clock.advance(3)
        assert len(jobs.lease(ledger, "w", 1)) == 1


class TestWatchFolderForgets:
    @pytest.fixture
    def watch(self, tmp_path, clock) -> WatchFolder:
        (tmp_path / "in").mkdir()
        return WatchFolder(tmp_path / "in", settle_seconds=5.0, clock=clock)

    def scans(self, watch, ledger, spool, clock, n: int = 4) -> int:
        taken = 0
        for _ in range(n):
            taken += watch.scan(ledger, spool)
            clock.advance(6)
        return taken

    def test_a_file_that_could_not_be_read_is_tried_again(
        self, watch, ledger, spool, clock, monkeypatch
    ):
        (watch.folder / "a.dcm").write_bytes(film_bytes(1))
        read_bytes = intake.read_bytes

        def denied(path):
            raise intake.UnreadableImage("Permission denied.", reason="unreadable")

        name = "monai_cxr.screening.arriving.watch_folder.read_bytes"
        monkeypatch.setattr(name, denied)  # root may read what nobody may
        assert self.scans(watch, ledger, spool, clock) == 0
        monkeypatch.setattr(name, read_bytes)  # chmod changes neither time nor size
        assert self.scans(watch, ledger, spool, clock) == 1

    def test_a_folder_that_goes_away_is_noticed(self, watch, ledger, spool, clock, tmp_path):
        (watch.folder / "a.dcm").write_bytes(film_bytes(1))
        assert self.scans(watch, ledger, spool, clock) == 1
        assert watch.unfit() == []
        watch.folder.rename(tmp_path / "away")
        assert self.scans(watch, ledger, spool, clock) == 0
        assert watch.unfit() == ["the watch folder is absent"]
        (tmp_path / "away").rename(watch.folder)
        assert self.scans(watch, ledger, spool, clock) == 0  # it was not forgotten
        assert watch.unfit() == []

    def test_a_link_out_of_the_folder_is_not_followed(self, watch, ledger, spool, clock, tmp_path):
        (tmp_path / "elsewhere.dcm").write_bytes(film_bytes(1))
        (watch.folder / "a.dcm").symlink_to(tmp_path / "elsewhere.dcm")
        (watch.folder / "b.dcm").write_bytes(film_bytes(2))
        (watch.folder / "c.dcm").symlink_to(watch.folder / "b.dcm")
        assert self.scans(watch, ledger, spool, clock) == 2  # b, and c which is b
        assert Path(tmp_path / "elsewhere.dcm").exists()
        assert jobs.film(ledger, f"{ROOT}.1.1") is None
