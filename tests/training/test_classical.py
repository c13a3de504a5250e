"""Classical: features, and a calibrated linear model that reports as a network does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from monai_cxr.data.cache import CacheSettings, FilmCache
from monai_cxr.errors import InvalidTable, SettingsError
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.tables import label_column, logit_column, normalise_index, probability_column
from monai_cxr.training.classical import fit_and_predict
from monai_cxr.training.image_features import WORDS, film_features


def striped(n, size=48, seed=0):
    """Noisy films; in every other one the stripes stand upright."""
    rng = np.random.default_rng(seed)
    films = np.zeros((n, size, size))
    for i in range(n):
        wave = np.sin(np.arange(size) * rng.uniform(0.5, 0.9)) * 40 + 128
        films[i] = (wave[None, :] if i % 2 else wave[:, None]) + rng.normal(0, 60, (size, size))
    return np.clip(films, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Upright stripes are a Mass; of Edema there is one film; Nodule is unknown for some."""
    folder = tmp_path_factory.mktemp("striped")
    films = striped(90)
    rows = []
    for i, pixels in enumerate(films):
        path = folder / f"{i:03d}.png"
        Image.fromarray(pixels).save(path)
        rows.append(
            {
                "path": str(path),
                "sop_uid": path.name,
                "patient_id": str(i // 2),
                "split": "train" if i < 60 else "val" if i < 80 else "test",
                "Mass": float(i % 2),
                "Edema": float(i == 0),
                "Nodule": np.nan if i % 3 else float(i % 2),
            }
        )
    return normalise_index(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def fitted(index, tmp_path_factory):
    cache = FilmCache(tmp_path_factory.mktemp("cache"), index, CacheSettings(48))
    return fit_and_predict(index, cache, findings=("Mass", "Edema", "Nodule", "Hernia"))


class TestPredictions:
    def test_are_of_the_films_that_were_not_fitted(self, index, fitted):
        predictions, _ = fitted
        assert predictions["sop_uid"].tolist() == index["sop_uid"][60:].tolist()
        assert set(predictions["split"]) == {"val", "test"}

    def test_find_what_gradients_can_see(self, fitted):
        predictions, _ = fitted
        probabilities = predictions[probability_column("Mass")]
        assert roc_auc_score(predictions[label_column("Mass")], probabilities) > 0.95
        assert 0.3 < probabilities.mean() < 0.7

    def test_are_read_by_evaluation(self, fitted):
        scored = load_predictions(fitted[0])
        assert scored.findings == ("Mass", "Edema", "Nodule")  # Hernia has no label here
        assert scored.logits is not None
        np.testing.assert_allclose(1 / (1 + np.exp(-scored.logits)), scored.probabilities)

    def test_a_finding_without_folds_gets_its_prevalence(self, fitted):
        predictions, what = fitted
        by_name = {part.finding: part for part in what}
        assert by_name["Edema"].penalty is None
        assert by_name["Hernia"].penalty is None
        assert (by_name["Edema"].n_positive, by_name["Edema"].n_negative) == (1, 59)
        np.testing.assert_allclose(predictions[probability_column("Edema")], 1.5 / 61)

    def test_unknown_labels_are_left_out(self, fitted):
        by_name = {part.finding: part for part in fitted[1]}
        assert (by_name["Nodule"].n_positive, by_name["Nodule"].n_negative) == (10, 10)

    def test_repeat(self, index, fitted, tmp_path):
        cache = FilmCache(tmp_path, index, CacheSettings(48))
        again, _ = fit_and_predict(index, cache, findings=("Mass", "Edema", "Nodule", "Hernia"))
        assert again["model_digest"].equals(fitted[0]["model_digest"])

    def test_a_film_that_cannot_be_read_has_a_reason(self, index, tmp_path):
        bad = index.copy()
        bad.loc[[3, 70], "path"] = str(tmp_path / "absent.png")
        cache = FilmCache(tmp_path, bad, CacheSettings(48))
        predictions, what = fit_and_predict(bad, cache, findings=("Mass",))
        lost = predictions[predictions["reason"] == "missing_file"]
        assert lost["sop_uid"].tolist() == ["070.png"]
        assert lost[logit_column("Mass")].isna().all()
        assert predictions[logit_column("Mass")].notna().sum() == 29
        assert what[0].n_positive == 29


class TestRefusals:
    @pytest.mark.parametrize("split", ["train", "val", ""])
    def test_nothing_to_fit_or_to_predict(self, index, tmp_path, split):
        cache = FilmCache(tmp_path, index, CacheSettings(48))
        with pytest.raises(InvalidTable) as caught:
            fit_and_predict(index.assign(split=split), cache)
        assert caught.value.reason == "no_split"

    def test_a_split_that_leaks(self, index, tmp_path):
        leaking = index.assign(patient_id="1")
        with pytest.raises(InvalidTable, match="more than one split"):
            fit_and_predict(leaking, FilmCache(tmp_path, index, CacheSettings(48)))

    def test_features(self):
        with pytest.raises(SettingsError, match="hog, sift"):
            film_features(striped(2), np.arange(2), "surf")
        with pytest.raises(SettingsError, match="at least 32 px"):
            film_features(striped(2, size=16), np.arange(2), "hog")


class TestFeatures:
    def test_hog_is_scikit_image_s(self):
        from skimage.feature import hog

        films = striped(3)
        told = []
        found = film_features(films, np.arange(3), "hog", progress=lambda *n: told.append(n))
        np.testing.assert_allclose(found[2], hog(films[2], pixels_per_cell=(16, 16),
                                                 cells_per_block=(2, 2)), rtol=1e-5)  # fmt: skip
        assert told == [(3, 3)]

    def test_a_bag_of_words_is_of_unit_length(self):
        films = np.concatenate([striped(6, size=64), np.full((1, 64, 64), 9, np.uint8)])
        bags = film_features(films, np.arange(4), "sift")
        assert bags.shape[1] <= WORDS
        lengths = (bags**2).sum(axis=1)
        assert (np.isclose(lengths, 1, rtol=1e-5) | (lengths == 0)).all()
        assert np.isclose(lengths[:4], 1, rtol=1e-5).any()
        assert lengths[6] == 0  # a film without key points
        assert np.array_equal(bags, film_features(films, np.arange(4), "sift"))

    def test_films_without_any_key_point(self):
        with pytest.raises(SettingsError, match="No training film has a SIFT key point"):
            film_features(np.full((2, 64, 64), 9, np.uint8), np.arange(2), "sift")
