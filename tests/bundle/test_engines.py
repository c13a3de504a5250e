"""Engines: which one serves a bundle here."""

from __future__ import annotations

import pytest

from monai_cxr.bundle import engines
from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.engine_rates import cache_file, read_rates, remember_rates
from monai_cxr.bundle.engines import measure
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.runtime import RuntimeName
from monai_cxr.errors import InvalidBundle, SettingsError


@pytest.fixture
def digest(exported_bundle):
    return BundleModel.load(exported_bundle, device="cpu", runtime="onnx").identity.digest


class TestName:
    @pytest.mark.parametrize(
        "text", ["torch", "torch-bf16", "torch-compiled", "torch-bf16-compiled", "openvino-int8"]
    )
    def test_round_trip(self, text):
        assert str(RuntimeName.parse(text)) == text

    def test_fp32_is_left_out(self):
        assert str(RuntimeName.parse("onnx-fp32")) == "onnx"

    @pytest.mark.parametrize(
        "text", ["", "tensorrt", "onnx-int4", "onnx-compiled", "torch-", "Torch"]
    )
    def test_unknown(self, text):
        with pytest.raises(SettingsError, match="Unknown runtime"):
            RuntimeName.parse(text)


class TestAuto:
    @pytest.mark.parametrize("fastest", ["onnx", "openvino", "torch"])
    def test_takes_what_was_fastest_here(self, exported_bundle, digest, fastest):
        rates = dict.fromkeys(("onnx", "openvino", "torch"), 10.0) | {fastest: 20.0}
        remember_rates(digest, rates)
        runtime = BundleModel.load(exported_bundle, device="cpu").identity.runtime
        assert runtime.startswith(fastest)

    def test_measures_once_and_remembers(self, exported_bundle, digest, monkeypatch):
        assert read_rates(digest) == {}
        first = BundleModel.load(exported_bundle, device="cpu").identity.runtime
        assert set(read_rates(digest)) == {"onnx", "openvino"}

        def again(*_, **__):
            pytest.fail("It was measured before.")

        monkeypatch.setattr(engines, "measure", again)
        assert BundleModel.load(exported_bundle, device="cpu").identity.runtime == first

    def test_what_was_measured_of_another_model_does_not_count(self, digest):
        remember_rates("another", {"onnx": 1.0})
        assert read_rates(digest) == {}
        assert read_rates("another") == {"onnx": 1.0}

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 3}'])
    def test_a_damaged_memory_is_no_memory(self, digest, text):
        cache_file().write_text(text)
        assert read_rates(digest) == {}
        remember_rates(digest, {"onnx": 2.0})
        assert read_rates(digest) == {"onnx": 2.0}

    def test_where_nothing_can_be_written_nothing_is_kept(self, digest, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("MONAI_CXR_CACHE", str(tmp_path / "file"))
        remember_rates(digest, {"onnx": 2.0})
        assert read_rates(digest) == {}

    def test_without_exports_it_is_torch(self, packaged_bundle):
        assert BundleModel.load(packaged_bundle, device="cpu").runtime.name == "torch-cpu-fp32"


class TestMeasure:
    def test_gives_a_rate_an_engine(self, exported_bundle, digest):
        config = read_config(exported_bundle, "inference")
        names = [RuntimeName("onnx"), RuntimeName("openvino")]
        rates = measure(exported_bundle, config, digest, names, seconds=0.0)
        assert set(rates) == {"onnx", "openvino"}
        assert all(rate > 0 for rate in rates.values())


class TestRefused:
    def test_no_such_export(self, packaged_bundle):
        with pytest.raises(
            InvalidBundle, match=r"no export for runtime 'openvino'.*It has: torch\."
        ):
            BundleModel.load(packaged_bundle, runtime="openvino")

    def test_openvino_has_no_such_device(self, exported_bundle):
        with pytest.raises(SettingsError, match="no device 'npu9'"):
            BundleModel.load(exported_bundle, runtime="openvino", device="npu9")

    def test_onnx_runtime_has_no_such_provider(self, exported_bundle):
        with pytest.raises(SettingsError, match="no provider for device 'tpu'"):
            BundleModel.load(exported_bundle, runtime="onnx", device="tpu")

    def test_torch_has_no_int8(self, exported_bundle):
        with pytest.raises(SettingsError, match="Torch has no runtime in int8"):
            BundleModel.load(exported_bundle, runtime="torch-int8")


class TestTorchPrecision:
    def test_bf16_is_near_and_has_a_digest_of_its_own(self, packaged_bundle, phantom_index):
        import numpy as np

        from monai_cxr.files import read_radiograph

        films = [read_radiograph(path) for path in phantom_index.table["path"][:4]]
        exact = BundleModel.load(packaged_bundle, device="cpu")
        half = BundleModel.load(packaged_bundle, device="cpu", runtime="torch-bf16")
        assert half.identity.digest != exact.identity.digest
        assert half.identity.runtime == "torch-cpu-bf16"
        batch = np.stack([exact.prepare(film) for film in films])
        change = np.abs(half.probabilities(half.logits(batch))
                        - exact.probabilities(exact.logits(batch)))  # fmt: skip
        assert 0 < change.max() < 0.1
