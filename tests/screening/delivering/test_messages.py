"""Messages of a ledger: one a study by the verb, one a film by delivery; others can read them."""

from __future__ import annotations

import json

import hl7
import pytest
from fhir.resources.R4B.bundle import Bundle
from hl7apy.parser import parse_message
from ledger_data import finish_all
from pacs_films import film_bytes
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.screening.arriving import intake
from monai_cxr.screening.arriving.spool import Spool
from monai_cxr.screening.delivering.delivery import deliver_batch
from monai_cxr.screening.delivering.receivers.folder import Folder
from monai_cxr.screening.delivering.study_messages import message_builder
from monai_cxr.screening.ledger import open_ledger


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool", reserve_bytes=0)


@pytest.fixture
def url(tmp_path, spool) -> str:
    """A study of two films with names beyond ASCII, and a study of one."""
    address = f"sqlite:///{tmp_path}/ledger.sqlite"
    with open_ledger(address) as ledger:
        for number, study in ((1, 1), (2, 1), (3, 3)):
            data = film_bytes(
                number, study=study, SpecificCharacterSet="ISO_IR 192", PatientName="Müller^Jörg"
            )
            assert intake.receive(ledger, spool, data, source="test").is_accepted
        finish_all(ledger, deliveries=[("fhir", "out"), ("hl7", "out")], positive=("Mass",))
    return address


def export(url: str, *arguments: object) -> dict:
    command = ["screen", "export", "--ledger", url, *map(str, arguments), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    return json.loads(result.stdout)


def test_fhir_is_one_bundle_a_study(url, tmp_path):
    assert export(url, "--format", "fhir", "--out", tmp_path / "fhir")["n_messages"] == 2
    bundles = [
        Bundle.model_validate_json(path.read_text()) for path in (tmp_path / "fhir").glob("*.json")
    ]
    numbers = sorted(
        sum(entry.resource.get_resource_type() == "Observation" for entry in bundle.entry)
        for bundle in bundles
    )
    assert numbers == [14, 28]
    before = {path.name: path.read_bytes() for path in (tmp_path / "fhir").iterdir()}
    export(url, "--format", "fhir", "--out", tmp_path / "fhir")
    assert {path.name: path.read_bytes() for path in (tmp_path / "fhir").iterdir()} == before


def test_hl7_is_one_message_a_study_with_the_patients_name(url, tmp_path, spool):
    assert export(url, "--format", "hl7", "--out", tmp_path / "hl7")["n_messages"] == 2
    for path in (tmp_path / "hl7").glob("*.hl7"):
        text = path.read_bytes().decode()
        assert parse_message(text).validate()
        message = hl7.parse(text)
        assert str(message.segment("PID")[5]) == "Müller^Jörg"
        assert str(message.segment("OBR")[7]) == "20260105081500"
        positive = [o for o in message.segments("OBX") if "Present" in str(o[5])]
        films = [o for o in message.segments("OBX") if str(o[3]).startswith("121112")]
        assert len(positive) == len(films)
    for path in spool.files():
        path.unlink()  # as retention does: the name is gone with the films
    export(url, "--format", "hl7", "--out", tmp_path / "later")
    texts = [path.read_text() for path in (tmp_path / "later").glob("*.hl7")]
    assert len(texts) == 2
    assert not any("Müller" in text for text in texts)


def test_an_unknown_format_and_a_folder_that_is_a_file(url, tmp_path):
    (tmp_path / "file").write_text("")
    for arguments, said in (
        (("--format", "xml", "--out", tmp_path / "x"), "table, fhir, hl7"),
        (("--format", "hl7", "--out", tmp_path / "file"), "cannot be written"),
    ):
        command = ["screen", "export", "--ledger", url, *map(str, arguments)]
        assert said in str(CliRunner().invoke(app, command).exception)


def test_a_folder_destination_takes_messages_of_each_film(url, tmp_path):
    builders = {kind: message_builder(kind) for kind in ("fhir", "hl7")}
    with open_ledger(url) as ledger:
        assert deliver_batch(ledger, Folder("out", tmp_path / "out"), builders, "d") == (6, 0)
    assert len(list((tmp_path / "out").glob("*.hl7"))) == 3
    assert len(list((tmp_path / "out").glob("*.json"))) == 3
