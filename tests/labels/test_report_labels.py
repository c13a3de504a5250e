"""Reports from every source to a table, and what is said of bad ones."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from monai_cxr.cli import app
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.labels.foreign_labels import read_foreign_labels
from monai_cxr.labels.hl7_reports import reports_of
from monai_cxr.labels.lexicon import read_lexicon
from monai_cxr.labels.report_labels import label_reports
from monai_cxr.labels.report_sources import Report, decoded, read_reports

OPENI = """<?xml version="1.0"?><eCitation><uId id="CXR9"/><Abstract>
<AbstractText Label="INDICATION">Rule out pneumonia.</AbstractText>
<AbstractText Label="FINDINGS">Small effusion.</AbstractText>
<AbstractText Label="IMPRESSION">No pneumothorax.</AbstractText></Abstract></eCitation>"""
ORU = "\r".join(
    [
        r"MSH|^~\&|RIS|HOSP|CXR|HOSP|20260101||ORU^R01|1|P|2.5.1",
        "PID|1||12345^^^HOSP",
        "OBR|1|P1|F1|36643-5^Chest|||20260101101500|||||||||||ACC-7",
        r"OBX|1|FT|36643-5||FINDINGS: Cardiomegaly.\.br\No effusion.||||||F",
        "OBX|2|TX|36643-5||IMPRESSION: Stable~No pneumothorax.||||||F",
    ]
)


def structured_report(path):
    """A report as text items, as other software writes them."""
    report = Dataset()
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.3"
    report.AccessionNumber = "ACC-9"
    name, item = Dataset(), Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121071", "DCM", "Findings"
    item.ValueType, item.TextValue, item.ConceptNameCodeSequence = "TEXT", "Hiatal hernia.", [name]
    report.ContentSequence = [item]
    report.save_as(path, enforce_file_format=True)


def test_every_source(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes("Ground glass. Effusion – small.".encode("cp1252"))
    (tmp_path / "in" / "b.xml").write_text(OPENI)
    (tmp_path / "in" / "c.hl7").write_text(ORU)
    structured_report(tmp_path / "in" / "d.dcm")
    (tmp_path / "in" / "e.bin").write_bytes(bytes(2000))
    reports = list(read_reports(tmp_path / "in"))
    assert [report.id for report in reports] == ["a", "CXR9", "ACC-7", "ACC-9", "e"]
    made = label_reports(reports, read_lexicon("en"))
    states = made.table.set_index("id")
    assert states.loc["a", "Effusion"] == 1
    assert states.loc["CXR9", "Effusion"] == 1
    assert pd.isna(states.loc["CXR9", "Pneumonia"])
    assert states.loc["ACC-7", ["Cardiomegaly", "Effusion", "Pneumothorax"]].tolist() == [1, 0, 0]
    assert states.loc["ACC-9", "Hernia"] == 1
    assert made.problems == {"not_text": 1}


def test_the_verb_writes_labels_and_evidence(tmp_path):
    source, out = tmp_path / "reports.csv", tmp_path / "labels.csv"
    source.write_text('study_id,report\n007,"No effusion. Possible edema."\n008,\n')
    run = CliRunner().invoke(
        app, ["labels", "from-reports", str(source), "--out", str(out), "--json"]
    )
    assert run.exit_code == 0, run.output
    facts = json.loads(run.output)
    assert facts["problems"] == {"empty": 1}
    table = pd.read_csv(out, dtype=str, keep_default_na=False)
    assert table["id"].tolist() == ["007", "008"]  # leading zeros stay
    assert table.loc[0, ["Effusion", "Edema", "Mass"]].tolist() == ["0", "-1", ""]
    lines = [json.loads(line) for line in out.with_suffix(".jsonl").read_text().splitlines()]
    assert {"id", "finding", "state", "sentence", "start", "end", "rule"} <= set(lines[0])
    assert {line.get("finding") for line in lines} == {"Effusion", "Edema", None}


class TestBadInput:
    def test_another_language_is_said(self):
        text = (
            "El paciente presenta derrame pleural derecho con atelectasia sin neumotorax en la base"
        )
        made = label_reports([Report("1", text)], read_lexicon("en"))
        assert made.problems == {"other_language": 1}
        assert made.table.iloc[0, 1:].isna().all()

    def test_ten_megabytes_in_a_cell(self):
        made = label_reports([Report("1", "No effusion. " * 800_000)], read_lexicon("en"))
        assert made.problems == {"too_long": 1}
        assert made.table.loc[0, "Effusion"] == 0

    def test_an_id_that_occurs_twice(self):
        reports = [Report("1", "Effusion."), Report("1", "Addendum: no effusion. Edema.")]
        with pytest.raises(InvalidTable, match="--duplicates"):
            label_reports(reports, read_lexicon("en"))
        last = label_reports(reports, read_lexicon("en"), duplicates="last").table
        assert last[["Effusion", "Edema"]].iloc[0].tolist() == [0, 1]
        joined = label_reports(reports, read_lexicon("en"), duplicates="join").table
        assert joined[["Effusion", "Edema"]].iloc[0].tolist() == [1, 1]

    def test_the_same_report_twice_is_one(self):
        reports = [Report("1", "Effusion."), Report("1", "Effusion.")]
        assert len(label_reports(reports, read_lexicon("en")).table) == 1

    def test_mixed_encodings(self):
        data = "Neumonía\n".encode() + "Neumonía".encode("latin-1")
        assert decoded(data) == "Neumonía\nNeumonía"

    def test_a_broken_pattern_is_named_with_its_line(self, tmp_path):
        lines = ["[lexicon]", 'language = "en"', "[sections]", 'findings = ["findings"]']
        lines += ["[cues]", "[findings.Mass]", "terms = ['mass(es']"]
        path = tmp_path / "mine.toml"
        path.write_text("\n".join(lines))
        with pytest.raises(SettingsError, match=r"mine\.toml:7"):
            read_lexicon(path)

    def test_no_such_column(self, tmp_path):
        (tmp_path / "t.csv").write_text("a,b\n1,2\n")
        with pytest.raises(InvalidTable, match="--text"):
            list(read_reports(tmp_path / "t.csv"))

    def test_an_xml_with_entities_is_not_expanded(self, tmp_path):
        (tmp_path / "x.xml").write_text('<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a/>')
        assert [report.problem for report in read_reports(tmp_path)] == ["damaged"]


class TestHl7:
    def test_fields(self):
        (report,) = reports_of(ORU)
        assert report.accession_number == "ACC-7"
        assert report.patient_id == "12345"
        assert report.status == "F"
        assert report.text.splitlines() == [
            *("FINDINGS: Cardiomegaly.", "No effusion."),
            *("IMPRESSION: Stable", "No pneumothorax."),
        ]

    def test_a_report_shows_no_patient(self):
        (report,) = reports_of(ORU)
        assert "12345" not in repr(report)


CONDITIONS = (
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices", "No Finding"),
)
"""CheXbert's columns in its order; the CheXpert labeller begins with "No Finding"."""
READ = (
    "1. Left effusion, with adjacent atelectasis.\n\n2. Cardiomegaly without overt edema.",
    'Nodule; "rule out" mass. No effusion.',
    "Clear lungs",
)
STATES = (
    {"Pleural Effusion": 1.0, "Atelectasis": 1.0, "Cardiomegaly": 1.0, "Edema": 0.0},
    {"Lung Lesion": -1.0, "Pleural Effusion": 0.0},
    {"No Finding": 1.0},
)


