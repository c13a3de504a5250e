from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.predictions.prediction_set import load_predictions


@pytest.fixture
def foreign() -> pd.DataFrame:
    """Anybody's CSV."""
    return pd.DataFrame(
        {
            "Image Index": ["a.png", "b.png", "c.png"],
            "prob_Mass": [0.1, 0.2, 0.9],
            "prob_Pleural Effusion": [0.3, 0.4, 0.5],
        }
    )


@pytest.fixture
def labels() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Image Index": ["c.png", "b.png", "a.png"],
            "Patient ID": [2, 1, 1],
            "Patient Age": [50, 61, 61],
            "Patient Gender": ["F", "M", "M"],
            "View Position": ["PA", "AP", "PA"],
            "Follow-up #": [0, 1, 0],
            "Mass": [1.0, 0.0, np.nan],
            "Effusion": [0, 1, 0],
        }
    )


class TestForeignTables:
    def test_aligned_by_image_with_findings_and_facts_under_our_names(self, foreign, labels):
        actual = load_predictions(foreign, labels=labels)
        assert actual.findings == ("Mass", "Effusion")
        assert actual.image_ids.tolist() == ["a.png", "b.png", "c.png"]
        assert actual.patient_ids.tolist() == ["1", "1", "2"]
        np.testing.assert_array_equal(actual.labels, [[np.nan, 0], [0, 1], [1, 0]])
        assert actual.logits is None
        assert actual.facts["sex"].tolist() == ["M", "M", "F"]
        assert actual.facts["age"].tolist() == [61, 61, 50]
        assert (len(actual), actual.n_patients) == (3, 2)
        assert actual.notes == ("Mass: 1 of 3 films have no label and are left out.",)

    def test_from_a_csv_file(self, foreign, labels, tmp_path):
        path = tmp_path / "predictions.csv"
        foreign.to_csv(path, index=False)
        np.testing.assert_array_equal(
            load_predictions(path, labels=labels).probabilities,
            load_predictions(foreign, labels=labels).probabilities,
        )

    def test_paths_match_by_file_name(self, foreign, labels):
        renamed = foreign.rename(columns={"Image Index": "path"})
        renamed["path"] = ["/x/a.png", "y\\b.png", "c.png"]
        assert load_predictions(renamed, labels=labels).image_ids.tolist() == [
            "a.png", "b.png", "c.png",
        ]  # fmt: skip

    def test_chosen_findings(self, foreign, labels):
        chosen = load_predictions(foreign, labels=labels, findings=["Pleural Effusion"])
        assert chosen.findings == ("Effusion",)
        with pytest.raises(InvalidTable, match="Hernia"):
            load_predictions(foreign, labels=labels, findings=["Hernia"])

    def test_images_without_labels_are_counted(self, foreign, labels):
        actual = load_predictions(foreign, labels=labels.iloc[:2])
        assert len(actual) == 2
        assert actual.notes == ("1 of 3 predicted images have no labels and are left out.",)

    def test_labels_of_another_version_are_noticed(self, table):
        other = table[["sop_uid", "patient_id", "label_Mass"]].copy()
        other.loc[:4, "label_Mass"] = 1.0 - other.loc[:4, "label_Mass"]
        assert "5 of" in load_predictions(table, labels=other).notes[0]


class TestOurTables:
    def test_logits_and_probabilities(self, table):
        actual = load_predictions(table)
        np.testing.assert_array_equal(actual.logits[:, 0], table["logit_Mass"])
        assert actual.findings == ("Mass", "Edema", "Hernia")

    def test_parquet(self, table, tmp_path):
        table.to_parquet(tmp_path / "p.parquet")
        assert load_predictions(tmp_path / "p.parquet").digest == load_predictions(table).digest

    def test_an_uncalibrated_model_is_said_to_be(self, table):
        for name in ("Mass", "Edema", "Hernia"):
            table[f"probability_{name}"] = np.nan
        actual = load_predictions(table)
        assert "not calibrated" in actual.notes[0]
        np.testing.assert_allclose(actual.probabilities, 1 / (1 + np.exp(-actual.logits)))

    def test_the_digest_knows_the_labels_and_not_the_order(self, table):
        digest = load_predictions(table).digest
        assert load_predictions(table.iloc[::-1]).digest == digest
        table.loc[0, "label_Mass"] = np.nan
        assert load_predictions(table).digest != digest


class TestBadInput:
    def refused(self, table, match, reason, **options):
        with pytest.raises(InvalidTable, match=match) as caught:
            load_predictions(table, **options)
        assert caught.value.reason == reason

    def test_no_probabilities(self, foreign, labels):
        self.refused(foreign[["Image Index"]], "prob_<finding>", "no_probabilities", labels=labels)

    def test_no_image_column(self, foreign, labels):
        self.refused(
            foreign.drop(columns="Image Index"), "image column", "missing_columns", labels=labels
        )

    def test_nan(self, foreign, labels):
        foreign.loc[1, "prob_Mass"] = np.nan
        self.refused(foreign, "1 probabilities are empty", "missing_probabilities", labels=labels)

    def test_logits_passed_as_probabilities(self, foreign, labels):
        foreign["prob_Mass"] = [-3.2, 0.4, 2.0]
        self.refused(foreign, "look like logits", "not_probabilities", labels=labels)

    def test_text(self, foreign, labels):
        foreign["prob_Mass"] = ["high", "low", "low"]
        self.refused(foreign, "text", "not_numbers", labels=labels)

    def test_infinite_logits(self, table):
        table.loc[3, "logit_Edema"] = np.inf
        self.refused(table, "not finite", "bad_logits")

    def test_repeated_images(self, foreign, labels):
        foreign.loc[2, "Image Index"] = "a.png"
        self.refused(foreign, "'a.png'", "duplicated_images", labels=labels)

    def test_repeated_labels(self, foreign, labels):
        twice = pd.concat([labels, labels.iloc[:1]])
        self.refused(foreign, "labels list 1 images", "duplicated_images", labels=twice)

    def test_no_patients(self, foreign, labels):
        unknown = labels.drop(columns="Patient ID")
        self.refused(foreign, "one_image_a_patient", "no_patients", labels=unknown)
        stated = load_predictions(foreign, labels=unknown, one_image_a_patient=True)
        assert stated.n_patients == 3

    def test_an_image_without_patient(self, table):
        table.loc[0, "patient_id"] = ""
        self.refused(table, "patients", "no_patients")

    def test_no_overlap(self, foreign, labels):
        labels["Image Index"] = ["x.png", "y.png", "z.png"]
        self.refused(foreign, "None of the 3", "no_overlap", labels=labels)

    def test_uncertain_labels(self, foreign, labels):
        labels["Mass"] = [1.0, -1.0, 0.0]
        self.refused(foreign, "policy", "bad_labels", labels=labels)

    def test_no_labels(self, foreign, labels, table):
        self.refused(foreign, "No labels", "no_labels")
        empty = labels.assign(Mass=np.nan, Effusion=np.nan)
        self.refused(foreign, "All labels are empty", "no_labels", labels=empty)

    def test_probabilities_for_some_findings_only(self, table):
        self.refused(
            table.drop(columns=["probability_Mass", "logit_Edema"]), "one kind", "no_probabilities"
        )

    def test_a_missing_file(self, tmp_path):
        self.refused(tmp_path / "absent.csv", "does not exist", "missing_file")
