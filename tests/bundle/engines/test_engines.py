"""Engines: which one serves a bundle here."""

from __future__ import annotations

import pytest

from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.engines import by_name as engines
from monai_cxr.bundle.engines import choice as engine_choice
from monai_cxr.bundle.engines import rates as engine_rates
from monai_cxr.bundle.engines.choice import half_pays, measure
from monai_cxr.bundle.engines.openvino_engine import OpenVinoRuntime, offers_bf16
from monai_cxr.bundle.engines.rates import Measured, cache_file, read_measured, remember
from monai_cxr.bundle.engines.runtime import RuntimeName
from monai_cxr.bundle.exports import Parity
from monai_cxr.bundle.model import BundleModel
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
    @pytest.fixture(autouse=True)
    def without_bf16(self, monkeypatch):
        """These hold on every processor."""
        monkeypatch.setattr(engine_choice, "offers_bf16", lambda: False)

    @pytest.mark.parametrize("fastest", ["onnx", "openvino", "torch"])
    def test_takes_what_was_fastest_here(self, exported_bundle, digest, fastest):
        rates = dict.fromkeys(("onnx", "openvino", "torch"), 10.0) | {fastest: 20.0}
        remember(digest, Measured(rates))
        runtime = BundleModel.load(exported_bundle, device="cpu").identity.runtime
        assert runtime.startswith(fastest)

    def test_measures_once_and_remembers(self, exported_bundle, digest, monkeypatch):
        assert read_measured(digest) == Measured({})
        first = BundleModel.load(exported_bundle, device="cpu").identity.runtime
        assert set(read_measured(digest).rates) == {"onnx", "openvino"}

        def again(*_, **__):
            pytest.fail("It was measured before.")

        monkeypatch.setattr(engine_choice, "measure", again)
        assert BundleModel.load(exported_bundle, device="cpu").identity.runtime == first

    def test_what_was_measured_of_another_model_does_not_count(self, digest):
        remember("another", Measured({"onnx": 1.0}))
        assert read_measured(digest) == Measured({})
        assert read_measured("another").rates == {"onnx": 1.0}

    def test_what_a_processor_of_the_same_name_did_does_not_count(self, digest, monkeypatch):
        flags = {"model name": "AMD EPYC", "flags": "avx2 avx512_bf16"}
        monkeypatch.setattr(engine_rates, "_cpuinfo", lambda name, *_: flags[name])
        remember(digest, Measured({"onnx": 2.0}))
        assert read_measured(digest).rates == {"onnx": 2.0}
        flags["flags"] = "avx2"
        assert read_measured(digest) == Measured({})

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": 3}'])
    def test_a_damaged_memory_is_no_memory(self, digest, text):
        cache_file().write_text(text)
        assert read_measured(digest) == Measured({})
        remember(digest, Measured({"onnx": 2.0}))
        assert read_measured(digest).rates == {"onnx": 2.0}

    def test_where_nothing_can_be_written_nothing_is_kept(self, digest, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("MONAI_CXR_CACHE", str(tmp_path / "file"))
        remember(digest, Measured({"onnx": 2.0}))
        assert read_measured(digest) == Measured({})

    def test_without_exports_it_is_torch(self, packaged_bundle):
        assert BundleModel.load(packaged_bundle, device="cpu").runtime.name == "torch-cpu-fp32"


class TestOnnxRuntimeDevice:
    @pytest.mark.parametrize("device", ["cuda", "tensorrt", "tensorrt:1", "cpu:x", "nowhere"])
    def test_without_a_provider(self, exported_bundle, device):
        with pytest.raises(SettingsError, match=f"no provider for device '{device}'"):
            BundleModel.load(exported_bundle, runtime="onnx", device=device)

    def test_tensorrt_is_a_device_of_onnx_runtime(self, exported_bundle):
        with pytest.raises(SettingsError, match="no provider for device 'tensorrt'"):
            BundleModel.load(exported_bundle, device="tensorrt")

    @pytest.mark.filterwarnings("ignore:Specified provider")
    @pytest.mark.parametrize("device", ["cuda:0", "tensorrt"])
    def test_a_provider_that_cannot_start_is_not_replaced_by_the_cpu(
        self, exported_bundle, device, monkeypatch
    ):
        onnxruntime = pytest.importorskip("onnxruntime")
        offered = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
        with pytest.raises(SettingsError, match=f"cannot use device '{device}'"):
            BundleModel.load(exported_bundle, runtime="onnx", device=device)


def near(largest=0.004, mean=0.0004):
    return Parity("phantom", 24, 0.1, largest, mean)


@pytest.fixture
def with_bf16(monkeypatch):
    """A processor that has bf16: OpenVINO opens it, in fp32, and calls it so."""

    class OpenVino(OpenVinoRuntime):
        def __init__(self, path, device="cpu", precision="fp32"):
            super().__init__(path, device, "fp32")
            self.precision, self.name = precision, f"openvino-{device}-{precision}"

    monkeypatch.setattr(engines, "OpenVinoRuntime", OpenVino)
    monkeypatch.setattr(engine_choice, "offers_bf16", lambda: True)


class TestBf16:
    @pytest.mark.parametrize(
        ("rate", "change", "pays"),
        [
            (26.0, near(), True),
            (25.9, near(), False),  # not 1.3 times as fast as the fastest in fp32
            (99.0, near(largest=0.021), False),
            (99.0, near(mean=0.0021), False),
            (99.0, near(largest=float("nan")), False),
            (99.0, None, False),
            (None, near(), False),
        ],
    )
    def test_pays_where_it_is_fast_and_near(self, rate, change, pays):
        rates = {"onnx": 20.0, "openvino": 10.0} | ({"openvino-bf16": rate} if rate else {})
        known = Measured(rates, {"openvino-bf16": change} if change else {})
        assert half_pays(known, "onnx") is pays

    def test_auto_measures_it_and_says_so(self, exported_bundle, digest, with_bf16, monkeypatch):
        rates = {"onnx": 10.0, "openvino": 10.0, "openvino-bf16": 40.0}
        monkeypatch.setattr(engine_choice, "measure", lambda *_, **__: rates)
        model = BundleModel.load(exported_bundle, device="cpu")
        assert model.identity.runtime == "openvino-cpu-bf16"
        assert model.identity.digest != digest  # results in bf16 are results of their own
        change = read_measured(digest).changes["openvino-bf16"]
        assert model.change == change
        assert change.n_films == 24
        assert change.max_probability_change == 0.0  # fp32 in truth, on this processor
        again = BundleModel.load(exported_bundle, device="cpu", runtime="openvino-bf16")
        assert again.identity == model.identity
        exact = BundleModel.load(exported_bundle, device="cpu", runtime="openvino")
        assert exact.identity.digest == digest
        assert exact.change is None

    @pytest.mark.parametrize(
        ("rate", "change"), [(11.0, near()), (40.0, near(largest=0.3)), (40.0, near(mean=0.01))]
    )
    def test_auto_stays_with_fp32(self, exported_bundle, digest, with_bf16, rate, change):
        rates = {"onnx": 9.0, "openvino": 10.0, "openvino-bf16": rate}
        remember(digest, Measured(rates, {"openvino-bf16": change}))
        model = BundleModel.load(exported_bundle, device="cpu")
        assert model.identity.runtime == "openvino-cpu-fp32"
        assert model.identity.digest == digest

    def test_by_name_it_is_refused_where_it_changes_too_much(
        self, exported_bundle, digest, with_bf16
    ):
        remember(digest, Measured({}, {"openvino-bf16": near(mean=0.02)}))
        with pytest.raises(SettingsError, match=r"the mean probability changes by 0\.0200"):
            BundleModel.load(exported_bundle, device="cpu", runtime="openvino-bf16")

    def test_by_name_it_is_refused_where_the_processor_lacks_it(self, exported_bundle):
        if offers_bf16():
            pytest.skip("This processor has bf16.")
        with pytest.raises(SettingsError, match="does not compute in bf16"):
            BundleModel.load(exported_bundle, device="cpu", runtime="openvino-bf16")

    def test_on_a_processor_that_has_it(self, exported_bundle, digest):
        if not offers_bf16():
            pytest.skip("This processor has no bf16.")
        model = BundleModel.load(exported_bundle, device="cpu", runtime="openvino-bf16")
        assert model.identity.digest != digest
        assert 0 < model.change.mean_probability_change < 0.01


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

        from monai_cxr.reading.files import read_radiograph

        films = [read_radiograph(path) for path in phantom_index.table["path"][:4]]
        exact = BundleModel.load(packaged_bundle, device="cpu")
        half = BundleModel.load(packaged_bundle, device="cpu", runtime="torch-bf16")
        assert half.identity.digest != exact.identity.digest
        assert half.identity.runtime == "torch-cpu-bf16"
        batch = np.stack([exact.prepare(film) for film in films])
        change = np.abs(half.probabilities(half.logits(batch))
                        - exact.probabilities(exact.logits(batch)))  # fmt: skip
        assert 0 < change.max() < 0.1
