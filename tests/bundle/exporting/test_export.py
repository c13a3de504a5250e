"""Export: other formats that say the same, or are refused and leave nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from monai_cxr.bundle.digests import DIGESTS_NAME, EXPORTS_NAME, read_digests, write_digests
from monai_cxr.bundle.engines import parity as parity_module
from monai_cxr.bundle.engines.parity import measure_parity, require_parity
from monai_cxr.bundle.engines.runtime import NetworkOutput
from monai_cxr.bundle.explaining.saliency import saliency
from monai_cxr.bundle.exporting.formats import check_format
from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.exports import Parity, read_exports
from monai_cxr.bundle.model import CALIBRATION_NAME, BundleModel
from monai_cxr.bundle.verification import verify
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.reading.files import read_radiograph

EXPORTED = ("onnx", "openvino", "torchscript")
NOT_SERVED = {
    *("torch", "monai", "ignite", "sklearn", "filelock", "jinja2", "matplotlib", "sqlalchemy"),
    *("highdicom", "pynetdicom", "scipy.linalg", "scipy.spatial", "scipy.special", "scipy.stats"),
    *("monai_cxr.cli.train", "monai_cxr.cli.screen"),
}
"""What a process that only predicts by an export does not wait for."""


def contents(bundle):
    return {str(p.relative_to(bundle)): p.read_bytes() for p in bundle.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def films(phantom_index):
    paths = phantom_index.table["path"][:5]
    return [read_radiograph(path) for path in paths]


@pytest.fixture(scope="module")
def reference(exported_bundle):
    return BundleModel.load(exported_bundle, device="cpu", runtime="torch")


class TestExportedBundle:
    def test_verifies_and_is_the_same_model(self, exported_bundle, packaged_bundle):
        assert verify(exported_bundle).digest == verify(packaged_bundle).digest
        recorded = read_digests(exported_bundle)
        for name in ("model.ts", "model.onnx", "model.xml", "model.bin", "exports.json"):
            assert f"models/{name}" in recorded
        assert not list(exported_bundle.glob(".export-*"))

    def test_reports_parity(self, exported_bundle):
        exports = read_exports(exported_bundle)
        assert tuple(one.name for one in exports) == EXPORTED
        for one in exports:
            assert one.parity.films == "given"
            assert 0 <= one.parity.mean_probability_change <= one.parity.max_probability_change
            assert one.parity.max_logit_change < 1e-3
            assert one.parity.auroc_change == pytest.approx(0, abs=0.002)

    @pytest.mark.parametrize("runtime", EXPORTED)
    def test_says_what_torch_says(self, exported_bundle, reference, films, runtime):
        model = BundleModel.load(exported_bundle, device="cpu", runtime=runtime)
        assert model.identity.digest == reference.identity.digest
        assert model.identity.runtime.startswith(runtime.replace("onnx", "onnxruntime"))
        assert model.identity.runtime.endswith("-cpu-fp32")
        batch = np.stack([model.prepare(film) for film in films])
        ours, theirs = model.run(batch), reference.run(batch)
        np.testing.assert_allclose(ours.logits, theirs.logits, atol=1e-4)
        np.testing.assert_allclose(ours.embeddings, theirs.embeddings, atol=1e-4)
        np.testing.assert_allclose(ours.cam, theirs.cam, atol=1e-3)

    @pytest.mark.parametrize("runtime", ["onnx", "openvino"])
    def test_a_film_s_numbers_are_the_same_to_the_last_bit_in_every_batch(
        self, exported_bundle, films, runtime
    ):
        model = BundleModel.load(exported_bundle, device="cpu", runtime=runtime)
        batch = np.stack([model.prepare(film) for film in films])
        together = model.logits(batch)
        alone = np.concatenate([model.logits(batch[i : i + 1]) for i in range(len(batch))])
        backwards = model.logits(np.ascontiguousarray(batch[::-1]))[::-1]
        assert np.array_equal(together, alone)
        assert np.array_equal(together, backwards)

    def test_any_batch_size_in_other_programs(self, exported_bundle, reference, films):
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(str(exported_bundle / "models/model.onnx"))
        for n in (1, 3):
            batch = np.stack([reference.prepare(film) for film in films[:n]])
            logits, embedding, cam = session.run(["logits", "embedding", "cam"], {"image": batch})
            np.testing.assert_allclose(logits, reference.logits(batch), atol=1e-4)
            assert len(embedding) == len(cam) == n

    def test_the_mean_of_a_map_and_the_bias_are_the_logit(self, exported_bundle, reference, films):
        model = BundleModel.load(exported_bundle, device="cpu", runtime="onnx")
        output = model.run(np.stack([model.prepare(film) for film in films]))
        bias = reference.runtime.observed.head.bias.detach().numpy()
        np.testing.assert_allclose(output.cam.mean(axis=(2, 3)) + bias, output.logits, atol=1e-3)

    @pytest.mark.parametrize("engine", ["onnx", "openvino"])
    def test_is_served_without_torch_and_monai(
        self, exported_bundle, phantom_index, tmp_path, engine
    ):
        film = phantom_index.table["path"].iloc[0]
        code = (
            "import sys\nfrom monai_cxr import BundleModel, read_radiograph\n"
            f"model = BundleModel.load({str(exported_bundle)!r}, runtime={engine!r})\n"
            f"print(model.predict([read_radiograph({film!r})])[0]['Effusion'].probability)\n"
            f"print(sorted({NOT_SERVED | {'pandas', 'pyarrow.parquet'}} & set(sys.modules)))"
        )
        environment = {**os.environ, "MONAI_CXR_CACHE": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        probability, heavy = done.stdout.splitlines()
        assert 0 <= float(probability) <= 1
        assert heavy == "[]"

    def test_the_verb_imports_what_a_prediction_uses(
        self, exported_bundle, phantom_index, tmp_path
    ):
        film = phantom_index.table["path"].iloc[0]
        words = ["predict", str(exported_bundle), film, "--out", str(tmp_path / "out.csv")]
        words += ["--runtime", "onnx", "--workers", "0"]
        code = (
            "import sys\nfrom monai_cxr.cli import app\n"
            f"app({words!r}, standalone_mode=False)\n"
            f"print('HEAVY', sorted({NOT_SERVED} & set(sys.modules)))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert "HEAVY []" in done.stdout

    @pytest.mark.parametrize("runtime", ["onnx", "openvino"])
    def test_maps_of_a_film_are_torch_s(self, exported_bundle, reference, films, runtime):
        model = BundleModel.load(exported_bundle, device="cpu", runtime=runtime)
        ours, theirs = (saliency(one, films[0], ["Mass", "Edema"]) for one in (model, reference))
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
        with pytest.raises(SettingsError, match="needs the network in torch"):
            saliency(model, films[0], ["Mass"], "grad_cam")


class TestRefused:
    @pytest.fixture
    def bundle(self, packaged_bundle, tmp_path):
        return shutil.copytree(packaged_bundle, tmp_path / "copy")

    def test_one_that_differs_leaves_nothing(self, bundle, phantom_index, monkeypatch):
        monkeypatch.setattr(parity_module, "MAX_LOGIT_CHANGE", -1.0)
        before = contents(bundle)
        with pytest.raises(SettingsError, match="'onnx' is refused: a logit changes by"):
            export(bundle, "onnx", films=[phantom_index.path])
        assert contents(bundle) == before

    def test_without_calibration_the_plain_sigmoid_is_compared(self, bundle, phantom_index):
        (bundle / CALIBRATION_NAME).unlink()
        write_digests(bundle)
        made = export(bundle, "onnx", films=[phantom_index.path])
        assert 0 <= made.parity.mean_probability_change <= made.parity.max_probability_change < 1e-3

    @pytest.mark.parametrize(
        ("to", "precision", "says"),
        [
            ("tensorrt", "fp32", "Expected --to one of: torchscript, onnx, openvino"),
            ("onnx", "bf16", "Expected --precision one of: fp32, fp16, int8"),
            ("torchscript", "int8", "Expected --precision one of: fp32, bf16, fp16"),
            ("openvino", "fp8", "There is no openvino in 'fp8'"),
        ],
    )
    def test_what_no_engine_runs(self, to, precision, says):
        with pytest.raises(SettingsError, match=says):
            check_format(to, precision)

    def test_a_run_is_not_packaged(self, trained_run):
        with pytest.raises(InvalidBundle, match="not packaged"):
            export(trained_run, "onnx")

    def test_an_export_of_other_weights_is_not_served(self, exported_bundle, tmp_path):
        bundle = shutil.copytree(exported_bundle, tmp_path / "copy")
        path = bundle / "models" / "calibration.json"
        path.write_text(path.read_text() + "\n")
        write_digests(bundle)
        with pytest.raises(InvalidBundle, match="was made of another model"):
            BundleModel.load(bundle, runtime="onnx")

    def test_a_changed_export_is_noticed(self, exported_bundle, tmp_path):
        bundle = shutil.copytree(exported_bundle, tmp_path / "copy")
        path = bundle / "models" / "model.onnx"
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
        with pytest.raises(InvalidBundle, match=r"model\.onnx .*was changed"):
            BundleModel.load(bundle, runtime="onnx")

    @pytest.mark.parametrize(
        ("runtime", "file"), [("onnx", "model.onnx"), ("openvino", "model.xml"),
                              ("torchscript", "model.ts")]
    )  # fmt: skip
    def test_a_damaged_export_says_so(self, exported_bundle, tmp_path, runtime, file):
        bundle = shutil.copytree(exported_bundle, tmp_path / "copy")
        path = bundle / "models" / file
        path.write_bytes(path.read_bytes()[:1000])
        write_digests(bundle)
        with pytest.raises(InvalidBundle, match="damaged"):
            BundleModel.load(bundle, runtime=runtime)

    @pytest.mark.parametrize("text", ["{", "[]", '{"exports": [{}]}', '{"exports": 3}'])
    def test_a_damaged_list_says_so(self, packaged_bundle, tmp_path, text):
        bundle = shutil.copytree(packaged_bundle, tmp_path / "copy")
        (bundle / EXPORTS_NAME).write_text(text)
        write_digests(bundle)
        with pytest.raises(InvalidBundle, match="damaged"):
            BundleModel.load(bundle)

    def test_a_list_cannot_name_files_outside(self, exported_bundle, tmp_path):
        bundle = shutil.copytree(exported_bundle, tmp_path / "copy")
        content = json.loads((bundle / EXPORTS_NAME).read_text())
        content["exports"][0]["files"] = ["../../model.onnx"]
        (bundle / EXPORTS_NAME).write_text(json.dumps(content))
        write_digests(bundle)
        with pytest.raises(InvalidBundle, match="damaged"):
            BundleModel.load(bundle, runtime="onnx")


class TestInt8:
    def test_is_gated_and_served_under_a_digest_of_its_own(
        self, packaged_bundle, phantom_index, tmp_path, monkeypatch
    ):
        onnx = pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
        bundle = shutil.copytree(packaged_bundle, tmp_path / "copy")
        before = contents(bundle)
        monkeypatch.setattr(parity_module, "MAX_MEAN_PROBABILITY_CHANGE", 0.0)
        with pytest.raises(SettingsError, match=r"'onnx-int8' is refused: on \d+ films .*AUROC by"):
            export(bundle, "onnx", "int8", films=[phantom_index.path])
        assert contents(bundle) == before
        monkeypatch.setattr(parity_module, "MAX_MEAN_PROBABILITY_CHANGE", 1.1)
        monkeypatch.setattr(parity_module, "MAX_AUROC_CHANGE", 1.1)
        made = export(bundle, "onnx", "int8", films=[phantom_index.path])
        assert made.files == ("models/model_int8.onnx",)
        assert made.parity.max_probability_change > 0
        weights = onnx.load(bundle / made.files[0]).graph.initializer
        kinds = [one.data_type for one in weights if len(one.dims) == 4]
        assert kinds.count(onnx.TensorProto.INT8) > len(kinds) / 2
        plain = verify(bundle).digest
        assert plain == verify(packaged_bundle).digest
        served = BundleModel.load(bundle, runtime="onnx-int8").identity
        assert served.digest != plain
        assert served.runtime == "onnxruntime-cpu-int8"
        assert BundleModel.load(bundle).identity.runtime == "torch-cpu-fp32"  # auto: fp32 only
        assert (bundle / DIGESTS_NAME).is_file()


class Constant:
    """A runtime whose logits are its input's first pixel, shifted."""

    name, precision, batch_size = "constant", "fp32", 8

    def __init__(self, shift, n_findings=2):
        self.shift, self.n_findings = shift, n_findings

    def run(self, batch):
        first = batch[:, 0, 0, :1].astype(np.float64)
        return NetworkOutput(np.repeat(first, self.n_findings, axis=1) + self.shift)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


