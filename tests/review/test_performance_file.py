"""Localization file: a box is drawn only where maps were shown to point better than chance."""

from __future__ import annotations

import json

import pytest

from monai_cxr.review.performance_file import PerformanceFile, localized_findings


def entry(finding, low, by_chance):
    pointing = {"estimate": 0.7, "low": low, "high": 0.8}
    return {"finding": finding, "n": 40, "pointing": pointing, "by_chance": by_chance}


@pytest.fixture
def performance(tmp_path):
    return PerformanceFile({}, tmp_path / "performance.json")


def test_findings_above_chance_are_shown(performance):
    content = {
        "format": "monai_cxr inspection",
        "localization": [entry("Mass", 0.6, 0.1), entry("Edema", 0.05, 0.1)],
    }
    performance.path.with_name("inspection.json").write_text(json.dumps(content))
    known = localized_findings(performance)
    assert known["Mass"].shown
    assert not known["Edema"].shown
    assert "70 % (60 % to 80 %), by chance in 10 %" in known["Mass"].sentence
    assert "no box" in known["Edema"].sentence


def test_an_interval_that_is_not_known_shows_nothing(performance):
    content = {"format": "monai_cxr inspection", "localization": [entry("Mass", None, 0.1)]}
    performance.path.with_name("inspection.json").write_text(json.dumps(content))
    assert not localized_findings(performance)["Mass"].shown


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "x"}', '{"format": "monai_cxr inspection"}',
             '{"format": "monai_cxr inspection", "localization": [{"finding": "Mass"}]}'],
)  # fmt: skip
def test_a_file_of_another_kind_says_nothing(performance, text):
    performance.path.with_name("inspection.json").write_text(text)
    assert localized_findings(performance) == {}
    assert localized_findings(None) == {}
