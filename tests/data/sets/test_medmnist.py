"""MedMNIST: films as PNG, official splits, labels by name; what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cxr.data.sets.medmnist import index_medmnist
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.reading.files import read_radiograph


def archive(path, classes: int = 2, columns: int = 1, **changes):
    rng = np.random.default_rng(0)
    arrays = {}
    for name, n in (("train", 6), ("val", 3), ("test", 2)):
        arrays[f"{name}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{name}_labels"] = (np.arange(n * columns).reshape(n, columns) % classes).astype(
            np.uint8
        )
    arrays |= changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return arrays


def test_films_labels_and_splits(tmp_path):
    arrays = archive(tmp_path / "a.npz")
    table = index_medmnist(tmp_path / "a.npz", tmp_path / "films")
    assert table["split"].value_counts().to_dict() == {"train": 6, "val": 3, "test": 2}
    assert table["Pneumonia"].tolist()[:6] == [0, 1, 0, 1, 0, 1]
    assert table["patient_id"].is_unique
    film = read_radiograph(table["path"].iloc[2])
    np.testing.assert_allclose(film.pixels, arrays["train_images"][2] / 255, atol=1e-6)


def test_a_part_without_a_test_split(tmp_path):
    archive(tmp_path / "a.npz", test_images=None, test_labels=None)
    table = index_medmnist(tmp_path / "a.npz", tmp_path / "films")
    assert set(table["split"]) == {"train", "val"}


def test_classes_are_one_column_each(tmp_path):
    archive(tmp_path / "a.npz", classes=3)
    table = index_medmnist(
        tmp_path / "a.npz", tmp_path / "films", findings=("Normal", "Bacterial", "Viral")
    )
    labels = table[["Normal", "Bacterial", "Viral"]].to_numpy()
    assert (labels.sum(axis=1) == 1).all()
    assert labels[:3].argmax(axis=1).tolist() == [0, 1, 2]


def test_chestmnist_has_nih_s_columns(tmp_path):
    archive(tmp_path / "a.npz", columns=14)
    table = index_medmnist(tmp_path / "a.npz", tmp_path / "films")
    assert table.columns[-14:].tolist() == list(FINDING_NAMES)


def test_films_that_are_there_are_kept(tmp_path):
    archive(tmp_path / "a.npz")
    index_medmnist(tmp_path / "a.npz", tmp_path / "films")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "films").iterdir()}
    index_medmnist(tmp_path / "a.npz", tmp_path / "films")
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "films").iterdir()}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"train_labels": None}, "missing_columns"),
        ({"train_images": np.zeros((6, 28, 28, 3), np.uint8)}, "bad_shape"),
        ({"train_images": np.zeros((6, 28, 28), np.float32)}, "bad_shape"),
        ({"train_labels": np.zeros((5, 1), np.uint8)}, "bad_shape"),
        ({f"{s}_images": None for s in ("train", "val", "test")}, "missing_columns"),
    ],
)
def test_files_that_do_not_fit(tmp_path, changes, reason):
    archive(tmp_path / "a.npz", **changes)
    with pytest.raises(InvalidTable) as caught:
        index_medmnist(tmp_path / "a.npz", tmp_path / "films")
    assert caught.value.reason == reason


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip", b"\x80\x04pickle"])
def test_damaged_files(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InvalidTable, match="not a readable"):
        index_medmnist(tmp_path / "a.npz", tmp_path / "films")


def test_a_missing_file(tmp_path):
    with pytest.raises(InvalidTable) as caught:
        index_medmnist(tmp_path / "a.npz", tmp_path / "films")
    assert caught.value.reason == "missing_file"


@pytest.mark.parametrize("names", [(), ("A",), ("A", "B")])
def test_names_that_do_not_fit(tmp_path, names):
    archive(tmp_path / "a.npz", classes=3)
    with pytest.raises(SettingsError, match="of 3 classes"):
        index_medmnist(tmp_path / "a.npz", tmp_path / "films", findings=names)
