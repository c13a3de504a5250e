"""The listener with real senders and real files: dcmtk, many at once, logs that name nobody."""

from __future__ import annotations

import logging
import subprocess
import threading
from pathlib import Path

import pydicom
from dicom_peers import program
from pacs_films import film_bytes
from pydicom.uid import JPEGLSLossless
from pynetdicom.presentation import build_context
from raw_store import store_raw
from store_scu import associate, encoded, send

from monai_cxr.dicom.header import elements
from monai_cxr.dicom.header.scope import is_radiograph_class
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.errors import InputError
from monai_cxr.picture.quiet import quiet
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.arriving.storage_scp import COMPANION_CLASSES
from monai_cxr.screening.ledger import jobs, quarantine


class TestDcmtk:
    """Debian's storescu; pynetdicom's script of the same name is another program."""

    def run(self, port: int, *files: Path, called: str = "MONAI_CXR", options=()) -> int:
        command = [program("storescu", package="dcmtk"), *options]
        command += ["-aet", "CXRSCU", "-aec", called, "127.0.0.1", str(port), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        return done.returncode

    def test_films_arrive(self, taken, tmp_path):
        files = []
        for number in range(5):
            files.append(tmp_path / f"{number}.dcm")
            files[-1].write_bytes(film_bytes(number))
        with taken.listener() as scp:
            assert self.run(scp.port, *files) == 0
            assert self.run(scp.port, *files) == 0
        assert len(jobs.lease(taken.ledger, "test", 100)) == 5

    def test_compressed_film_arrives_compressed(self, taken, tmp_path):
        path = tmp_path / "film.dcm"
        path.write_bytes(encoded(film_bytes(1), JPEGLSLossless))
        with taken.listener() as scp:
            assert self.run(scp.port, path, options=["--propose-jls-lossless"]) == 0
        (film,) = jobs.lease(taken.ledger, "test", 10)
        assert pydicom.dcmread(film.path).file_meta.TransferSyntaxUID == JPEGLSLossless

    def test_wrong_ae_and_full_disk_are_seen_by_the_sender(self, taken, tmp_path):
        path = tmp_path / "film.dcm"
        path.write_bytes(film_bytes(1))
        with taken.listener() as scp:
            assert self.run(scp.port, path, called="OTHER") != 0
        taken.spool = Spool(taken.spool.root, reserve_bytes=2**62)
        with taken.listener() as scp:
            assert self.run(scp.port, path) != 0
        assert jobs.lease(taken.ledger, "test", 10) == []


def test_no_log_names_a_patient(taken, caplog):
    caplog.set_level(logging.DEBUG)
    secrets = ("Geheim", "SECRET0815")
    film = film_bytes(1, PatientName="Geheim^Anna", PatientID="SECRET0815")
    odd = film_bytes(2, PatientName="Geheim^X", PatientID="SECRET0815", SOPInstanceUID=None)
    with taken.listener() as scp:
        assert send(scp.port, film) == 0x0000
        association = associate(scp.port)
        store_raw(association, odd, announced="1.2.3", raw=odd[odd.index(b"\x08\x00\x16\x00") :])
        association.release()
        associate(scp.port, calling="NOBODY")
    text = caplog.text + repr(quarantine.entries(taken.ledger))
    assert "not on the list" in text
    assert not any(secret in text for secret in secrets)


def test_many_associations_at_once(taken):
    """Parallel senders lose nothing; the load script in benchmarks/ does it with thousands."""
    statuses: list[int | None] = []
    with taken.listener() as scp:

        def sender(worker: int) -> None:
            for number in range(3):
                statuses.append(send(scp.port, film_bytes(100 * worker + number)))

        threads = [threading.Thread(target=sender, args=(worker,)) for worker in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
    assert statuses == [0x0000] * 60
    assert len(jobs.lease(taken.ledger, "test", 100)) == 60


def test_every_real_file_gets_the_right_answer_and_no_log_names_anybody(
    taken, data_directory, caplog
):
    """Films of every maker and character set are taken, SRs refused, all else not negotiated."""
    from pynetdicom.dsutils import split_dataset

    caplog.set_level(logging.DEBUG)
    secrets: set[str] = set()
    answers: dict[str, int | None] = {}
    with taken.listener() as scp:
        for path in sorted((data_directory / "dicom").glob("*.dcm")):
            data = path.read_bytes()
            try:
                opened = open_dicom(data)
                meta, offset = split_dataset(path)
            except (InputError, AttributeError, pydicom.errors.InvalidDicomError):
                continue  # no Part 10 file: no sender could announce it
            with quiet():
                for keyword in ("PatientName", "PatientID"):
                    secrets.update(v for v in elements.texts(opened.parsed.dataset, keyword) if v)
            facts = opened.facts
            context = build_context(facts.sop_class_uid, meta.TransferSyntaxUID)
            association = associate(scp.port, contexts=[context])
            if association.is_established:
                answers[path.name] = store_raw(
                    association, data, announced=facts.key.sop_uid, raw=data[offset:],
                    sop_class=facts.sop_class_uid,
                )  # fmt: skip
                association.release()
            else:
                answers[path.name] = None
            is_film = is_radiograph_class(facts.sop_class_uid)
            is_companion = facts.sop_class_uid in COMPANION_CLASSES
            expected = 0x0000 if is_film or is_companion else None
            assert answers[path.name] == expected, path.name
    assert list(answers.values()).count(0x0000) > 20
    assert {0x0000, None} <= set(answers.values())
    long_enough = {secret for secret in secrets if len(secret) >= 5}
    assert len(long_enough) > 10
    assert not [secret for secret in long_enough if secret in caplog.text]
