"""Bad input: what the listener answers, what becomes of each object, and what the logs say.

    python benchmarks/bad_input.py --bundle demo/bundle --data ../shared/data/dicom

Sends every file of a folder by C-STORE, then what nobody should send: somebody's report, our own, a
wrong AE title, a sender that dies in the middle, garbage, a 200-MB image, a UID with other pixels,
and patients' names in every character set of DICOM. A worker reads what was accepted. Prints two
Markdown tables, and ends with 1 if a name, a patient ID or a UID of any of them is in the logs,
which are taken at level DEBUG with those of all libraries.
"""

from __future__ import annotations

import argparse
import io
import logging
import socket
import struct
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from pynetdicom import AE
from pynetdicom.dsutils import split_dataset
from pynetdicom.presentation import build_context

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from raw_store import store_raw

from monai_cxr.bundle.model import BundleModel
from monai_cxr.dicom.header import elements
from monai_cxr.dicom.reader import open_dicom
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.errors import InputError
from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.picture.quiet import quiet
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction
from monai_cxr.screening import logs
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.arriving.storage_scp import StorageScp
from monai_cxr.screening.ledger import Ledger, jobs, open_ledger, quarantine
from monai_cxr.screening.network.dicom_network import AllowedSender
from monai_cxr.screening.settings.listener import ListenerSettings
from monai_cxr.screening.working.worker import WorkerOptions, run_worker

ROOT = "1.2.826.0.1.3680043.10.1479.66"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
NAMES = {
    "ISO_IR 6": "Secret^Adam",
    "ISO_IR 100": "Müller-Geheim^Jörg",
    "ISO_IR 101": "Wałęsowicz^Łukasz",
    "ISO_IR 109": "Ĉapelita^Ĝorĝo",
    "ISO_IR 110": "Ķēniņš^Jānis",
    "ISO_IR 144": "Люксембург^Роза",
    "ISO_IR 127": "قباني^لنزار",
    "ISO_IR 126": "Διονυσίου^Αλέξανδρος",
    "ISO_IR 138": "שרון^דבורה",
    "ISO_IR 148": "Çavuşoğlu^Şeyma",
    "ISO_IR 203": "Œuvrard^Žoë",
    "ISO_IR 166": "นามสกุล^ชื่อ",
    "ISO_IR 192": "王^小東",
    "GB18030": "王^小东",
    "GBK": "赵^钱孙",
    "ISO_IR 13": "ﾔﾏﾀﾞ^ﾀﾛｳ",
    "\\ISO 2022 IR 87": "Yamadasan^Tarou=山田^太郎=やまだ^たろう",
    "\\ISO 2022 IR 159": "Himegimi^Hanako=丂丄^姫君",
    "\\ISO 2022 IR 149": "Honggil^Gildong=洪^吉洞=홍^길동",
    "\\ISO 2022 IR 58": "Zhangsan^Xiaodong=张^小东",
}


@lru_cache(maxsize=1)
def thorax() -> np.ndarray:
    """Stored values of a phantom film, uint16, shape (rows, columns)."""
    with tempfile.TemporaryDirectory() as folder:
        phantom = PhantomSettings(n_patients=1, seed=3, size=256, mean_films_per_patient=1.0)
        write_dicom_archive(Path(folder), phantom, workers=1)
        dataset = pydicom.dcmread(next(Path(folder).rglob("*.dcm")))
        values = dataset.pixel_array.astype(np.uint16)
        bright_is_dense = dataset.PhotometricInterpretation == "MONOCHROME2"
        return values if bright_is_dense else values.max() - values


def film(number: int, *, repeat: int = 1, **attributes: object) -> bytes:
    pixels = np.repeat(np.repeat(thorax(), repeat, 0), repeat, 1)
    pixels[0, :2] = number
    values = {
        "SOPInstanceUID": f"{ROOT}.1.{number}",
        "StudyInstanceUID": f"{ROOT}.2.{number}",
        "SeriesInstanceUID": f"{ROOT}.3.{number}",
        "PatientID": f"SECRETID{number}",
        "PatientName": f"Secretname^Nummer{number}",
        **attributes,
    }
    return synthetic_dicom(pixels, **values)


