"""Transforms: calibrated probabilities in a bundle's config, and the table it writes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from ignite.engine import Engine

from monai_cxr.bundle.transforms import CalibratedProbabilitiesd, FindingsSaver
from monai_cxr.errors import NotCalibrated
from monai_cxr.evaluation.calibration.calibrator import (
    training_weights_calibrator,
    write_calibrator,
)

FINDINGS = ("Mass", "Nodule")
LOGITS = torch.zeros(14)


@pytest.fixture
def calibration(tmp_path):
    """A shift of -log(w): sigmoid(z - log w) = 1 / (1 + w exp(-z))."""
    path = tmp_path / "calibration.json"
    write_calibrator(training_weights_calibrator({"Nodule": 4.0, "Mass": 2.0}), path)
    return str(path)


class TestCalibratedProbabilitiesd:
    def test_is_the_formula_in_the_order_of_the_findings(self, calibration):
        transform = CalibratedProbabilitiesd("pred", calibration, FINDINGS)
        logits = torch.tensor([0.5, -1.0], requires_grad=True)
        data = {"pred": logits, "image": "kept"}
        out = transform(data)
        expected = [1 / (1 + w * np.exp(-z)) for w, z in ((2.0, 0.5), (4.0, -1.0))]
        assert out["pred"].tolist() == pytest.approx(expected, rel=1e-6)
        assert out["pred"].dtype == torch.float32
        assert out["image"] == "kept"
        assert data["pred"] is logits

    def test_a_finding_without_calibration(self, calibration):
        with pytest.raises(NotCalibrated, match="Hernia"):
            CalibratedProbabilitiesd("pred", calibration, ("Mass", "Hernia"))

    def test_no_file(self, tmp_path):
        with pytest.raises(NotCalibrated):
            CalibratedProbabilitiesd("pred", str(tmp_path / "no" / "c.json"))({"pred": LOGITS})

    def test_a_bundle_that_is_not_packaged_gives_its_logits_and_says_so(self, tmp_path):
        transform = CalibratedProbabilitiesd("pred", str(tmp_path / "calibration.json"), FINDINGS)
        with pytest.warns(UserWarning, match="logits, not probabilities"):
            out = transform({"pred": torch.tensor([0.5, -1.0])})
        assert out["pred"].tolist() == [0.5, -1.0]
        assert out["pred"].meta["calibrated"] is False


class TestFindingsSaver:
    def run(self, path, outputs) -> Engine:
        names = ["deep/a.dcm", "b.png", "c.png"]
        for number, item in enumerate(item for batch in outputs for item in batch):
            item["image_meta_dict"] = {"filename_or_obj": names[number]}
        saver = FindingsSaver(str(path), findings=FINDINGS)
        engine = Engine(lambda _, output: output)
        saver.attach(engine)
        engine.run(outputs)
        return engine

    def test_a_row_a_film_with_a_header(self, tmp_path):
        batches = [
            [{"pred": torch.tensor([0.1, 0.2])}, {"pred": torch.tensor([0.3, 0.4])}],
            [{"pred": torch.tensor([0.5, 0.6])}],
        ]
        engine = self.run(tmp_path / "eval" / "findings.csv", batches)
        engine.run(batches)  # a second run begins anew
        table = pd.read_csv(tmp_path / "eval" / "findings.csv")
        assert table.columns.tolist() == ["image", "probability_Mass", "probability_Nodule"]
        assert table["image"].tolist() == ["a.dcm", "b.png", "c.png"]
        assert table["probability_Nodule"].tolist() == pytest.approx([0.2, 0.4, 0.6])
