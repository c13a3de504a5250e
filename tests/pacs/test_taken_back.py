"""What a source takes back or a site does not want: rules of the listener, rejection notes."""

from __future__ import annotations

import io

import pydicom
import pytest
from dicom_peers import errors_of_dciodvfy
from ledger_data import finish_all, outcome
from pacs_films import film_bytes
from pydicom import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage
from sqlalchemy import select
from store_scu import DX, send

from monai_cxr.dicom.results.instances import InstanceReference, is_own_result
from monai_cxr.dicom.results.rejection_note import (
    REJECTIONS,
    rejection_note,
    rejection_of,
)
from monai_cxr.errors import SettingsError
from monai_cxr.screening.delivering.builders import report_builder
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.receivers.pacs import Pacs
from monai_cxr.screening.ledger import arrivals, jobs, outbox, quarantine, studies
from monai_cxr.screening.ledger.schema import arrivals as arrivals_table
from monai_cxr.screening.ledger.schema import results
from monai_cxr.screening.network.dicom_network import Peer
from monai_cxr.screening.settings.listener import ListenerRule

ROOT = "1.2.826.0.1.3680043.10.1479.77"
SR = "1.2.840.10008.5.1.4.1.1.88.34"
BUILDERS = {"sr": report_builder({})}


def note_of(number: int, code: str = "113001", **attributes) -> bytes:
    """A note of the modality's about a film, as another system writes it."""
    film = film_bytes(number)
    header = pydicom.dcmread(io.BytesIO(film), stop_before_pixels=True)
    one = InstanceReference(DX, header.SOPInstanceUID, header.SeriesInstanceUID)
    note = pydicom.dcmread(io.BytesIO(rejection_note(film, [one], "113001").data))
    note.Manufacturer = "Another Ltd"
    note.ConceptNameCodeSequence[0].CodeValue = code
    for keyword, value in attributes.items():
        setattr(note, keyword, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, note, enforce_file_format=True)
    return stream.getvalue()


def reasons(ledger) -> list[str]:
    with ledger.read() as connection:
        query = select(arrivals_table.c.reason).where(arrivals_table.c.outcome == arrivals.IGNORED)
        return sorted(connection.execute(query).scalars())


class TestRules:
    def test_dropped_urgent_and_as_before(self, taken):
        rules = (
            ListenerRule("accept", calling_ae=("ICU",), priority="STAT"),
            ListenerRule("drop", modalities=("CR",), reason="not_from_here"),
            ListenerRule("drop", sop_classes=(DX,), calling_ae=("OTHER",)),
        )
        senders = tuple(
            type(one)(title, one.host)
            for title in ("CXRSCU", "ICU", "OTHER")
            for one in [taken.listener().settings.senders[0]]
        )
        with taken.listener(rules=rules, senders=senders) as scp:
            sent = [
                send(scp.port, film_bytes(1, Modality="CR"), calling="CXRSCU"),
                send(scp.port, film_bytes(2, Modality="CR"), calling="ICU"),
                send(scp.port, film_bytes(3, Modality="DX"), calling="OTHER"),
                send(scp.port, film_bytes(4, Modality="DX"), calling="CXRSCU"),
            ]
        assert sent == [0x0000] * 4  # the sender goes on with its study
        kept = {film.key.sop_uid: film.priority for film in jobs.lease(taken.ledger, "w", 9)}
        assert kept == {f"{ROOT}.1.2": "STAT", f"{ROOT}.1.4": "ROUTINE"}
        assert reasons(taken.ledger) == ["dropped_by_rule", "not_from_here"]
        assert len(list(taken.spool.files())) == 2

    def test_classes_by_their_beginning(self):
        rule = ListenerRule("drop", sop_classes=("1.2.840.10008.5.1.4.1.1.88.",))
        assert rule.fits("X", SR, "SR")
        assert not rule.fits("X", "1.2.840.10008.5.1.4.1.1.8", "")

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"action": "forward", "modalities": ("CR",)}, "accept or drop"),
            ({"action": "drop"}, "names nothing"),
            ({"action": "drop", "modalities": ("CR",), "reason": "Nur heute"}, "lower case"),
            ({"action": "drop", "modalities": ("CR",), "priority": "STAT"}, "no priority"),
        ],
    )
    def test_what_is_wrong_is_named(self, values, said):
        with pytest.raises(SettingsError, match=said):
            ListenerRule(**values)


