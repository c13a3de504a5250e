"""Predictions: look-up by name, and images of one study put together."""

from __future__ import annotations

import math

import pytest

from monai_cxr.errors import SettingsError
from monai_cxr.prediction import FindingScore, Interval, ModelIdentity, Prediction, study_prediction
from monai_cxr.radiograph import InstanceKey

MODEL = ModelIdentity("bundle", "0.1.0", "d1")


def _prediction(effusion, mass, *, study="1.1", model=MODEL, flags=()):
    scores = (FindingScore("Effusion", effusion, 0.5), FindingScore("Mass", mass, 0.5, True))
    return Prediction(InstanceKey("p", study, "s", f"{study}.{effusion}"), model, scores, flags)


def test_scores_are_found_by_name_and_alias():
    assert _prediction(1.0, 2.0)["Pleural Effusion"].logit == 1.0
    with pytest.raises(SettingsError, match=r"No score for 'Hernia'.*Effusion, Mass"):
        _prediction(1.0, 2.0)["Hernia"]


class TestStudy:
    def test_takes_the_most_positive_image_by_finding(self):
        together = study_prediction(
            [_prediction(1.0, -2.0, flags=("a",)), _prediction(-1.0, 3.0, flags=("b", "a"))]
        )
        assert [score.logit for score in together.scores] == [1.0, 3.0]
        assert together.flags == ("a", "b")
        assert together.key.sop_uid == ""

    def test_prefers_images_for_presentation(self):
        raw, shown = _prediction(9.0, 9.0, flags=("for_processing",)), _prediction(1.0, -2.0)
        together = study_prediction([raw, shown])
        assert [score.logit for score in together.scores] == [1.0, -2.0]
        assert together.flags == ()
        assert study_prediction([raw])["Mass"].logit == 9.0

    def test_refuses_mixtures(self):
        with pytest.raises(SettingsError, match="several studies"):
            study_prediction([_prediction(1, 1), _prediction(1, 1, study="2.2")])
        other = ModelIdentity("bundle", "0.1.0", "d2")
        with pytest.raises(SettingsError, match="several digests"):
            study_prediction([_prediction(1, 1), _prediction(1, 1, model=other)])
        with pytest.raises(SettingsError, match="at least one"):
            study_prediction([])


def test_interval_prints_as_papers_do():
    assert str(Interval(0.8414, 0.8, 0.88)) == "0.841 (0.800-0.880)"
    assert str(Interval(0.8414)) == "0.841"
    assert str(Interval(math.nan)) == "not estimable"
