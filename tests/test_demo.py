"""The demo, small: every stage runs, a second call goes on where the first was."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from monai_cxr.bundle.explaining import inspection
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.verification import verify
from monai_cxr.demo import NETWORK, DemoSettings, run_demo
from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.predictions.prediction_columns import UNCALIBRATED
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.findings import FINDING_NAMES

SMALL = DemoSettings(
    patients=50,
    size=96,
    image_size=32,
    epochs=2,
    batch_size=8,
    n_bootstrap=50,
    n_perturbed=4,
    n_localized=4,
    training={**NETWORK, "network_options": {**NETWORK["network_options"], "width": 8}},
)


@contextmanager
def _silent(_what):
    yield lambda _done, _total: None


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    lines: list[str] = []
    return out, run_demo(out, SMALL, say=lines.append, progress=_silent), lines


@pytest.fixture(scope="module")
def inspected(demo):
    out, result, _ = demo
    model = BundleModel.load(result.bundle, device="cpu")
    table = pd.read_parquet(out / "predictions_test.parquet")
    data = model.calibrator.apply_to(load_predictions(table))
    return inspection.Inspector.of(model, table), data, out


class TestDemo:
    def test_ends_with_everything(self, demo):
        out, result, lines = demo
        assert verify(result.bundle).findings == FINDING_NAMES
        page = result.report.read_text(encoding="utf-8")
        assert "digital chest phantom" in page
        assert UNCALIBRATED not in page
        assert len(result.rows()) == 14
        assert len(result.films) == 5
        json.dumps(result.to_json(), allow_nan=False)
        assert "monai.bundle run" in " ".join(lines)
        assert json.loads((out / "demo.json").read_text())["patients"] == 50

    def test_calibration_never_saw_the_test_patients(self, demo):
        out, _, _ = demo
        index = pd.read_parquet(out / "index.parquet")
        by_split = index.groupby("split")["patient_id"].agg(set)
        assert not by_split["val"] & by_split["test"]
        assert not by_split["train"] & by_split["test"]

    def test_metadata_states_the_preprocessing(self, demo):
        _, result, _ = demo
        metadata = json.loads((result.bundle / "configs" / "metadata.json").read_text())
        assert metadata["preprocessing"] == {"image_size": 32, "resize": "stretch"}
        assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == [32, 32]


class TestInspection:
    def test_the_map_is_fine_enough_to_point(self, inspected):
        inspector, _, _ = inspected
        assert inspection.map_method(inspector.model) == "cam"
        film = np.zeros((1, 1, 32, 32), dtype=np.float32)
        assert inspector.model.runtime.run(film).cam.shape == (1, 14, 8, 8)

    def test_worst_errors_are_errors_with_pictures(self, inspected):
        inspector, data, _ = inspected
        errors = inspection.worst_errors(inspector, data, n_findings=2)
        assert 2 <= len(errors) <= 4
        sizes = [abs(error.label - error.probability) for error in errors]
        assert sizes == sorted(sizes, reverse=True)
        assert all(error.heatmap.startswith("data:image/jpeg;base64,") for error in errors)

    def test_a_vanished_film_is_left_out(self, inspected):
        inspector, data, _ = inspected
        gone = inspection.Inspector(inspector.model, {})
        assert all(e.thumbnail == "" for e in inspection.worst_errors(gone, data, n_findings=1))

    def test_localization_against_the_drawn_boxes(self, inspected):
        inspector, data, out = inspected
        boxes = pd.read_csv(out / "archive" / "truth.csv")
        result = inspection.localize(inspector, data, boxes, method="cam", n_bootstrap=50)
        present = {name for i, name in enumerate(data.findings) if data.labels[:, i].any()}
        assert {item.finding for item in result} == present
        assert all(0 < item.by_chance < 1 for item in result)

    def test_boxes_scale_with_the_reference_film(self, inspected):
        inspector, data, out = inspected
        boxes = pd.read_csv(out / "archive" / "truth.csv")
        films = {uid: inspector.read(str(uid)) for uid in data.image_ids}
        square = {uid for uid, film in films.items() if film.shape == (96, 96)}
        assert square
        boxes = boxes[[Path(path).stem in square for path in boxes["path"]]]
        larger = boxes.assign(**{c: boxes[c] * 2 for c in ("x", "y", "width", "height")})
        options = {"method": "cam", "n_bootstrap": 10}
        own = inspection.localize(inspector, data, boxes, **options)
        few = inspection.localize(inspector, data, boxes, n_images=2, **options)
        assert max(item.n for item in few) <= 2 < sum(item.n for item in own)
        scaled = inspection.localize(inspector, data, larger, reference_side=192, **options)
        assert [item.by_chance for item in scaled] == [item.by_chance for item in own]

    def test_boxes_of_other_films(self, inspected):
        inspector, data, _ = inspected
        boxes = pd.DataFrame(
            {"sop_uid": ["x"], "finding": ["Mass"], "x": [0], "y": [0], "width": [1], "height": [1]}
        )
        with pytest.raises(InvalidTable, match="None of the 1 boxes"):
            inspection.localize(inspector, data, boxes)

    def test_robustness_has_a_curve_a_perturbation(self, inspected):
        from monai_cxr.evaluation.statistics.perturbation import PERTURBATIONS

        inspector, data, _ = inspected
        points = inspection.robustness(inspector, data, n_images=4)
        assert {point.perturbation for point in points} == set(PERTURBATIONS)
