"""Statements: numbers with their meaning; PPV against counts of a made-up population."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from review_data import point, prediction

from monai_cxr.evaluation.decisions.conformal import ConformalRule
from monai_cxr.picture.flags import FLAGS, flag_words
from monai_cxr.prediction import FindingScore, Prediction
from monai_cxr.review.statements import statements, summary_words
from monai_cxr.review.words import REASONS, duration, percent


class TestOrder:
    def test_claimed_first_then_urgency_then_probability(self):
        made = statements(
            prediction(
                1,
                {"Atelectasis": 0.9, "Pneumothorax": 0.1, "Effusion": 0.6, "Mass": 0.8,
                 "Hernia": 0.2},
            ),
            {},
        )  # fmt: skip
        names = [item.finding for item in made]
        assert names == ["Mass", "Effusion", "Atelectasis", "Pneumothorax", "Hernia"]

    def test_is_not_the_alphabet(self):
        made = statements(prediction(1, dict.fromkeys(("Atelectasis", "Pneumothorax"), 0.1)), {})
        assert made[0].finding == "Pneumothorax"


class TestMeaning:
    def test_names_threshold_rates_and_prevalence(self):
        (made,) = statements(prediction(1, {"Effusion": 0.7}), {"Effusion": point("Effusion")})
        text = " ".join(made.meaning)
        assert made.state == "flagged"
        assert "10 %" in text  # 20 of 200
        assert "90 % (85 % to 95 %)" in text
        assert "80 % (75 % to 85 %)" in text
        assert f"PPV {percent(made.ppv)}, " in text
        assert made.ppv == pytest.approx(0.9 * 0.1 / (0.9 * 0.1 + 0.2 * 0.9))

    def test_what_is_nearly_certain_is_not_called_certain(self):
        sure = point("Effusion", sensitivity=0.996, specificity=0.9995)
        (made,) = statements(prediction(1, {"Effusion": 0.7}), {"Effusion": sure})
        text = " ".join(made.meaning)
        assert "more than 9 in 10 flags are right (PPV > 99 %" in text
        assert "> 99 % (75 % to 85 %)" in text
        assert "100 %" not in text
        assert "10 in 10" not in text

    def test_uses_the_prevalence_of_the_site(self):
        (made,) = statements(
            prediction(1, {"Effusion": 0.7}),
            {"Effusion": point("Effusion")},
            prevalence={"Effusion": 0.02},
        )
        assert made.prevalence_source == "site"
        assert made.ppv == pytest.approx(0.018 / (0.018 + 0.196))
        assert "2 %" in made.meaning[0]

    def test_says_so_without_calibration_and_without_a_point(self):
        bare = Prediction(
            prediction(1, {}).key,
            prediction(1, {}).model,
            (FindingScore("Effusion", 0.3, math.nan, None),),
        )
        (made,) = statements(bare, {})
        assert made.state == "no rule"
        assert "not calibrated" in made.meaning[0]
        assert "no operating point" in made.meaning[1]

    def test_of_another_model_keeps_the_flag_and_names_no_threshold(self):
        (made,) = statements(prediction(1, {"Effusion": 0.7}), {})
        assert made.state == "flagged"
        assert made.meaning == ("There is no operating point of this model here.",)

    @pytest.mark.parametrize(
        ("probability", "state"), [(0.05, "absent"), (0.3, "uncertain"), (0.9, "present")]
    )
    def test_a_conformal_rule_decides_the_state(self, probability, state):
        rule = ConformalRule("Effusion", 0.1, 0.2, 0.6, 50, 50)
        (made,) = statements(
            prediction(1, {"Effusion": probability}),
            {"Effusion": point("Effusion")},
            rules={"Effusion": rule},
        )
        assert made.state == state
        assert "10 %" in made.meaning[0]


class TestWords:
    def test_summaries(self):
        def summary(**probabilities):
            return summary_words(statements(prediction(1, probabilities), {}))

        assert summary(Hernia=0.1) == "Nothing flagged"
        assert summary(Hernia=0.9) == "Hernia flagged"
        assert summary(Hernia=0.9, Mass=0.9) == "Mass and Hernia flagged"
        assert summary(Hernia=0.9, Mass=0.9, Pneumothorax=0.9) == (
            "Pneumothorax, Mass and Hernia flagged"
        )
        many = summary(Hernia=0.9, Mass=0.8, Pneumothorax=0.9, Edema=0.9)
        assert many == "Pneumothorax, Edema and 2 more flagged"

    @given(st.floats(0, 1))
    def test_a_share_is_never_rounded_to_certainty(self, share):
        assert percent(share) not in ("0 %", "100 %", "0.0 %")

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(-5, "now"), (20, "now"), (90, "2 min"), (3700, "1 h 01"), (90_000, "1 d 1 h")],
    )
    def test_durations(self, seconds, words):
        assert duration(seconds) == words

    def test_every_flag_and_reason_of_the_package_has_words(self):
        import re
        from pathlib import Path

        import monai_cxr

        root = Path(monai_cxr.__file__).parent
        rooms = (root / "dicom" / "header" / "scope.py", root / "picture" / "scope.py")
        scope = "\n".join(path.read_text(encoding="utf-8") for path in rooms)
        named = set(re.findall(r'^        "([a-z_]+)": ', scope, re.MULTILINE))
        assert named
        assert named <= set(FLAGS)
        refused = set(re.findall(r'refuse\(\s*"([a-z_]+)"', scope))
        assert refused
        assert refused <= set(REASONS)
        assert flag_words("never_heard_of") == "Never heard of."


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (0.13, "Of films scored like this one about 1 in 8 has it. Of all films: "),
        (0.6, "Of films scored like this one about 6 in 10 have it. Of all films: "),
        (0.01, "Of films scored like this one hardly any has it. Of all films: "),
        (0.97, "Of films scored like this one nearly all have it. Of all films: "),
    ],
)
def test_number_and_meaning_disagree(probability, said):
    """What is said of this film is this film's own number; what holds of all of them says so."""
    (made,) = statements(prediction(1, {"Effusion": probability}), {"Effusion": point("Effusion")})
    assert made.meaning[0].startswith(said)