def written_by(labeller, path):
    """A file as the labeller writes it: by pandas, with its columns, blanks and floats."""
    order = CONDITIONS if labeller == "CheXbert" else (CONDITIONS[-1], *CONDITIONS[:-1])
    column = "Report Impression" if labeller == "CheXbert" else "Reports"
    labels = pd.DataFrame(list(STATES), columns=list(order))
    labels.insert(0, column, READ)
    labels.to_csv(path, index=False)
    return path


class TestForeignLabels:
    @pytest.mark.parametrize("labeller", ["CheXbert", "CheXpert"])
    def test_labellers(self, tmp_path, labeller):
        path = written_by(labeller, tmp_path / "labeled_reports.csv")
        made = read_foreign_labels(path)
        assert made.table["Effusion"].tolist() == [1, 0, pd.NA]
        assert made.table["Edema"].tolist() == [0, pd.NA, pd.NA]
        assert made.table["Mass"].isna().all()  # of a parent only the absence is known
        assert made.table["id"].tolist() == ["0", "1", "2"]  # never the text of a report
        assert not made.has_ids
        assert {"Lung Opacity", "Fracture", "Support Devices", "No Finding"} <= set(made.ignored)

    @pytest.mark.parametrize("labeller", ["CheXbert", "CheXpert"])
    def test_ids_come_from_the_reports(self, tmp_path, labeller):
        path = written_by(labeller, tmp_path / "labeled_reports.csv")
        reports = tmp_path / "reports.csv"
        whole = [f"FINDINGS: Seen.\nIMPRESSION: {text}" for text in READ]
        pd.DataFrame({"study_id": ["007", "008", "009"], "report": whole}).to_csv(reports)
        out = tmp_path / "labels.csv"
        words = ["labels", "from-csv", str(path), "--reports", str(reports), "--out", str(out)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output
        made = pd.read_csv(out, dtype=str)
        assert made["id"].tolist() == ["007", "008", "009"]
        assert made["Effusion"].fillna("").tolist() == ["1", "0", ""]

    def test_other_reports_are_refused(self, tmp_path):
        path = written_by("CheXbert", tmp_path / "labeled_reports.csv")
        reports = tmp_path / "reports.csv"
        table = pd.DataFrame({"id": [1, 2, 3], "report": [READ[0], READ[2], READ[1]]})
        table.to_csv(reports, index=False)
        with pytest.raises(InvalidTable, match="Row 2 of") as caught:
            read_foreign_labels(path, reports=reports)
        assert "Nodule" not in str(caught.value)
        table[:2].to_csv(reports, index=False)
        with pytest.raises(InvalidTable, match="3 rows and 'reports") as caught:
            read_foreign_labels(path, reports=reports)
        assert caught.value.reason == "other_reports"

    def test_a_parent_says_what_is_absent(self, tmp_path):
        path = tmp_path / "chexbert.csv"
        path.write_text(
            "Report Impression,Pleural Effusion,Lung Lesion,Edema,Support Devices\n"
            "x,1.0,1.0,,1.0\ny,0.0,0.0,-1.0,\n"
        )
        made = read_foreign_labels(path)
        assert made.table["Effusion"].tolist() == [1, 0]
        assert made.table["Mass"].isna().tolist() == [True, False]  # a parent that is present
        assert made.table["Nodule"][1] == 0
        assert made.table["Edema"][1] == -1
        assert "Support Devices" in made.ignored

    def test_words(self, tmp_path):
        path = tmp_path / "model.csv"
        path.write_text("id;Effusion;Hernia\n01;present;no\n02;maybe;\n")
        made = read_foreign_labels(path)
        assert made.table["id"].tolist() == ["01", "02"]
        assert made.table["Effusion"].tolist() == [1, -1]

    @pytest.mark.parametrize(
        ("rows", "reason", "words"),
        [
            ("1,2\n", "bad_label", "holds '2'.*class numbers"),
            ("1,1\n,0\n", "missing_ids", "without 'id': 1, the first is row 2"),
            ("1,1\n2,0\n1,0\n", "duplicate_ids", "different labels: 1"),
        ],
    )
    def test_what_is_refused(self, tmp_path, rows, reason, words):
        (tmp_path / "t.csv").write_text(f"id,Effusion\n{rows}")
        with pytest.raises(InvalidTable, match=words) as caught:
            read_foreign_labels(tmp_path / "t.csv")
        assert caught.value.reason == reason

    def test_a_row_that_is_repeated_counts_once(self, tmp_path):
        (tmp_path / "t.csv").write_text("id,Effusion\n1,1\n1,1\n")
        assert len(read_foreign_labels(tmp_path / "t.csv").table) == 1


@pytest.mark.parametrize("name", ["away.csv", "away.parquet", "folder", "damaged.parquet", "e.csv"])
def test_a_table_of_labels_that_cannot_be_read_is_said(name, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "e.csv").touch()
    with pytest.raises(InvalidTable, match=re.escape(name)):
        read_foreign_labels(tmp_path / name)