class TestParity:
    def test_by_hand(self):
        films = np.linspace(-1, 1, 20, dtype=np.float32).reshape(20, 1, 1, 1)
        labels = np.full((20, 2), np.nan)
        labels[:, 0] = np.arange(20) >= 10  # perfectly ranked; the second finding is unknown
        found = measure_parity(Constant(0.0), Constant(0.5), films, labels, sigmoid, source="given")
        logits = np.linspace(-1, 1, 20)
        change = sigmoid(logits + 0.5) - sigmoid(logits)
        assert found.n_films == 20
        assert found.max_logit_change == pytest.approx(0.5)
        assert found.max_probability_change == pytest.approx(change.max())
        assert found.mean_probability_change == pytest.approx(change.mean())
        assert found.macro_auroc == found.macro_auroc_export == 1.0
        assert found.n_findings == 1

    def test_the_auroc_s_change_counts_findings_alike(self):
        films = np.linspace(-1, 1, 20, dtype=np.float32).reshape(20, 1, 1, 1)
        labels = np.stack([np.arange(20) >= 10, np.arange(20) >= 15], axis=1).astype(float)
        upside_down = Constant(0.0)
        upside_down.run = lambda batch: NetworkOutput(-Constant(0.0).run(batch).logits)
        found = measure_parity(Constant(0.0), upside_down, films, labels, sigmoid, source="given")
        assert found.auroc_change == pytest.approx(1.0)

    @pytest.mark.parametrize(
        ("precision", "change", "auroc", "kept"),
        [
            ("int8", 0.0099, 0.9019, True),
            ("int8", 0.01, 0.9, False),
            ("int8", 0.001, 0.9021, False),
            ("int8", 0.001, 0.8979, False),
            ("int8", 0.001, None, False),
            ("int8", float("nan"), 0.9, False),
            ("fp16", 0.001, None, True),
            ("fp16", 0.02, None, False),
        ],
    )
    def test_limits(self, precision, change, auroc, kept):
        before = None if auroc is None else 0.9
        parity = Parity("given", 9, 1.0, 0.5, change, before, auroc, 3)
        if kept:
            require_parity(parity, precision, "x")
        else:
            with pytest.raises(SettingsError, match="refused"):
                require_parity(parity, precision, "x")

    @pytest.mark.parametrize(("change", "kept"), [(1e-4, True), (2e-3, False)])
    def test_fp32_is_held_to_its_logits(self, change, kept):
        parity = Parity("given", 9, change, 0.0, 0.0)
        if kept:
            require_parity(parity, "fp32", "x")
        else:
            with pytest.raises(SettingsError, match="a logit changes"):
                require_parity(parity, "fp32", "x")