def associate(port: int, contexts=None, *, calling: str = "SENDER", called: str = "MONAI_CXR"):
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 300
    entity.maximum_pdu_size = 0
    return entity.associate(
        "127.0.0.1", port, ae_title=called, contexts=contexts or [build_context(DX)]
    )


def send_file(port: int, data: bytes) -> str:
    """Announce a file as what it says it is; gives the answer in words."""
    try:
        opened = open_dicom(data)
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            meta, offset = split_dataset(Path(file.name))
        syntax = meta.TransferSyntaxUID
    except (InputError, AttributeError, pydicom.errors.InvalidDicomError):
        return "no Part 10 file: cannot be announced"
    facts = opened.facts
    association = associate(port, [build_context(facts.sop_class_uid, syntax)])
    if not association.is_established or not association.accepted_contexts:
        return "class not negotiated"
    status = store_raw(
        association,
        data,
        announced=facts.key.sop_uid,
        raw=data[offset:],
        sop_class=facts.sop_class_uid,
    )
    if association.is_established:
        association.release()
    return "no answer" if status is None else f"0x{status:04X}"


def secrets_of(data: bytes) -> set[str]:
    found = set[str]()
    with quiet():
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
        except elements.MALFORMED:
            return found
        for keyword in ("PatientName", "PatientID", "SOPInstanceUID", "StudyInstanceUID"):
            for value in elements.texts(dataset, keyword):
                parts = value.replace("=", "^").split("^") if keyword == "PatientName" else [value]
                found.update(part for part in parts if len(part) >= 5)
    return found


def our_report(data: bytes) -> bytes:
    opened = open_dicom(data)
    said = Prediction(
        opened.facts.key,
        ModelIdentity("model", "1", "ab" * 32),
        (FindingScore("Mass", 0.0, 0.5, True),),
    )
    now = datetime.now(timezone.utc)
    return structured_report(ReportedFilm(data, said), created=now).data


def die_in_the_middle(port: int, data: bytes) -> str:
    association = associate(port)
    line = association.dul.socket.socket
    head = struct.pack(">BBIIBB", 4, 0, 6 + 200_000, 2 + 200_000, 1, 0)  # P-DATA-TF
    line.sendall(head + data[:5000])
    line.shutdown(socket.SHUT_RDWR)
    association.kill()
    return "-"


def no_dicom(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
        line.sendall(b"GET /SECRETID HTTP/1.1\r\n\r\n")
    return "-"


def crafted(port: int) -> Iterator[tuple[str, str, str]]:
    """(what, answer, SOP Instance UID or "") of what nobody should send."""
    plain = film(1)
    report = pydicom.data.get_testdata_file("reportsi.dcm")
    yield "an SR of somebody else", send_file(port, Path(report).read_bytes()), ""
    yield "our own SR, back", send_file(port, our_report(plain)), ""
    for what, titles in (
        ("an unknown calling AE title", {"calling": "NOBODY"}),
        ("another called AE title", {"called": "OTHER"}),
    ):
        rejected = associate(port, **titles)
        primitive = rejected.acceptor.primitive
        answer = f"rejected {primitive.result}/{primitive.result_source}/{primitive.diagnostic}"
        yield what, answer, ""
    yield "a sender that dies in the middle of an object", die_in_the_middle(port, plain), ""
    yield "bytes that are no DICOM", no_dicom(port), ""
    garbage = bytes(np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8))
    association = associate(port)
    answer = store_raw(association, plain, announced=f"{ROOT}.9", raw=garbage)
    association.release()
    yield "garbage instead of a data set", f"0x{answer or 0:04X}", ""
    association = associate(port)
    answer = store_raw(association, plain, announced=f"{ROOT}.8")
    association.release()
    yield "announced as another object", f"0x{answer or 0:04X}", f"{ROOT}.1.1"
    cut = film(2)
    yield "pixels cut off", send_file(port, cut[:-50_000]), f"{ROOT}.1.2"
    yield "a film of 200 MB", send_file(port, film(3, repeat=39)), f"{ROOT}.1.3"
    yield "a film", send_file(port, film(4)), f"{ROOT}.1.4"
    yield "the same again", send_file(port, film(4)), f"{ROOT}.1.4"
    other = film(5, SOPInstanceUID=f"{ROOT}.1.4", StudyInstanceUID=f"{ROOT}.2.4")
    yield "its UID with other pixels", send_file(port, other), f"{ROOT}.1.4"
    for number, (charset, name) in enumerate(NAMES.items(), start=100):
        # One of every character set; each is a film like any other.
        data = film(number, SpecificCharacterSet=charset.split("\\"), PatientName=name)
        yield f"a name in {charset.strip(chr(92))}", send_file(port, data), f"{ROOT}.1.{number}"


