"""Folders: films found by content, labels matched, what is not a film left out with a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_cxr.data.folder import index_folder
from monai_cxr.errors import InvalidTable
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.phantom import PhantomSettings, write_dicom_archive
from monai_cxr.phantom.synthetic import synthetic_dicom
from monai_cxr.reading.listing import film_paths


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    write_dicom_archive(folder, PhantomSettings(n_patients=5, size=64, seed=1), workers=1)
    return folder


def _png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)


class TestDicom:
    def test_identity_and_labels(self, archive):
        index, summary = index_folder(archive, archive / "labels.csv")
        labels = pd.read_csv(archive / "labels.csv")
        assert len(index) == summary.n_images == summary.n_labelled == len(labels)
        assert summary.n_patients == 5
        merged = index.merge(labels, on="sop_uid", suffixes=("", "_truth"))
        for name in FINDING_NAMES:
            assert merged[name].tolist() == merged[f"{name}_truth"].tolist()
        assert (merged["view"] == merged["view_truth"]).all()
        assert index["study_uid"].str.startswith("1.2.").all()

    def test_without_labels_everything_is_unknown(self, archive):
        index, summary = index_folder(archive)
        assert summary.n_labelled == 0
        assert index[list(FINDING_NAMES)].isna().all().all()
        assert index["age"].notna().all()

    def test_a_raw_image_beside_its_presentation_is_left_out(self, tmp_path):
        pixels = np.zeros((4, 4), np.uint16)
        raw = "1.2.840.10008.5.1.4.1.1.1.1.1"
        for name, study, sop_class in (
            ("raw.dcm", "1.1", raw),
            ("shown.dcm", "1.1", "1.2.840.10008.5.1.4.1.1.1.1"),
            ("only_raw.dcm", "2.2", raw),
        ):
            facts = {"StudyInstanceUID": study, "SOPInstanceUID": f"{study}.{len(name)}"}
            (tmp_path / name).write_bytes(synthetic_dicom(pixels, SOPClassUID=sop_class, **facts))
        index, summary = index_folder(tmp_path)
        assert sorted(index["study_uid"]) == ["1.1", "2.2"]
        assert summary.skipped == (("raw.dcm", "for_processing"),)

    def test_progress_reaches_the_end(self, archive):
        calls = []
        index_folder(archive, progress=lambda done, total: calls.append((done, total)))
        assert calls[-1][0] == calls[-1][1] == len(list(film_paths(archive)))


class TestImages:
    def test_patients_from_the_labels(self, tmp_path):
        for name in ("a.png", "sub/b.png"):
            _png(tmp_path / name)
        table = pd.DataFrame(
            {
                "image": ["a.png", "b.png", "absent.png"],
                "patient_id": ["p1", "p2", "p3"],
                "Pleural Effusion": [1, 0, 1],
            }
        )
        table.to_csv(tmp_path / "labels.csv", index=False)
        index, summary = index_folder(tmp_path, tmp_path / "labels.csv")
        assert summary.n_labels_without_film == 1
        assert index.set_index("sop_uid")["Effusion"].to_dict() == {"a.png": 1, "b.png": 0}
        assert index["patient_id"].tolist() == ["p1", "p2"]

    def test_labels_without_patients(self, tmp_path):
        _png(tmp_path / "a.png")
        (tmp_path / "l.csv").write_text("image,Mass\na.png,1\n", encoding="utf-8")
        with pytest.raises(InvalidTable, match="1 of 1 rows have no patient_id") as caught:
            index_folder(tmp_path, tmp_path / "l.csv")
        assert caught.value.reason == "no_patients"

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("patient_id,Mass\np,1\n", "missing_columns"),
            ("image,patient_id\nother.png,p\n", "labels_do_not_match"),
            ("image,patient_id\na.png,p\na.png,p\n", "duplicated_images"),
        ],
    )
    def test_labels_that_cannot_be_matched(self, tmp_path, text, reason):
        _png(tmp_path / "a.png")
        (tmp_path / "l.csv").write_text(text, encoding="utf-8")
        with pytest.raises(InvalidTable) as caught:
            index_folder(tmp_path, tmp_path / "l.csv")
        assert caught.value.reason == reason


class TestOtherFiles:
    def test_are_left_out_with_a_reason(self, tmp_path):
        _png(tmp_path / "a.png")
        (tmp_path / "text.dcm").write_text("not a film", encoding="utf-8")
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / ".hidden.png").write_bytes(b"x")
        (tmp_path / "l.csv").write_text("image,patient_id\na.png,p\n", encoding="utf-8")
        _, summary = index_folder(tmp_path, tmp_path / "l.csv")
        assert dict(summary.skipped).keys() == {"text.dcm", "empty"}
        assert dict(summary.skipped)["empty"] == "empty_file"

    def test_empty_and_missing_folders(self, tmp_path):
        with pytest.raises(InvalidTable, match="No film found") as caught:
            index_folder(tmp_path)
        assert caught.value.reason == "no_images"
        with pytest.raises(InvalidTable, match="is not a folder"):
            index_folder(tmp_path / "none")
