"""Other data sets: small trees as each set ships, read by torchxrayvision's own classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from monai_cxr.data.sets.xrv import index_xrv
from monai_cxr.data.sets.xrv_sets import SETS
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.findings import FINDING_NAMES

NAN = float("nan")
CHEXPERT = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
    "Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
    "Pleural Effusion,Pleural Other,Fracture,Support Devices\n"
    "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,"
    "1.0,,,,,,,,,0.0,,,,1.0\n"
    "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA,"
    ",,-1.0,1.0,1.0,-1.0,-1.0,,-1.0,,-1.0,,1.0,\n"
    "CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg,Male,87,Lateral,,"
    ",,-1.0,1.0,,-1.0,-1.0,,-1.0,,1.0,,1.0,\n"
    "CheXpert-v1.0-small/train/patient00003/study1/view1_frontal.jpg,Male,30,Frontal,AP,"
    ",,1.0,,0.0,,,,,,1.0,,,\n"
)


def film(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(path, format="PNG")


def same(values, expected):
    np.testing.assert_array_equal(np.asarray(values, float), np.asarray(expected, float))


class TestCheXpert:
    @pytest.fixture
    def tree(self, tmp_path):
        (tmp_path / "train.csv").write_text(CHEXPERT)
        for name in ("patient00001/study1/view1_frontal", "patient00002/study2/view1_frontal"):
            film(tmp_path / "train" / f"{name}.jpg")
        film(tmp_path / "train" / "patient00002/study2/view2_lateral.jpg")
        return tmp_path

    @pytest.mark.parametrize(("policy", "value"), [("ignore", NAN), ("zeros", 0), ("ones", 1)])
    def test_uncertain_labels_by_policy(self, tree, policy, value):
        index, summary = index_xrv("chexpert", tree, csv=tree / "train.csv", uncertain=policy)
        same(index["Cardiomegaly"], [0, value])
        same(index["Effusion"], [0, value])
        assert summary.n_uncertain == 5

    def test_blank_stays_unknown_and_healthy_is_negative(self, tree):
        index, _ = index_xrv("chexpert", tree, csv=tree / "train.csv", uncertain="zeros")
        same(index["Pneumonia"], [0, NAN])
        assert index["Hernia"].isna().all()  # CheXpert has no such label

    def test_a_lesion_is_neither_for_sure(self, tree):
        film(tree / "train" / "patient00003/study1/view1_frontal.jpg")
        index, _ = index_xrv("chexpert", tree, csv=tree / "train.csv")
        same(index["Nodule"], [0, NAN, 0])
        same(index["Mass"], [0, NAN, 0])

    def test_facts_views_and_counts(self, tree):
        index, summary = index_xrv("chexpert", tree, csv=tree / "train.csv")
        assert index["patient_id"].tolist() == ["patient00001", "patient00002"]
        assert index["view"].tolist() == ["AP", "PA"]
        assert index["sex"].tolist() == ["F", "M"]
        assert index["age"].tolist() == [68, 87]
        assert (summary.n_images, summary.n_listed, summary.n_missing) == (2, 4, 1)
        assert summary.n_other_views == 1
        assert set(summary.dropped) >= {"Lung Opacity", "Support Devices"}
        every, _ = index_xrv("chexpert", tree, csv=tree / "train.csv", views="all")
        assert every["view"].tolist() == ["AP", "PA", "LATERAL"]

    def test_the_global_generator_is_left_alone(self, tree):
        np.random.seed(5)
        wanted = np.random.random()
        np.random.seed(5)
        index_xrv("chexpert", tree, csv=tree / "train.csv")
        assert np.random.random() == wanted


def mimic(folder):
    (folder / "labels.csv").write_text(
        "subject_id,study_id,Atelectasis,Cardiomegaly,No Finding,Pleural Effusion,Pneumothorax\n"
        "10000032,50414267,,1.0,,-1.0,0.0\n10000764,57375967,,,1.0,,\n"
    )
    (folder / "meta.csv").write_text(
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,StudyDate\n"
        "aaa,10000032,50414267,x,PA,21800506\nbbb,10000032,50414267,x,LATERAL,21800506\n"
        "ccc,10000764,57375967,x,AP,21800506\n"
    )
    film(folder / "p10" / "p10000032" / "s50414267" / "aaa.jpg")
    film(folder / "p10" / "p10000764" / "s57375967" / "ccc.jpg")
    return {"csv": folder / "labels.csv", "meta_csv": folder / "meta.csv"}


def padchest(folder):
    columns = "ImageID,ImageDir,StudyDate_DICOM,PatientID,PatientBirth,PatientSex_DICOM,Projection"
    rows = [
        "a.png,0,20140915,p1,1930.0,F,PA,\"['pleural effusion', 'nodule']\"",
        "b.png,1,20140915,p2,1950.0,M,AP_horizontal,\"['normal']\"",
        "c.png,1,20140915,p3,2017.0,M,PA,\"['normal']\"",  # a child, which the class leaves out
        "d.png,1,20140915,p4,1950.0,M,L,\"['normal']\"",
    ]
    (folder / "labels.csv").write_text(f"{columns},Labels\n" + "\n".join(rows) + "\n")
    film(folder / "a.png")
    film(folder / "1" / "b.png")
    return {"csv": folder / "labels.csv"}


def vindr(folder):
    (folder / "train.csv").write_text(
        "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
        "i1,No finding,14,R1,,,,\ni1,No finding,14,R2,,,,\n"
        "i2,Pleural effusion,10,R1,1,1,2,2\ni2,Nodule/Mass,8,R1,1,1,2,2\n"
    )
    film(folder / "i1.dicom")
    film(folder / "i2.dicom")
    return {"csv": folder / "train.csv"}


def rsna(folder):
    ids = ["82193858-3906-4c2f-b5b4-8aa1280f6181", "a94dac79-854c-49a5-bae0-98397ecbef81"]
    (folder / "labels.csv").write_text(
        f"patientId,x,y,width,height,Target\n{ids[0]},,,,,0\n{ids[1]},1,2,3,4,1\n"
    )
    for name in ids:
        film(folder / f"{name}.dcm")
    return {"csv": folder / "labels.csv"}


def siim(folder):
    (folder / "rle.csv").write_text(
        "ImageId, EncodedPixels\n1.2.3,-1\n1.2.4,557374 2 1015 8\n1.2.4,700000 2 1015 8\n"
    )
    film(folder / "1.2.3.dcm")
    film(folder / "1.2.4.dcm")
    return {"csv": folder / "rle.csv"}


def brax(folder):
    (folder / "master.csv").write_text(
        "DicomPath,PngPath,PatientID,PatientSex,PatientAge,ViewPosition,Rows,Columns,No Finding,"
        "Enlarged Cardiomediastinum,Cardiomegaly,Lung Lesion,Lung Opacity,Edema,Consolidation,"
        "Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"
        "Support Devices\n"
        "x,images/id_1/s/i1.png,id_1,M,85 or more,PA,100,100,,,1.0,,,,,,,,-1.0,,,\n"
        "x,images/id_2/s/i2.png,id_2,F,40,,100,100,1.0,,,,,,,,,,,,,\n"
    )
    film(folder / "id_1" / "s" / "i1.png")
    film(folder / "id_2" / "s" / "i2.png")
    return {"csv": folder / "master.csv"}


@pytest.mark.parametrize(
    ("name", "tree", "patients", "views", "labels"),
    [
        ("mimic", mimic, ["10000032", "10000764"], ["PA", "AP"],
         {"Cardiomegaly": [1, 0], "Effusion": [NAN, 0], "Pneumothorax": [0, 0]}),
        ("padchest", padchest, ["p1", "p2"], ["PA", "AP"],
         {"Effusion": [1, 0], "Nodule": [1, 0], "Mass": [0, 0], "Hernia": [0, 0]}),
        ("vindr", vindr, ["i1", "i2"], ["", ""],
         {"Effusion": [0, 1], "Nodule": [0, NAN], "Mass": [0, NAN], "Edema": [NAN, NAN]}),
        ("rsna", rsna, ["82193858-3906-4c2f-b5b4-8aa1280f6181",
                        "a94dac79-854c-49a5-bae0-98397ecbef81"], ["AP", "PA"],
         {"Pneumonia": [0, 1], "Effusion": [NAN, NAN]}),
        ("siim", siim, ["1.2.3", "1.2.4"], ["", ""], {"Pneumothorax": [0, 1]}),
        ("brax", brax, ["id_1", "id_2"], ["PA", ""],
         {"Cardiomegaly": [1, 0], "Effusion": [NAN, 0]}),
    ],
)  # fmt: skip
def test_a_small_tree_of(tmp_path, name, tree, patients, views, labels):
    index, summary = index_xrv(name, tmp_path, **tree(tmp_path))
    assert index["patient_id"].tolist() == patients
    assert index["view"].tolist() == views
    assert summary.patients_unknown == (name in ("vindr", "siim"))
    assert index["path"].map(lambda path: path.startswith(str(tmp_path.resolve()))).all()
    for finding, expected in labels.items():
        same(index[finding], expected)


def test_openi_by_the_tables_of_the_wheel(tmp_path):
    for name in ("CXR1_1_IM-0001-3001", "CXR1_1_IM-0001-4001", "CXR10_IM-0002-2001"):
        film(tmp_path / f"{name}.png")
    index, summary = index_xrv("openi", tmp_path)
    assert index["sop_uid"].tolist() == ["CXR1_1_IM-0001-4001", "CXR10_IM-0002-2001"]
    assert summary.n_listed > 7_000
    assert index["Effusion"].notna().all()
    assert index["Consolidation"].isna().all()


class TestRefusals:
    def test_names_and_policies(self, tmp_path):
        with pytest.raises(SettingsError, match=", ".join(SETS)):
            index_xrv("chestnut", tmp_path)
        with pytest.raises(SettingsError, match="zeros, ones, ignore"):
            index_xrv("chexpert", tmp_path, uncertain="maybe")
        with pytest.raises(SettingsError, match="frontal, all"):
            index_xrv("chexpert", tmp_path, views="PA")

    def test_missing_folder_and_tables(self, tmp_path):
        with pytest.raises(InvalidTable, match="not a folder"):
            index_xrv("chexpert", tmp_path / "none")
        with pytest.raises(SettingsError, match="give --csv FILE"):
            index_xrv("mimic", tmp_path)
        with pytest.raises(InvalidTable, match=r"no file 'train.csv'"):
            index_xrv("chexpert", tmp_path, csv=tmp_path / "train.csv")

    def test_another_set_s_table(self, tmp_path):
        with pytest.raises(InvalidTable, match="not CheXpert's"):
            index_xrv("chexpert", tmp_path, csv=vindr(tmp_path)["csv"])

    def test_labels_without_images(self, tmp_path):
        (tmp_path / "train.csv").write_text(CHEXPERT)
        with pytest.raises(InvalidTable, match="None of the 4 films") as caught:
            index_xrv("chexpert", tmp_path, csv=tmp_path / "train.csv")
        assert caught.value.reason == "no_images"
        assert "train/patient00001/study1/view1_frontal.jpg" in str(caught.value)


def test_every_finding_has_a_column(tmp_path):
    index, _ = index_xrv("rsna", tmp_path, **rsna(tmp_path))
    assert pd.Index(FINDING_NAMES).isin(index.columns).all()


class TestChexpertTest:
    """CheXpert's official test set, as CheXlocalize ships it: no sex, age, view or projection."""

    @pytest.mark.parametrize("name", ["test_labels.csv", "groundtruth.csv", "train.csv"])
    def test_same_file_name_in_folders_of_the_official_test(self, tmp_path, name):
        paths = [f"test/patient{i}/study1/view1_frontal.jpg" for i in (64741, 64742)]
        paths.append("test/patient64742/study1/view2_lateral.jpg")
        for path in paths:
            film(tmp_path / path)
        (tmp_path / name).write_text(
            "Path,Enlarged Cardiomediastinum,Cardiomegaly,Lung Lesion,Lung Opacity,Edema,"
            "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,"
            "Fracture,Support Devices\n"
            + "".join(
                f"CheXpert-v1.0/{p},0,1,0,0,,0,-1,0,0,{i},0,0,1\n" for i, p in enumerate(paths)
            )
        )
        index, summary = index_xrv("chexpert", tmp_path, csv=tmp_path / name, blank="absent")
        assert (summary.n_images, summary.n_other_views, summary.n_missing) == (2, 1, 0)
        assert index["patient_id"].tolist() == ["patient64741", "patient64742"]
        assert index["Effusion"].tolist() == [0, 1]
        assert index["Edema"].tolist() == [0, 0]
        assert index["Pneumonia"].isna().all()
        assert index.attrs["label_policy"] == {"uncertain": "unknown", "blank": "absent"}
        with pytest.raises(InvalidTable, match="are uncertain"):
            index_xrv("chexpert", tmp_path, csv=tmp_path / name, uncertain="refuse")
