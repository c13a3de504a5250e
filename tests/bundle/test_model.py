"""Model: films in, predictions out, the same alone and in a batch."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest

from monai_cxr.bundle.config import read_config, write_config
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import InvalidBundle
from monai_cxr.evaluation.calibration.calibrator import read_calibrator
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.prediction import Interval, OperatingPoint
from monai_cxr.reading.files import read_radiograph


@pytest.fixture(scope="module")
def model(packaged_bundle):
    return BundleModel.load(packaged_bundle, device="cpu")


@pytest.fixture(scope="module")
def films(phantom_index):
    return [read_radiograph(path) for path in phantom_index.table["path"][:5]]


class TestPredict:
    def test_a_prediction_a_film(self, model, films):
        predictions = model.predict(films, batch_size=2)
        assert [prediction.key for prediction in predictions] == [film.key for film in films]
        for prediction in predictions:
            assert tuple(score.finding for score in prediction.scores) == FINDING_NAMES
            assert prediction.model == model.identity

    def test_a_batch_is_its_films_one_by_one(self, model, films):
        together = model.predict(films, batch_size=5)
        alone = [model.predict([film])[0] for film in films]
        for one, other in zip(together, alone, strict=True):
            for a, b in zip(one.scores, other.scores, strict=True):
                assert a.logit == pytest.approx(b.logit, abs=1e-4)
                assert a.probability == pytest.approx(b.probability, abs=1e-4)

    def test_none(self, model):
        assert model.predict([]) == []

    def test_probabilities_are_the_calibration_of_logits(self, model, films, packaged_bundle):
        calibrator = read_calibrator(packaged_bundle / "models" / "calibration.json")
        prediction = model.predict(films[:1])[0]
        logits = np.array([[score.logit for score in prediction.scores]])
        assert [score.probability for score in prediction.scores] == (
            calibrator.for_findings(model.findings).apply(logits)[0].tolist()
        )

    def test_positive_is_at_or_above_the_threshold(self, model, films):
        for prediction in model.predict(films):
            for score in prediction.scores:
                point = model.operating_points.get(score.finding)
                expected = None if point is None else score.probability >= point.threshold
                assert score.positive == expected


class TestWithoutCalibration:
    def test_probabilities_are_unknown_and_nothing_is_positive(self, trained_run, films):
        model = BundleModel.load(trained_run)
        assert model.calibrator is None
        point = OperatingPoint("Mass", 0.0, "youden", Interval(1.0), Interval(1.0), 9, 3)
        model.operating_points = {"Mass": point}
        scores = model.predict(films[:1])[0].scores
        assert all(math.isnan(score.probability) for score in scores)
        assert all(score.positive is None for score in scores)
        assert all(math.isfinite(score.logit) for score in scores)

    def test_a_threshold_that_is_unknown_decides_nothing(self, packaged_bundle, films):
        model = BundleModel.load(packaged_bundle)
        point = model.operating_points["Effusion"]
        model.operating_points["Effusion"] = replace(point, threshold=math.nan)
        assert model.predict(films[:1])[0]["Effusion"].positive is None


class TestIdentity:
    def test_names_the_bundle_and_no_path(self, model, packaged_bundle):
        metadata = json.loads((packaged_bundle / "configs/metadata.json").read_text())
        assert model.identity.name == metadata["name"]  # a folder may be called anything
        assert model.identity.version == read_config(packaged_bundle, "metadata")["version"]
        assert len(model.identity.digest) == 64
        assert str(packaged_bundle.parent) not in repr(model)

    def test_a_run_is_its_weights(self, trained_run, packaged_bundle):
        run = BundleModel.load(trained_run).identity
        assert len(run.digest) == 64
        assert run.digest != BundleModel.load(packaged_bundle).identity.digest


class TestDamaged:
    """A run, because the digests of a packaged bundle would tell first."""

    @pytest.fixture
    def run(self, trained_run, tmp_path):
        return shutil.copytree(trained_run, tmp_path / "run")

    def test_no_weights(self, run):
        (run / "models" / "model.pt").unlink()
        with pytest.raises(InvalidBundle, match="Train first"):
            BundleModel.load(run)

    @pytest.mark.parametrize(
        ("name", "value"), [("findings", "all"), ("image_size", None), ("resize", 3)]
    )
    def test_a_field_of_the_wrong_kind(self, run, name, value):
        write_config(run, "inference", read_config(run, "inference") | {name: value})
        with pytest.raises(InvalidBundle, match=f"inference.json needs '{name}'"):
            BundleModel.load(run)

    def test_more_findings_than_outputs(self, run, films):
        names = [*FINDING_NAMES, "Fracture"]
        write_config(run, "inference", read_config(run, "inference") | {"findings": names})
        with pytest.raises(InvalidBundle, match="15 findings"):
            BundleModel.load(run).predict(films[:1])

    def test_no_bundle_at_all(self, tmp_path):
        with pytest.raises(InvalidBundle, match="is not a bundle"):
            BundleModel.load(tmp_path)

    def test_a_config_with_an_expression_is_not_run(self, run, tmp_path):
        config = read_config(run, "inference")
        config["network_def"]["in_channels"] = f"$open('{tmp_path}/ran', 'w') and 1"
        write_config(run, "inference", config)
        with pytest.raises(InvalidBundle, match="holds the expression"):
            BundleModel.load(run)
        assert not (tmp_path / "ran").exists()
        assert json.loads((run / "configs" / "inference.json").read_text()) == config
