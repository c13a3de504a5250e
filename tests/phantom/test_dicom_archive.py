"""Tests of the DICOM archive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from monai_cxr.errors import SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.phantom import PhantomSettings, render_film, write_dicom_archive

SETTINGS = PhantomSettings(n_patients=6, seed=31, size=64, mean_films_per_patient=2.0)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("archive")
    write_dicom_archive(directory, SETTINGS, workers=1, masks=True)
    return directory


@pytest.fixture(scope="module")
def labels(archive: Path) -> pd.DataFrame:
    return pd.read_csv(archive / "labels.csv", dtype={"study_uid": str, "sop_uid": str})


class TestFiles:
    def test_lie_where_the_table_says(self, archive: Path, labels: pd.DataFrame) -> None:
        for row in labels.itertuples():
            assert row.path == f"{row.patient_id}/{row.study_uid}/{row.sop_uid}.dcm"
            dataset = pydicom.dcmread(archive / row.path, stop_before_pixels=True)
            assert dataset.SOPInstanceUID == row.sop_uid
            assert dataset.StudyInstanceUID == row.study_uid
            assert dataset.PatientID == row.patient_id
            assert dataset.ViewPosition == row.view
            assert dataset.PatientSex == row.sex
            assert int(dataset.PatientAge[:3]) == row.age
        assert len(list(archive.rglob("*.dcm"))) == len(labels)

    def test_uids_are_unique(self, labels: pd.DataFrame) -> None:
        assert labels["sop_uid"].is_unique
        assert labels["study_uid"].is_unique

    def test_follow_ups_count_up_within_a_patient(self, labels: pd.DataFrame) -> None:
        assert labels["patient_id"].nunique() == SETTINGS.n_patients
        for _, films in labels.groupby("patient_id"):
            assert films["follow_up"].tolist() == list(range(len(films)))
            assert films["sex"].nunique() == 1
        assert labels["follow_up"].max() >= 1


class TestTruth:
    def test_labels_hold_one_column_a_finding(self, labels: pd.DataFrame) -> None:
        assert tuple(labels.columns[8:]) == FINDING_NAMES
        assert set(np.unique(labels[list(FINDING_NAMES)])) <= {0, 1}

    def test_truth_is_what_was_rendered(self, archive: Path, labels: pd.DataFrame) -> None:
        truth = pd.read_csv(archive / "truth.csv")
        for row in labels.itertuples():
            film = render_film(
                SETTINGS, patient=int(row.patient_id[-6:]), follow_up=int(row.follow_up)
            )
            rows = truth[truth["path"] == row.path].set_index("finding")
            assert set(rows.index) == set(film.present)
            masks = np.load(archive / "masks" / f"{row.sop_uid}.npz")
            for name, severity in film.present.items():
                drawn = rows.loc[name]
                assert drawn["severity"] == pytest.approx(severity, abs=1e-4)
                box = tuple(drawn[["x", "y", "width", "height"]].astype(float))
                assert box == film.boxes[name]
                assert np.array_equal(masks[name], film.masks[name])

    def test_label_noise_reaches_the_labels_and_not_the_truth(self, tmp_path: Path) -> None:
        noisy = PhantomSettings(
            n_patients=4, seed=31, size=64, label_noise=1.0, prevalence={"Mass": 1.0}
        )
        labels = pd.read_csv(write_dicom_archive(tmp_path, noisy, workers=1))
        truth = pd.read_csv(tmp_path / "truth.csv")
        assert labels["Mass"].sum() == 0
        assert (truth["finding"] == "Mass").sum() == len(labels)


class TestWorkers:
    def test_their_number_changes_no_byte(self, archive: Path, tmp_path: Path) -> None:
        write_dicom_archive(tmp_path, SETTINGS, workers=2)
        for path in sorted(archive.rglob("*.dcm")):
            other = tmp_path / path.relative_to(archive)
            assert other.read_bytes() == path.read_bytes()
        for table in ("labels.csv", "truth.csv"):
            assert (tmp_path / table).read_bytes() == (archive / table).read_bytes()

    def test_progress_ends_at_the_total(self, tmp_path: Path) -> None:
        told: list[tuple[int, int]] = []
        settings = PhantomSettings(n_patients=2, size=64)
        write_dicom_archive(
            tmp_path, settings, workers=1, progress=lambda done, total: told.append((done, total))
        )
        total = told[-1][1]
        assert told == [(done, total) for done in range(1, total + 1)]

    def test_none_at_all_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="workers"):
            write_dicom_archive(tmp_path, SETTINGS, workers=0)
