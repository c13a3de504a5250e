"""Tables of other programs: names of columns and images, patients in names, spreadsheets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.evaluation.predictions.column_names import (
    IMAGE_COLUMNS,
    PATIENT_COLUMNS,
    columns_named,
)
from monai_cxr.evaluation.predictions.image_names import (
    image_identifiers,
    matched_rows,
    patients_in_names,
)
from monai_cxr.evaluation.predictions.prediction_set import load_predictions


def table(**renamed):
    """Six images of three patients with two findings, under other names."""
    columns = {
        "image": [f"film{i}.png" for i in range(6)],
        "patient_id": ["a", "a", "b", "b", "c", "c"],
        "prob_Mass": [0.1, 0.8, 0.2, 0.7, 0.3, 0.6],
        "prob_Effusion": [0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
        "label_Mass": [0, 1, 0, 1, 0, 1],
        "label_Effusion": [0, 0, 1, 1, 0, 1],
    }
    return pd.DataFrame({renamed.get(name, name): values for name, values in columns.items()})


class TestColumnNames:
    @pytest.mark.parametrize("name", [*IMAGE_COLUMNS, "FileName", "IMAGE ID", "Sop_Instance_UID"])
    def test_image_columns(self, name):
        assert image_identifiers(table(image=name), what="table")[1] == "film1.png"

    @pytest.mark.parametrize("name", [*PATIENT_COLUMNS, "PatientID", "Patient ID", "SUBJECT-ID"])
    def test_patient_columns(self, name):
        assert load_predictions(table(patient_id=name)).n_patients == 3

    @pytest.mark.parametrize(
        "name",
        [
            "prob_Pleural Effusion", "probability_pleural_effusion", "P_effusion", "Effusion_prob",
            "PROB_EFFUSION", "prob-Effusion",
        ],
    )  # fmt: skip
    def test_probability_columns(self, name):
        actual = load_predictions(table(prob_Effusion=name))
        assert actual.findings == ("Mass", "Effusion")
        assert actual.probabilities[5, 1] == 0.7

    @pytest.mark.parametrize("word", ["label", "labels", "target", "gt", "true", "y", "y_true"])
    def test_label_columns(self, word):
        renamed = {f"label_{name}": f"{word}_{name}" for name in ("Mass", "Effusion")}
        assert load_predictions(table(**renamed)).labels.sum() == 6

    @pytest.mark.parametrize("word", ["pred", "score", "output", "confidence", "y_pred", "y_score"])
    def test_score_columns_where_nothing_is_called_a_probability(self, word):
        renamed = {f"prob_{name}": f"{word}_{name}" for name in ("Mass", "Effusion")}
        actual = load_predictions(table(**renamed))
        assert (actual.findings, actual.probabilities[5, 1]) == (("Mass", "Effusion"), 0.7)

    def test_logit_columns(self):
        p = table()
        for name in ("Mass", "Effusion"):
            p[f"logits_{name}"] = np.log(p[f"prob_{name}"] / (1 - p[f"prob_{name}"]))
        without = p.drop(columns=["prob_Mass", "prob_Effusion"])
        np.testing.assert_allclose(
            load_predictions(without).probabilities, load_predictions(table()).probabilities
        )

    def test_bare_names_are_scores_only_beside_a_labels_table(self):
        labels = table()[["image", "patient_id"]].assign(Mass=[0, 1, 0, 1, 0, 1])
        scores = table()[["image"]].assign(Mass=[0.1, 0.8, 0.2, 0.7, 0.3, 0.6])
        assert load_predictions(scores, labels=labels).probabilities[1, 0] == 0.8
        with pytest.raises(InvalidTable, match="no scores"):
            load_predictions(labels)

    def test_two_columns_of_one_finding(self):
        twice = table().assign(**{"prob_Pleural Effusion": 0.5})
        with pytest.raises(InvalidTable, match="both hold probabilities of Effusion"):
            load_predictions(twice)

    def test_order_of_names_decides(self):
        both = table().assign(id=range(6))
        assert columns_named(both, IMAGE_COLUMNS) == ["image", "id"]


class TestImageNames:
    def test_paths_whose_files_share_a_name_stay_apart(self):
        paths = [f"patient{i:05d}/study1/view1_frontal.jpg" for i in range(6)]
        assert list(image_identifiers(table().assign(image=paths), what="table")) == paths

    @given(st.permutations(range(6)), st.sets(st.integers(0, 5), min_size=1))
    def test_rows_are_matched_whatever_their_order(self, order, chosen):
        mine = table().iloc[sorted(chosen)]
        theirs = table().iloc[list(order)]
        rows, label_rows = matched_rows(mine, theirs)
        assert rows.tolist() == list(range(len(chosen)))
        assert mine["image"].tolist() == theirs["image"].iloc[label_rows].tolist()

    @pytest.mark.parametrize("change", [lambda s: s[:-4], lambda s: f"/data/{s}", lambda s: s])
    def test_suffix_and_folder_make_no_difference(self, change):
        mine = table().assign(image=table()["image"].map(change))
        assert load_predictions(mine, labels=table()).labels.sum() == 6

    def test_a_second_image_column_may_be_the_one_that_both_have(self):
        mine = table(image="path")
        theirs = table().assign(sop_uid=[f"1.2.{i}" for i in range(6)])
        assert len(load_predictions(mine, labels=theirs)) == 6

    @pytest.mark.parametrize(
        ("names", "patients", "scheme"),
        [
            (["00000013_000.png", "00000014_002.png"], ["00000013", "00000014"], "NIH"),
            (["x/patient00002/study1/v.jpg"], ["patient00002"], "CheXpert"),
            (["p10/p10000032/s50414267/a.jpg"], ["p10000032"], "MIMIC-CXR"),
        ],
    )
    def test_patients_in_names(self, names, patients, scheme):
        actual, found = patients_in_names(pd.DataFrame({"path": names}))
        assert (actual.tolist(), found) == (patients, scheme)

    def test_no_patients_in_other_names(self):
        assert patients_in_names(pd.DataFrame({"path": ["00000013_000.png", "a.png"]})) is None

    def test_patients_from_names_are_said_to_be(self):
        named = table(patient_id="x").assign(image=[f"0000001{i // 2}_00{i}.png" for i in range(6)])
        actual = load_predictions(named)
        assert actual.n_patients == 3
        assert "names" in actual.notes[0]

    def test_an_image_without_a_name(self):
        gone = table()
        gone.loc[2, "image"] = None
        with pytest.raises(InvalidTable, match="name no image"):
            load_predictions(gone)


class TestValues:
    def test_a_spreadsheet_with_semicolons_and_commas(self, tmp_path):
        table().to_csv(tmp_path / "t.CSV", index=False, sep=";", decimal=",")
        actual = load_predictions(tmp_path / "t.CSV")
        np.testing.assert_array_equal(actual.probabilities, load_predictions(table()).probabilities)

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (b"", "it is empty"),
            (b"image,prob_Mass\n", "no images"),
            ("image,prob_Mass\nfilm\u00e9,0.1\n".encode("latin-1"), "UTF-8"),
            ("image,prob_Mass\n".encode("utf-16"), "UTF-8"),
        ],
    )
    def test_files_that_are_no_tables(self, content, sentence, tmp_path):
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(InvalidTable, match=sentence):
            load_predictions(tmp_path / "t.csv")

    def test_percentages_are_named(self):
        with pytest.raises(InvalidTable, match="percentages"):
            load_predictions(table().assign(prob_Mass=[10, 80, 20, 70, 30, 60]))

    def test_decisions_are_noticed(self):
        notes = load_predictions(table().assign(prob_Mass=[0, 1, 0, 1, 0, 1])).notes
        assert notes == ("prob_Mass hold only 0 and 1: decisions, not probabilities.",)

    @pytest.mark.parametrize(
        ("policy", "expected"), [("unknown", np.nan), ("absent", 0.0), ("present", 1.0)]
    )
    def test_uncertain_labels(self, policy, expected):
        doubtful = table().assign(label_Mass=[-1, 1, 0, 1, 0, 1])
        actual = load_predictions(doubtful, uncertain=policy)
        np.testing.assert_equal(actual.labels[0, 0], expected)
        assert "1 uncertain labels" in actual.notes[0]
        with pytest.raises(SettingsError, match="maybe"):
            load_predictions(doubtful, uncertain="maybe")

    def test_ages_as_dicom_writes_them(self):
        facts = load_predictions(table().assign(Age=["061Y", "7", None, "x", "030y", "1"])).facts
        np.testing.assert_array_equal(facts["age"], [61, 7, np.nan, np.nan, 30, 1])

    def test_nothing_scored(self):
        with pytest.raises(InvalidTable, match="None of the 6"):
            load_predictions(table().assign(reason="not_chest"))


class TestBlankLabels:
    def test_blank_labels_left_out(self):
        """Told with its number, and countable as absent, as CheXpert's authors do."""
        blanked = table()
        blanked.loc[[0, 2], "label_Mass"] = np.nan
        unknown = load_predictions(blanked)
        assert "Mass: 2 of 6 films have no label and are left out." in unknown.notes
        assert not any(note.startswith("Effusion") for note in unknown.notes)
        absent = load_predictions(blanked, blank="absent")
        np.testing.assert_array_equal(absent.labels, load_predictions(table()).labels)
        assert "2 blank labels count as absent." in absent.notes


