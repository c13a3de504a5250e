"""Ensemble and test-time augmentation: means over members and views, in one pass."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from monai_cxr.bundle.ensemble import Ensemble, load_predictor
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.tta import VIEWS
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.reading.files import read_radiograph
from monai_cxr.tables import columns_array, logit_column, probability_column


@pytest.fixture(scope="module")
def members(packaged_bundle, other_bundle):
    return [BundleModel.load(path, device="cpu") for path in (packaged_bundle, other_bundle)]


@pytest.fixture(scope="module")
def films(phantom_index):
    return [read_radiograph(path) for path in phantom_index.table["path"][:3]]


class TestEnsemble:
    def test_is_the_mean_of_its_members(self, members, films):
        for together, *alone in zip(
            Ensemble(members).predict(films), *(one.predict(films) for one in members), strict=True
        ):
            for score in together.scores:
                own = [prediction[score.finding] for prediction in alone]
                assert score.logit == pytest.approx(np.mean([one.logit for one in own]), abs=1e-4)
                assert score.probability == pytest.approx(
                    np.mean([one.probability for one in own]), abs=1e-5
                )
                assert score.positive is None  # it has no operating points of its own

    def test_has_a_digest_that_does_not_depend_on_the_order(self, members):
        one, two = Ensemble(members), Ensemble(members[::-1])
        assert one.identity.digest == two.identity.digest
        assert one.identity.digest not in [member.identity.digest for member in members]
        assert one.identity.name == " + ".join(member.identity.name for member in members)

    def test_through_the_same_table(self, members, phantom_index):
        rows = phantom_index.rows("test").head(3)
        ensemble = Ensemble(members)
        tables = [predict_table(model, rows) for model in (ensemble, *members)]
        for column in (logit_column, probability_column):
            names = [column(name) for name in ensemble.findings]
            together, *alone = [columns_array(table, names) for table in tables]
            np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-4)
        assert (tables[0]["model_digest"] == ensemble.identity.digest).all()

    def test_findings_are_matched_by_name(self, members):
        turned = BundleModel(
            members[1].runtime, members[1].identity, findings=members[1].findings[::-1],
            image_size=48, resize="pad", calibrator=None,
        )  # fmt: skip
        ensemble = Ensemble([members[0], turned])
        batch = [np.zeros((1, 1, 32, 32), np.float32), np.zeros((1, 1, 48, 48), np.float32)]
        expected = (members[0].logits(batch[0]) + turned.logits(batch[1])[:, ::-1]) / 2
        np.testing.assert_allclose(ensemble.score(batch).logits, expected)
        assert not ensemble.calibrated

    def test_refused(self, members):
        with pytest.raises(SettingsError, match="two or more different bundles"):
            Ensemble([members[0], members[0]])
        with pytest.raises(SettingsError, match="two or more different bundles"):
            Ensemble(members[:1])
        few = BundleModel(
            members[1].runtime, members[1].identity, findings=members[1].findings[:3],
            image_size=48, resize="pad", calibrator=None,
        )  # fmt: skip
        with pytest.raises(InvalidBundle, match="need the same findings"):
            Ensemble([members[0], few])


class TestFile:
    def test_names_members_and_views(self, packaged_bundle, other_bundle, tmp_path):
        for path in (packaged_bundle, other_bundle):
            shutil.copytree(path, tmp_path / path.name)
        content = {"members": [packaged_bundle.name, other_bundle.name], "tta": "shift"}
        (tmp_path / "ensemble.json").write_text(json.dumps(content))
        model = load_predictor([tmp_path / "ensemble.json"], device="cpu")
        assert isinstance(model, Ensemble)
        assert model.identity.runtime == "torch-cpu-fp32+tta-shift"
        plain = load_predictor([tmp_path / "ensemble.json"], device="cpu", tta="none")
        assert plain.identity.runtime == "torch-cpu-fp32"
        assert plain.identity.digest != model.identity.digest

    @pytest.mark.parametrize("text", ["", "[]", '{"members": ["a"]}', '{"members": 3}'])
    def test_refused(self, tmp_path, text):
        (tmp_path / "ensemble.json").write_text(text)
        with pytest.raises(SettingsError, match=r"'ensemble\.json' is not an ensemble"):
            load_predictor([tmp_path / "ensemble.json"])


class TestTestTimeAugmentation:
    @pytest.mark.parametrize("name", list(VIEWS))
    def test_views_start_with_the_film_itself(self, name):
        batch = np.random.default_rng(0).normal(size=(2, 1, 64, 64)).astype(np.float32)
        views = VIEWS[name](batch)
        assert np.array_equal(views[0], batch)
        assert {view.shape for view in views} == {batch.shape}
        assert len(views) == {"none": 1, "flip": 2, "shift": 5}[name]

    def test_flip_mirrors_left_and_right(self):
        batch = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
        assert VIEWS["flip"](batch)[1][0, 0, 0].tolist() == [3, 2, 1, 0]

    def test_shifts_are_of_a_thirty_second_in_four_directions(self):
        batch = np.random.default_rng(0).normal(size=(1, 1, 64, 64)).astype(np.float32)
        found = set()
        for view in VIEWS["shift"](batch)[1:]:
            for shift in ((2, 0), (-2, 0), (0, 2), (0, -2)):
                rolled = np.roll(batch, shift, axis=(2, 3))
                if np.array_equal(view[..., 4:-4, 4:-4], rolled[..., 4:-4, 4:-4]):
                    found.add(shift)
        assert len(found) == 4

    def test_logits_are_means_over_views(self, packaged_bundle, members, films):
        model = BundleModel.load(packaged_bundle, device="cpu", tta="flip")
        assert model.identity.runtime == "torch-cpu-fp32+tta-flip"
        assert model.identity.digest != members[0].identity.digest
        batch = np.stack([model.prepare(film) for film in films])
        plain = members[0]
        mirrored = np.ascontiguousarray(batch[..., ::-1])
        expected = (plain.logits(batch) + plain.logits(mirrored)) / 2
        np.testing.assert_allclose(model.logits(batch), expected, atol=1e-5)
        np.testing.assert_allclose(model.run(batch).cam, plain.run(batch).cam, atol=1e-5)

    def test_unknown(self, packaged_bundle):
        with pytest.raises(SettingsError, match="Unknown tta 'mirror'"):
            BundleModel.load(packaged_bundle, tta="mirror")
