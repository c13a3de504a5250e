"""Films from the field, folders: each was misread or refused, and has the name of its case.

The input of each is made here, from one phantom film; what is right is the film itself.
"""

from __future__ import annotations

import os

import pytest
from field_films import PIXELS_AT, dicom, jpeg_ls

from monai_cxr.data.folder import index_folder
from monai_cxr.errors import InvalidTable
from monai_cxr.folders import files_below, path_text
from monai_cxr.reading.files import read_for_model
from monai_cxr.reading.listing import film_paths


class TestFolders:
    """What a folder holds, whatever it is called and however it is reached."""

    def test_folder_names_without_suffix(self, tmp_path, stored):
        names = ["a.dcm", "1.2.826.0.1.77.1", "DX.1.2.826.9", "IM0001.IMA", "IM0002", "x.bak"]
        for number, name in enumerate(names):
            (tmp_path / name).write_bytes(dicom(stored, SOPInstanceUID=f"1.2.{number}"))
        (tmp_path / "labels.csv").write_text("a,b\n")
        (tmp_path / "paper").write_bytes(b"%PDF-1.4\n")
        assert sorted(path.name for path in film_paths(tmp_path)) == sorted(names)
        index, summary = index_folder(tmp_path)
        assert (len(index), summary.skipped) == (len(names), ())

    def test_folder_symlinked_patients(self, tmp_path, stored):
        study, cohort = tmp_path / "study", tmp_path / "cohort"
        for patient in ("p1", "p2"):
            (study / patient).mkdir(parents=True)
            (study / patient / "1").write_bytes(dicom(stored, SOPInstanceUID=f"1.{patient[1]}"))
        cohort.mkdir()
        for patient in ("p1", "p2"):
            (cohort / patient).symlink_to(study / patient)
        (cohort / "loop").symlink_to(cohort)
        (cohort / "gone.dcm").symlink_to(study / "absent")
        found = [path.relative_to(cohort).as_posix() for path in film_paths(cohort)]
        assert sorted(found) == ["gone.dcm", "p1/1", "p2/1"]
        index, summary = index_folder(cohort)
        assert (len(index), summary.skipped) == (2, (("gone.dcm", "missing_file"),))

    def test_non_utf8_file_name_aborts_run(self, tmp_path, stored):
        (tmp_path / "good.dcm").write_bytes(dicom(stored))
        (tmp_path / os.fsdecode(b"odd\xff.dcm")).write_bytes(dicom(stored, SOPInstanceUID="1.2.3"))
        paths = list(files_below(tmp_path))
        assert [path_text(path.name) for path in sorted(paths)] == ["good.dcm", "odd\\xff.dcm"]
        for path in paths:
            read_for_model(path).key.sop_uid.encode("utf-8")
        index, summary = index_folder(tmp_path)
        assert (len(index), summary.skipped) == (1, (("odd\\xff.dcm", "path_name"),))

    def test_non_utf8_file_name_aborts_run_of_predict(self, tmp_path, stored, packaged_bundle):
        from monai_cxr.bundle.inference import input_table, predict_table
        from monai_cxr.bundle.model import BundleModel

        (tmp_path / os.fsdecode(b"odd\xff.dcm")).write_bytes(dicom(stored))
        model = BundleModel.load(packaged_bundle)
        table = predict_table(model, input_table([tmp_path], model.findings))
        assert (table["reason"][0], table["path"][0][-9:]) == ("", "d\\xff.dcm")
        table.to_csv(tmp_path / "x.csv")
        table.to_parquet(tmp_path / "x.parquet")

    def test_index_dicomdir_refuses_all(self, tmp_path, stored):
        (tmp_path / "IM1").write_bytes(dicom(stored))
        directory = dicom(stored, SOPClassUID="1.2.840.10008.1.3.10", PatientID=None)
        (tmp_path / "DICOMDIR").write_bytes(directory[: directory.rindex(PIXELS_AT)])
        index, summary = index_folder(tmp_path)
        assert (len(index), summary.skipped) == (1, (("DICOMDIR", "no_pixels"),))

    def test_index_duplicate_uid_refuses_all(self, tmp_path, stored):
        (tmp_path / "a.dcm").write_bytes(dicom(stored))
        (tmp_path / "a_copy.dcm").write_bytes(dicom(stored))
        (tmp_path / "a_small.dcm").write_bytes(jpeg_ls(stored))
        (tmp_path / "b.dcm").write_bytes(dicom(stored, SOPInstanceUID="1.2.9"))
        index, summary = index_folder(tmp_path)
        assert len(index) == 2
        assert [reason for _, reason in summary.skipped] == ["duplicate", "duplicate"]
        assert all("a.dcm" in name for name, _ in summary.skipped)
        (tmp_path / "c.dcm").write_bytes(dicom(4095 - stored, SOPInstanceUID="1.2.9"))
        with pytest.raises(InvalidTable, match=r"b\.dcm.*c\.dcm"):
            index_folder(tmp_path)

    def test_index_tiff_preamble(self, tmp_path, stored):
        (tmp_path / "film.dcm").write_bytes(b"II*\0" + dicom(stored)[4:])
        index, _ = index_folder(tmp_path)
        assert (index["patient_id"][0], index["view"][0]) == ("SYNTHETIC", "PA")