class TestReadTooStrictly:
    """Tables as other programs write them: each gives the numbers of the plain one."""

    @pytest.fixture
    def same(self, tmp_path):
        def check(text: str, name: str = "t.csv") -> tuple[str, ...]:
            (tmp_path / name).write_text(text, encoding="utf-8")
            read = load_predictions(tmp_path / name)
            plain = load_predictions(table())
            np.testing.assert_allclose(read.probabilities, plain.probabilities, atol=2e-6)
            np.testing.assert_array_equal(read.labels, plain.labels)
            return read.notes

        return check

    @pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
    def test_tables_read_too_strictly_for_tabs(self, same, name):
        same(table().to_csv(index=False, sep="\t"), name)

    @pytest.mark.parametrize("word", ["pred_{}", "score_{}", "{}_pred", "{}_score", "preds_{}"])
    def test_tables_read_too_strictly_for_names(self, same, word):
        names = {f"prob_{name}": word.format(name) for name in ("Mass", "Effusion")}
        same(table().rename(columns=names).to_csv(index=False))

    def test_probabilities_go_before_predictions(self, same):
        decided = table()
        for name in ("Mass", "Effusion"):
            decided[f"pred_{name}"] = (decided[f"prob_{name}"] > 0.5).astype(int)
        same(decided.to_csv(index=False))

    def test_tables_read_too_strictly_for_spaces_around_names(self, same):
        same(table().rename(columns=lambda name: f" {name} ").to_csv(index=False))

    def test_tables_read_too_strictly_for_huggingface_paths(self, same):
        same(table().rename(columns={"image": "image_file_path"}).to_csv(index=False))

    @pytest.mark.parametrize("beyond", [1.0000001, -1e-9])
    def test_tables_read_too_strictly_for_rounding(self, beyond):
        rounded = table()
        rounded.loc[1, "prob_Mass"] = beyond
        read = load_predictions(rounded)
        assert read.probabilities[1, 0] == round(beyond)
        assert "1 probabilities lie outside [0, 1] by rounding" in " ".join(read.notes)
        rounded.loc[1, "prob_Mass"] = 1.001
        with pytest.raises(InvalidTable, match="outside"):
            load_predictions(rounded)

    def test_tables_read_too_strictly_for_one_blank_patient(self):
        gone = table()
        gone.loc[2, "patient_id"] = None
        with pytest.raises(InvalidTable, match="1 of 6 images have no patient in 'patient_id'"):
            load_predictions(gone)

    def test_tables_read_too_strictly_for_soft_labels(self):
        soft = table().assign(label_Mass=0.8)
        with pytest.raises(InvalidTable, match="by a threshold of your own"):
            load_predictions(soft)

    def test_same_file_name_in_folders_of_predictions(self):
        """Our own predict table: sop_uid holds file names there, path tells the films apart."""
        names = [f"p{i}/view1_frontal.png" for i in range(6)]
        mine = table().assign(sop_uid="view1_frontal.png", path=[f"/data/a/{n}" for n in names])
        theirs = table().assign(image=[f"CheXpert/train/{name}" for name in names]).iloc[::-1]
        both = load_predictions(mine.drop(columns="image"), labels=theirs)
        np.testing.assert_array_equal(both.labels, load_predictions(table()).labels)

    def test_a_uid_that_repeats_is_one_image_whatever_its_path(self):
        twice = table().assign(sop_uid=["1.2.3"] * 2 + [f"1.2.{i}" for i in range(4, 8)])
        with pytest.raises(InvalidTable, match="more than once"):
            load_predictions(twice.assign(path=[f"a/{i}.dcm" for i in range(6)]))
