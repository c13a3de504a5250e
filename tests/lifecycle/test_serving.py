"""How a challenger is served: with the champion's exports, and no slower than the plan allows."""

from __future__ import annotations

import json
import shutil

import pytest

from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.model import BundleModel
from monai_cxr.lifecycle.margins import Margins
from monai_cxr.lifecycle.promotion import adopt
from monai_cxr.lifecycle.registry import open_registry
from monai_cxr.lifecycle.retraining import retrain
from monai_cxr.lifecycle.serving import checks

PARITY = {
    "films": "phantom", "n_films": 24, "max_logit_change": 1e-5, "max_probability_change": 1e-6,
    "mean_probability_change": 1e-7,
}  # fmt: skip


def test_a_challenger_has_the_champion_s_exports(site, packaged_bundle, tmp_path):
    pytest.importorskip("onnxruntime", reason="pip install '.[onnx]'")
    bundle = tmp_path / "exported"
    shutil.copytree(packaged_bundle, bundle)
    export(bundle, "onnx")
    shutil.rmtree(site / "registry")
    adopt(site / "registry", bundle, by="Dr Example", reason="Accepted.")
    made = retrain(site.sealed(), site / "attempt")
    assert made.outcome == "passed"
    verdict = json.loads((site / "attempt" / "thresholds" / "verdict.json").read_text())
    served = [one for one in verdict["checks"] if one["test"] == "serving"]
    assert [(one["measure"], one["group"], one["outcome"]) for one in served] == [
        ("export parity", "onnx", "passed"),
        ("seconds a film", "relative rise", "passed"),
    ]
    registry = open_registry(site / "registry")
    challenger = registry.path_of(registry.aliases["challenger"][0])
    model = BundleModel.load(challenger, device="cpu", runtime="onnx")
    assert model.identity.digest == registry.aliases["challenger"][0]


def test_a_lost_export_and_a_slow_challenger_are_refused():
    measured = {
        "champion": {"onnx": PARITY},
        "challenger": {},
        "refused": {"onnx": "The export 'onnx' is refused: a logit changes by 0.1."},
        "seconds_a_film": {"champion": [0.010, 0.011] * 8, "challenger": [0.020, 0.021] * 8},
    }
    parity, speed = checks(measured, Margins(), seed=0)
    assert (parity.outcome, speed.outcome) == ("refused", "refused")
    assert "a logit changes by 0.1" in parity.reason
    assert 0.8 < speed.difference.estimate < 1.1
    (_, alike) = checks(
        measured | {"seconds_a_film": {"champion": [0.01] * 16, "challenger": [0.0105] * 16}},
        Margins(), seed=0,
    )  # fmt: skip
    assert alike.outcome == "passed"
