"""Rules that the how-to gives for other systems: run in Orthanc, read for dcm4chee and mercure."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import requests
from dicom_peers import ORTHANC_USER, free_port, running_orthanc
from pacs_films import film_bytes

from monai_cxr.screening.ledger import jobs
from monai_cxr.screening.ledger.watching import counts
from monai_cxr.screening.network.dicom_network import AllowedSender

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "connect-a-pacs.md"


def test_orthanc_sends_the_films_and_nothing_else(taken, tmp_path):
    (rule,) = re.findall(r"`(function OnStoredInstance.*? end)`", PAGE.read_text())
    (tmp_path / "route.lua").write_text(rule)
    ours = free_port()
    options = {
        "LuaScripts": [str(tmp_path / "route.lua")],
        "DicomModalities": {"monai_cxr": ["MONAI_CXR", "127.0.0.1", ours]},
    }
    senders = (AllowedSender("ORTHANC"),)
    with (
        taken.listener(ae_title="MONAI_CXR", port=ours, senders=senders),
        running_orthanc(tmp_path, move_port=ours, options=options) as orthanc,
    ):
        for number, modality in enumerate(("DX", "MG", "CR", "RF"), start=1):
            data = film_bytes(number, side=64, Modality=modality)
            url = f"http://127.0.0.1:{orthanc.http_port}/instances"
            requests.post(url, data=data, auth=ORTHANC_USER, timeout=60).raise_for_status()
        until = time.monotonic() + 60
        while {job["State"] for job in orthanc.get("/jobs?expand")} != {"Success"}:
            assert time.monotonic() < until, orthanc.get("/jobs?expand")
            time.sleep(0.05)
    assert counts.count(taken.ledger).arrivals == {"new": 2}
    assert jobs.n_unfinished(taken.ledger) == 2


def test_the_others_are_what_their_schemas_name():
    """mercure's rule as it evaluates it; the attributes of dcm4chee's LDAP schema."""
    page = PAGE.read_text()
    (text,) = re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    config = json.loads(text)
    (rule,) = config["rules"].values()
    assert rule["target"] in config["targets"]
    assert (rule["action"], rule["action_trigger"]) == ("route", "series")
    assert set(config["targets"]["monai_cxr"]) == {
        *("target_type", "ip", "port", "aet_target", "aet_source")
    }
    for modality, is_sent in (
        ("DX", True),
        ("CR", True),
        ("CT", False),
        ("SR", False),
        ("", False),
    ):
        tags = SimpleNamespace(Modality=modality)
        assert eval(rule["rule"], {"__builtins__": {}}, {"tags": tags}) is is_sent
    (text,) = re.findall(r"^```ldif\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    entries = [dict(line.split(": ", 1) for line in one.splitlines()) for one in text.split("\n\n")]
    by_class = {entry["objectClass"]: entry for entry in entries}
    export, exporter = by_class["dcmExportRule"], by_class["dcmExporter"]
    assert export["dcmExporterID"] == exporter["dcmExporterID"]
    assert {"cn", "dcmEntity", "dcmDuration", "dcmProperty"} <= set(export)
    assert {"dcmURI", "dicomAETitle", "dcmQueueName"} <= set(exporter)
