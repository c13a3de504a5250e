"""Curves: well-formed SVG, a panel a finding, gaps where nothing is known."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pandas as pd
import pytest

from monai_cxr.training.curves import learning_curves

TABLE = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [0.7, 0.5, 0.4],
        "val_loss": [0.7, math.nan, 0.6],
        "learning_rate": [1e-3, 5e-4, 0.0],
        "val_macro_auroc": [0.5, 0.6, 0.7],
        "val_macro_auroc_Mass": [0.5, 0.6, 0.7],
        "val_macro_auroc_A<B": [math.nan] * 3,
    }
)


def titles(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [node.text for node in root.iter() if node.get("class") == "title"]


def test_a_panel_a_finding():
    assert titles(learning_curves(TABLE)) == [
        *("Loss", "Macro AUROC of validation", "Learning rate", "Mass", "A<B")
    ]


def test_unknown_values_are_said():
    root = ElementTree.fromstring(learning_curves(TABLE))
    assert [node.text for node in root.iter() if node.get("class") == "gap"] == ["not estimable"]


@pytest.mark.parametrize("n", [1, 3])
def test_points_lie_inside_their_panel(n):
    root = ElementTree.fromstring(learning_curves(TABLE.head(n)))
    lines = [node.get("points") for node in root.iter() if node.tag.endswith("polyline")]
    assert lines
    for line in lines:
        for point in line.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 280
            assert 0 <= y <= 170


def test_one_finding_is_the_macro_panel():
    table = TABLE.drop(columns="val_macro_auroc_A<B")
    assert titles(learning_curves(table)) == ["Loss", "Macro AUROC of validation", "Learning rate"]
