"""The script of ``docs/how-to/serve-fast.md``: an export without this package says the same."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_cxr import BundleModel, read_radiograph
from monai_cxr.bundle.exporting.onnx_metadata import KEY, coefficients
from monai_cxr.evaluation.calibration.calibrator import Calibrator
from monai_cxr.evaluation.calibration.methods import METHODS, FindingCalibration

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "serve-fast.md"
PARAMETERS = {
    "none": {},
    "prior_shift": {"shift": (-0.7,)},
    "temperature": {"temperature": (1.7,)},
    "platt": {"slope": (0.6,), "intercept": (-0.4,)},
    "beta": {"a": (0.8,), "b": (1.3,), "c": (-0.2,)},
    "pooled_beta": {"a": (0.8,), "b": (1.3,), "c": (-0.2,), "shift": (0.5,)},
    "isotonic": {"scores": (-2.0, 0.0, 3.0), "values": (0.1, 0.3, 0.8)},
}


def test_the_script_of_the_page_gives_the_bundle_s_numbers(
    exported_bundle, phantom_index, tmp_path
):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    (tmp_path / "bundle").symlink_to(exported_bundle)
    pixels = read_radiograph(Path(phantom_index.table["path"].iloc[0])).pixels
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(tmp_path / "film.png")
    script = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0]
    assert len([line for line in script.splitlines() if line]) <= 15
    code = f"{script}\nimport sys; print('monai_cxr' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        **{"cwd": tmp_path, "capture_output": True, "text": True, "check": True},
    )
    printed, imported = done.stdout.splitlines()
    assert imported == "False False"
    model = BundleModel.load(exported_bundle, device="cpu", runtime="torch")
    said = model.predict([read_radiograph(tmp_path / "film.png")])[0].scores
    # Pillow rounds the resized picture to 8 bits; the package does not.
    expected = {score.finding: score.probability for score in said}
    assert ast.literal_eval(printed) == pytest.approx(expected, abs=0.01)


def test_an_export_says_what_it_is(exported_bundle):
    onnx = pytest.importorskip("onnx", reason="needs the extra onnx")
    network = onnx.load(str(exported_bundle / "models" / "model.onnx"))
    said = {entry.key: entry.value for entry in network.metadata_props}
    facts = json.loads(said[KEY])
    model = BundleModel.load(exported_bundle, device="cpu", runtime="onnx")
    assert facts["model"]["digest"] == model.identity.digest
    assert facts["findings"] == list(model.findings)
    assert facts["preprocessing"]["size"] == model.image_size
    thresholds = {name: point.threshold for name, point in model.operating_points.items()}
    assert facts["operating_points"] == thresholds
    assert "bloom" not in said[KEY]  # what the calibration keeps of its patients stays out of it


@pytest.mark.parametrize("prevalence", [None, 0.03])
def test_one_formula_is_every_method(prevalence):
    parts = [FindingCalibration(m, m, PARAMETERS[m], n=100, n_positive=20) for m in METHODS]
    if prevalence is not None:
        parts = [part.at_prevalence(prevalence) for part in parts]
    calibrator = Calibrator(tuple(parts))
    fit = coefficients(calibrator)
    logits = np.linspace(-9, 9, 37)[:, None] * np.ones(len(METHODS))
    a, b, c, shift = (np.array(fit[name]) for name in ("a", "b", "c", "shift"))
    log_odds = b * np.logaddexp(0, logits + shift) - a * np.logaddexp(0, -logits - shift) + c
    expected = calibrator.apply(logits)
    formula = [name for name in METHODS if name not in fit["knots"]]
    assert [name for name in METHODS if name in fit["knots"]] == ["isotonic"]
    got = 1 / (1 + np.exp(-log_odds))
    np.testing.assert_allclose(got[:, : len(formula)], expected[:, : len(formula)], atol=1e-12)
    knots = fit["knots"]["isotonic"]
    at_knots = calibrator.apply(np.array(knots["logits"])[:, None] * np.ones(len(METHODS)))[:, -1]
    np.testing.assert_allclose(knots["probabilities"], at_knots, atol=1e-12)