class Watch:
    """Tells after each object which reason codes it left in the quarantine."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._last = ledger, 0

    def reasons(self) -> str:
        """Of the entries since the last call."""
        new = [e for e in quarantine.entries(self._ledger, limit=100) if e.id > self._last]
        self._last = max([self._last, *(entry.id for entry in new)])
        return ", ".join(entry.reason for entry in new)

    def fate(self, uid: str, at_intake: str) -> str:
        """What became of an object in the end."""
        film_there = jobs.film(self._ledger, uid) if uid and not at_intake else None
        if film_there is None:
            return at_intake
        return film_there.reason if film_there.state == "quarantined" else film_there.state


def run(folder: Path, bundle: str, data: Path) -> int:
    said = io.StringIO()
    logs.configure(level="DEBUG", stream=said)
    logging.getLogger().setLevel(logging.DEBUG)
    secrets: set[str] = {part for n in NAMES.values() for part in n.replace("=", "^").split("^")}
    secrets |= {"SECRETID", "Secretname", ROOT}
    answers: list[tuple[str, str, str, str]] = []
    with open_ledger(folder / "ledger.sqlite") as ledger:
        watch = Watch(ledger)
        settings = ListenerSettings(port=0, senders=(AllowedSender("SENDER"),))
        with StorageScp(settings, ledger, Spool(folder / "spool", reserve_bytes=0)) as scp:
            for path in sorted(p for p in data.rglob("*") if p.is_file() and p.suffix != ".csv"):
                content = path.read_bytes()
                secrets |= secrets_of(content)
                try:
                    uid = open_dicom(content).facts.key.sop_uid
                except InputError:
                    uid = ""
                answers.append((path.name, send_file(scp.port, content), uid, watch.reasons()))
            n_files = len(answers)
            answers += [(*case, watch.reasons()) for case in crafted(scp.port)]
        model = BundleModel.load(bundle, device="cpu")
        idle = {"should_stop": lambda: False, "when_idle": lambda: False}
        run_worker(ledger, model, WorkerOptions("worker"), **idle)
        fates = [watch.fate(uid, reasons) for _, _, uid, reasons in answers]
    groups: dict[tuple[str, str], int] = defaultdict(int)
    for (_, answer, *_), fate in zip(answers[:n_files], fates[:n_files], strict=True):
        groups[answer, fate] += 1
    print(f"| answer | in the ledger | of the {n_files} files |\n|---|---|---|")
    for (answer, fate), n in sorted(groups.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"| {answer} | {fate or '-'} | {n} |")
    print("\n| object | answer | in the ledger |\n|---|---|---|")
    for (what, answer, *_), fate in zip(answers[n_files:], fates[n_files:], strict=True):
        print(f"| {what} | {answer} | {fate or '-'} |")
    text = said.getvalue()
    told = sorted(secret for secret in secrets if secret in text)
    print(f"\n{len(text.splitlines())} log lines, {len(secrets)} identifiers, {len(told)} in them")
    return 1 if told else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bad-input-") as folder:
        return run(Path(folder), options.bundle, options.data)


if __name__ == "__main__":
    sys.exit(main())
