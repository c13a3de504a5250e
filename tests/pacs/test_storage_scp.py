"""The listener: who may call, what is answered, and that an answer of 0x0000 is kept."""

from __future__ import annotations

import io
import socket
import struct
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_peers import free_port
from pacs_films import film_bytes
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from raw_store import store_raw
from store_scu import DX, associate, encoded, send

from monai_cxr.dicom.header import parsing
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import SettingsError
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.radiograph import InstanceKey
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.arriving.storage_scp import StorageScp
from monai_cxr.screening.ledger import jobs, quarantine
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.network.dicom_network import AllowedSender
from monai_cxr.screening.settings.listener import ListenerSettings


class TestDurable:
    @pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, None])
    def test_bytes_are_kept_as_they_came(self, taken, syntax):
        data = film_bytes(1) if syntax is None else encoded(film_bytes(1), syntax)
        with taken.listener() as scp:
            assert send(scp.port, data) == 0x0000
        (film,) = jobs.lease(taken.ledger, "test", 10)
        kept = pydicom.dcmread(film.path)
        sent = pydicom.dcmread(io.BytesIO(data))
        assert kept.PixelData == sent.PixelData
        assert kept.file_meta.TransferSyntaxUID == (syntax or ExplicitVRLittleEndian)
        assert (film.source, film.key.sop_uid) == ("c-store", sent.SOPInstanceUID)

    def test_is_parsed_once(self, taken, monkeypatch):
        parsed = []
        monkeypatch.setattr(parsing, "parse", lambda data, parse=parsing.parse: (
            parsed.append(len(data)), parse(data))[1])  # fmt: skip
        with taken.listener() as scp:
            assert send(scp.port, film_bytes(1)) == 0x0000
        assert len(parsed) == 1

    def test_a_resend_makes_no_second_job(self, taken):
        with taken.listener() as scp:
            assert [send(scp.port, film_bytes(1)) for _ in range(3)] == [0x0000] * 3
        assert len(jobs.lease(taken.ledger, "test", 10)) == 1

    def test_other_pixels_under_the_same_uid_go_to_quarantine(self, taken):
        same_uid = pydicom.dcmread(io.BytesIO(film_bytes(1))).SOPInstanceUID
        other = film_bytes(2, study=1, SOPInstanceUID=same_uid)
        with taken.listener() as scp:
            assert send(scp.port, film_bytes(1)) == 0x0000
            assert send(scp.port, other) == 0x0000  # kept, for a person to look at
        assert len(jobs.lease(taken.ledger, "test", 10)) == 1
        (entry,) = quarantine.entries(taken.ledger)
        assert entry.reason == "same_uid_other_pixels"
        assert Path(entry.path).is_file()


class TestWhoMayCall:
    def test_unknown_calling_ae(self, taken):
        with taken.listener() as scp:
            association = associate(scp.port, calling="NOBODY")
            assert association.is_rejected
            primitive = association.acceptor.primitive
            assert (primitive.result, primitive.result_source, primitive.diagnostic) == (1, 1, 3)

    def test_wrong_called_ae(self, taken):
        with taken.listener() as scp:
            association = associate(scp.port, called="OTHER")
            assert association.is_rejected
            assert association.acceptor.primitive.diagnostic == 7

    def test_right_ae_from_another_host(self, taken):
        elsewhere = AllowedSender("CXRSCU", "127.0.0.9")
        with taken.listener(senders=(elsewhere,)) as scp:
            assert associate(scp.port).is_rejected

    def test_any_host(self, taken):
        with taken.listener(senders=(AllowedSender("CXRSCU"),)) as scp:
            assert send(scp.port, film_bytes(1)) == 0x0000

    def test_an_error_while_a_caller_is_judged_rejects_it(self, taken, monkeypatch):
        def fails(*_args: object) -> None:
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr(StorageScp, "_sender", fails)
        with taken.listener() as scp:
            assert associate(scp.port).is_rejected

    def test_nobody_by_default(self, taken):
        with taken.listener(senders=()) as scp:
            assert associate(scp.port).is_rejected

    def test_too_many_associations(self, taken):
        with taken.listener(max_associations=2) as scp:
            held = [associate(scp.port) for _ in range(2)]
            assert all(association.is_established for association in held)
            third = associate(scp.port)
            assert third.is_rejected
            assert third.acceptor.primitive.result_source == 3
            for association in held:
                association.release()

    @pytest.mark.parametrize("title", ["", " ", "A" * 17, "A\\B", "Ä"])
    def test_titles_that_dicom_does_not_allow(self, title):
        with pytest.raises(SettingsError, match="AE title"):
            ListenerSettings(ae_title=title)

    def test_unknown_host_and_taken_port(self, taken):
        with pytest.raises(SettingsError, match="not known"):
            taken.listener(senders=(AllowedSender("A", "no.such.host.invalid"),)).start()
        with taken.listener() as scp, pytest.raises(SettingsError, match="Choose another port"):
            taken.listener(port=scp.port).start()


