"""OHIF: its own SR handler shows each report of a study, and its findings on the film."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_peers import program

from monai_cxr.dicom.reader import open_dicom
from monai_cxr.dicom.results.structured_report import ReportedFilm, structured_report
from monai_cxr.findings import FINDING_NAMES, FINDINGS
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.prediction import FindingScore, ModelIdentity, Prediction

MODEL = ModelIdentity("chest_model", "1", "ab" * 32)
SCRIPT = Path(__file__).parents[2] / "support" / "ohif_reports.js"


def reports() -> list[tuple[str, bytes]]:
    """Two films of one study, one of them without geometry: UID of the film, report."""
    made = []
    for number, attributes in ((1, {}), (2, {"ImagerPixelSpacing": ["0.1", "0.1"]})):
        data = synthetic_dicom(
            np.zeros((80, 90), np.uint16), SOPInstanceUID=f"1.2.3.{number}", **attributes
        )
        scores = tuple(FindingScore(f, 0.0, 0.4, i == 0) for i, f in enumerate(FINDING_NAMES))
        said = Prediction(open_dicom(data).facts.key, MODEL, scores)
        made.append((f"1.2.3.{number}", structured_report(ReportedFilm(data, said)).data))
    return made


def test_each_report_is_a_series_and_each_finding_has_an_edge_and_a_label():
    """What OHIF's handler looks for; the test below asks the handler itself."""
    series = set()
    for uid, data in reports():
        report = pydicom.dcmread(io.BytesIO(data))
        series.add(report.SeriesInstanceUID)
        groups = report.ContentSequence[-1].ContentSequence
        assert len(groups) == 14
        for place, group in enumerate(groups):
            (number,) = [item for item in group.ContentSequence if item.ValueType == "NUM"]
            (edge,) = number.ContentSequence
            assert edge.GraphicType == "POLYLINE"
            begin, end = 80 * place / 15, 80 * (place + 1) / 15
            assert edge.GraphicData == pytest.approx([90, begin, 90, end])
            image = edge.ContentSequence[0].ReferencedSOPSequence[0]
            assert image.ReferencedSOPInstanceUID == uid
    assert len(series) == 2


def test_ohif_shows_one_of_two(tmp_path):
    """OHIF's published handler under Node: both reports, every finding on its film."""
    folder = os.environ.get("MONAI_CXR_OHIF", "")
    if not folder or not shutil.which("node"):
        pytest.skip(
            "OHIF is not here: npm install @ohif/extension-cornerstone-dicom-sr dcmjs in a folder, "
            "and set MONAI_CXR_OHIF to it."
        )
    names = []
    for uid, data in reports():
        names.append(tmp_path / f"{uid}.dcm")
        names[-1].write_bytes(data)
    command = [program("node", package="nodejs"), SCRIPT, folder, *names]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(one["images"]) for one in shown] == [{"1.2.3.1"}, {"1.2.3.2"}]
    for one in shown:
        assert one["n"] == len(one["images"]) == 14
        titles = [FINDINGS[name].title for name in FINDING_NAMES]
        decisions = ["present", *["absent"] * 13]
        assert one["labels"] == [f"AI {t}: {d}" for t, d in zip(titles, decisions, strict=True)]