class TestRejection:
    @pytest.mark.parametrize("code", REJECTIONS)
    def test_what_waits_is_withdrawn(self, taken, code):
        with taken.listener() as scp:
            for number in (1, 2):
                assert send(scp.port, film_bytes(number, study=1)) == 0x0000
            finish_all(taken.ledger, deliveries=[("sr", "pacs")], positive=("Mass",))
            assert send(scp.port, note_of(1, code)) == 0x0000
            assert send(scp.port, note_of(1, code)) == 0x0000  # and again
        assert jobs.film(taken.ledger, f"{ROOT}.1.1").state == "quarantined"
        (entry,) = quarantine.entries(taken.ledger)
        assert (entry.reason, code in entry.message) == ("rejected_instance", True)
        states = {d.sop_uid[-1]: d.state for d in outbox.deliveries(taken.ledger)}
        assert states == {"1": "dismissed", "2": "pending"}
        study = studies.study(taken.ledger, f"{ROOT}.2.1")
        assert (study.n_scored, study.n_quarantined) == (1, 1)
        with taken.ledger.read() as connection:
            assert connection.execute(select(results.c.sop_uid)).scalars().all() == [f"{ROOT}.1.2"]

    def test_one_that_comes_before_its_film(self, taken):
        with taken.listener() as scp:
            assert send(scp.port, note_of(1)) == 0x0000
            assert send(scp.port, film_bytes(1)) == 0x0000
        assert jobs.film(taken.ledger, f"{ROOT}.1.1").state == "quarantined"
        assert finish_all(taken.ledger) == 0

    def test_a_film_in_hand_is_not_finished(self, taken):
        with taken.listener() as scp:
            send(scp.port, film_bytes(1))
            (film,) = jobs.lease(taken.ledger, "w", 1)
            send(scp.port, note_of(1))
        assert jobs.finish(taken.ledger, "w", [outcome(film)]) == 0
        assert jobs.film(taken.ledger, film.key.sop_uid).state == "quarantined"

    @pytest.mark.parametrize(
        "change",
        [
            {"code": "113039"},  # its time is over: nothing was wrong with it
            {"code": "113000"},  # of interest
            {"ConceptNameCodeSequence": []},
            {"CurrentRequestedProcedureEvidenceSequence": []},
            {"CurrentRequestedProcedureEvidenceSequence": [Dataset()]},
        ],
    )
    def test_what_rejects_nothing(self, taken, change):
        with taken.listener() as scp:
            send(scp.port, film_bytes(1))
            assert send(scp.port, note_of(1, **change)) == 0x0000
        assert jobs.film(taken.ledger, f"{ROOT}.1.1").state == "scheduled"

    def test_what_went_out_is_taken_back(self, taken, orthanc, tmp_path):
        """A note of ours goes to each receiver that has the report, and names it."""
        pacs = Pacs("pacs", Peer("ORTHANC", "127.0.0.1", orthanc.dicom_port), "MONAI_CXR")
        folder = Folder("folder", tmp_path / "out")
        film = film_bytes(61)
        with taken.listener() as scp:
            send(scp.port, film)
            finish_all(taken.ledger, deliveries=[("sr", "pacs"), ("sr", "folder")])
            for destination in (pacs, folder):
                assert deliver_batch(taken.ledger, destination, BUILDERS, "d") == (1, 0)
            (report,) = (tmp_path / "out").iterdir()
            send(scp.port, note_of(61, "113037"))
            for destination in (pacs, folder):
                assert deliver_batch(taken.ledger, destination, BUILDERS, "d") == (1, 0)
                assert deliver_batch(taken.ledger, destination, BUILDERS, "d") == (0, 0)
            (written,) = set((tmp_path / "out").iterdir()) - {report}
            note = pydicom.dcmread(written)
            assert send(scp.port, written.read_bytes()) == 0x0000  # ours comes back
        said = rejection_of(note)
        assert (said.code, said.sop_uids) == ("113037", (report.stem,))
        (reference,) = note.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        sr = pydicom.dcmread(report)
        assert reference.SeriesInstanceUID == sr.SeriesInstanceUID
        assert reference.ReferencedSOPSequence[0].ReferencedSOPClassUID == sr.SOPClassUID
        assert (note.PatientID, note.StudyInstanceUID) == (sr.PatientID, sr.StudyInstanceUID)
        assert is_own_result(note)
        assert errors_of_dciodvfy(written.read_bytes(), tmp_path) == []
        found = {one.SOPInstanceUID for one in orthanc.instances(f"{ROOT}.2.61")}
        assert found == {report.stem, written.stem}
        assert note.SOPClassUID == KeyObjectSelectionDocumentStorage