class TestBadInput:
    def test_full_disk(self, taken):
        taken.spool = Spool(taken.spool.root, reserve_bytes=2**62)
        with taken.listener() as scp:
            assert send(scp.port, film_bytes(1)) == 0xA700
        assert jobs.lease(taken.ledger, "test", 10) == []
        taken.spool = Spool(taken.spool.root, reserve_bytes=0)
        with taken.listener() as scp:  # the sender tries again
            assert send(scp.port, film_bytes(1)) == 0x0000

    def test_ledger_away(self, taken, monkeypatch):
        from sqlalchemy.exc import OperationalError

        from monai_cxr.screening.arriving import intake

        def broken(*_args, **_options):
            raise OperationalError("insert", {}, Exception("gone"))

        monkeypatch.setattr(intake, "receive", broken)
        with taken.listener() as scp:
            assert send(scp.port, film_bytes(1)) == 0xA700

    def test_an_sr_of_somebody_else(self, taken):
        data = pydicom.data.get_testdata_file("reportsi.dcm")
        with taken.listener() as scp:
            assert send(scp.port, Path(data).read_bytes()) == 0x0000
        assert quarantine.entries(taken.ledger) == []
        assert list(taken.spool.files()) == []
        assert counts.count(taken.ledger).arrivals == {"ignored": 1}

    def test_our_own_sr_comes_back(self, taken):
        film = film_bytes(1)
        header = pydicom.dcmread(io.BytesIO(film))
        key = InstanceKey("", header.StudyInstanceUID, "", header.SOPInstanceUID)
        scores = (FindingScore("Mass", 0.0, 0.5, True),)
        said = Prediction(key, ModelIdentity("m", "1", "ab" * 32), scores)
        report = structured_report(ReportedFilm(film, said), created=datetime(2026, 1, 1))
        with taken.listener() as scp:
            assert send(scp.port, report.data) == 0x0000
        assert jobs.lease(taken.ledger, "test", 10) == []
        assert quarantine.entries(taken.ledger) == []

    def test_a_class_that_is_not_taken(self, taken):
        with taken.listener() as scp:
            association = associate(scp.port, contexts=[build_context("1.2.840.10008.5.1.4.1.1.2")])
            assert association.is_aborted or not association.accepted_contexts

    def test_announced_as_another_object(self, taken):
        data = film_bytes(1)
        with taken.listener() as scp:
            association = associate(scp.port)
            assert store_raw(association, data, announced="1.2.3") == 0xA900
            association.release()
        assert quarantine.entries(taken.ledger)[0].reason == "mismatch"

    def test_garbage_instead_of_a_data_set(self, taken):
        with taken.listener() as scp:
            association = associate(scp.port)
            garbage = bytes(np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8))
            assert store_raw(association, b"\0" * 128 + b"DICM" + garbage, raw=garbage) == 0xC000
            association.release()
            assert send(scp.port, film_bytes(1)) == 0x0000

    def test_a_sender_dies_in_the_middle(self, taken):
        data = film_bytes(1, side=900)
        with taken.listener() as scp:
            association = associate(scp.port)
            raw = association.dul.socket.socket
            head = struct.pack(">BBIIBB", 4, 0, 6 + 200_000, 2 + 200_000, 1, 0)  # P-DATA-TF
            raw.sendall(head + data[:5000])
            raw.shutdown(socket.SHUT_RDWR)
            association.kill()
            assert send(scp.port, data) == 0x0000
        assert len(jobs.lease(taken.ledger, "test", 10)) == 1

    def test_bytes_that_are_no_dicom_at_all(self, taken):
        with taken.listener() as scp:
            for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x01\x00\xff\xff\xff\xff", b""):
                with socket.create_connection(("127.0.0.1", scp.port), timeout=60) as line:
                    line.sendall(noise)
            assert send(scp.port, film_bytes(1)) == 0x0000


class TestCommitment:
    def test_what_is_here_and_what_is_not(self, taken):
        reports: list[tuple[int, Dataset]] = []
        told = threading.Event()

        def on_report(event):
            reports.append((event.event_type, event.event_information))
            told.set()
            return 0x0000, None

        modality = AE(ae_title="CXRSCU")
        modality.add_supported_context("1.2.840.10008.1.20.1", scu_role=True, scp_role=True)
        handlers = [(evt.EVT_N_EVENT_REPORT, on_report)]
        server = modality.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        port = server.socket.getsockname()[1]
        sender = AllowedSender("CXRSCU", "127.0.0.1", port)
        try:
            with taken.listener(senders=(sender,)) as scp:
                assert send(scp.port, film_bytes(1)) == 0x0000
                here = pydicom.dcmread(io.BytesIO(film_bytes(1))).SOPInstanceUID
                assert self.ask(scp.port, [here, "1.2.3.4"]) == 0x0000
                assert told.wait(60)
        finally:
            server.shutdown()
        ((event_type, said),) = reports
        assert event_type == 2
        assert said.TransactionUID == "1.2.3.99"
        assert said.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == here
        assert said.FailedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
        assert said.FailedSOPSequence[0].FailureReason == 0x0112

    def test_nowhere_to_report_to(self, taken):
        with taken.listener() as scp:
            assert self.ask(scp.port, ["1.2.3"]) == 0x0124

    def test_nothing_asked_for(self, taken):
        sender = AllowedSender("CXRSCU", "127.0.0.1", free_port())
        with taken.listener(senders=(sender,)) as scp:
            assert self.ask(scp.port, []) == 0x0115

    @staticmethod
    def ask(port: int, uids: list[str]) -> int:
        request = Dataset()
        request.TransactionUID = "1.2.3.99"
        request.ReferencedSOPSequence = []
        for uid in uids:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = DX, uid
            request.ReferencedSOPSequence.append(item)
        commitment = "1.2.840.10008.1.20.1"
        association = associate(port, contexts=[build_context(commitment)])
        status, _ = association.send_n_action(request, 1, commitment, "1.2.840.10008.1.20.1.1")
        association.release()
        return status.Status
