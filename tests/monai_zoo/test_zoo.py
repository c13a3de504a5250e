"""Bundles: the checks of MONAI's model zoo, by MONAI's own functions, for every bundle here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_peers import free_port
from ignite.distributed import utils as ignite_state
from zoo import BUNDLES, MARKS, SMALL, config_file

from monai_cxr.bundle.config import (
    CONFIG_NAMES,
    check_targets,
    copy_bundle,
    find_bundle,
    read_config,
    write_config,
)
from monai_cxr.errors import InvalidBundle

SCHEMA = Path(__file__).parents[1] / "schemas" / "meta_schema_20240725.json"
pytestmark = MARKS


def workflow(bundle: Path, *names: str, kind: str, **override):
    from monai.bundle import ConfigWorkflow

    return ConfigWorkflow(
        config_file=config_file(bundle, *names),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type=kind,
        bundle_root=str(bundle),
        **override,
    )


def test_bundles_train_alike_but_for_their_network_and_its_habits(source):
    config = read_config(source, "train")
    first = read_config(find_bundle("chest_xray_classification"), "train")
    differing = {key for key in {*first, *config} if first.get(key) != config.get(key)}
    assert differing <= {"network_def", "resize", "learning_rate"}


class TestFiles:
    def test_metadata_and_licence(self, source):
        assert (source / "configs" / "metadata.json").is_file()
        assert (source / "LICENSE").is_file()

    def test_weights_and_inference(self, bundle):
        assert (bundle / "models" / "model.pt").is_file()
        assert (bundle / "configs" / "inference.json").is_file()

    def test_the_version_is_in_the_changelog(self, source):
        metadata = read_config(source, "metadata")
        assert metadata["version"] in metadata["changelog"]

    def test_there_is_no_python_and_no_large_file(self, source):
        for path in source.rglob("*"):
            assert path.suffix not in (".py", ".pyc", ".so", ".ipynb")
            assert not path.is_file() or path.stat().st_size < 25e6

    def test_configs_name_no_place(self, source):
        for path in (source / "configs").iterdir():
            text = path.read_text()
            assert "/home" not in text
            assert "C:\\" not in text


class TestMetadata:
    def verify(self, bundle, tmp_path) -> None:
        from monai.bundle import verify_metadata

        # A schema that is in place is not downloaded, as in the zoo's own checks.
        schema = tmp_path / "eval" / "schema.json"
        schema.parent.mkdir()
        shutil.copy(SCHEMA, schema)
        verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(schema))

    def test_fits_the_schema(self, source, tmp_path):
        assert read_config(source, "metadata")["schema"].endswith(SCHEMA.name)
        self.verify(source, tmp_path)

    @pytest.mark.parametrize(
        "change",
        [
            {"schema": None, "authors": 3},
            {"authors": None},
            {"network_data_format": {"inputs": {}}},
            {"network_data_format": {"inputs": {"image": {"type": "image"}}, "outputs": {}}},
            {"supported_apps": ["monai-label"]},
            {"references": [1]},
            {"extra_data_format": {}},
        ],
    )
    def test_the_schema_tells_mistakes(self, bundle, tmp_path, change):
        broken = tmp_path / "broken"
        copy_bundle(bundle, broken, {})
        metadata = read_config(broken, "metadata") | change
        metadata["schema"] = read_config(broken, "metadata")["schema"]
        write_config(broken, "metadata", {k: v for k, v in metadata.items() if v is not None})
        with pytest.raises(ValueError, match="Failed validating"):
            self.verify(broken, tmp_path)

    def test_the_network_gives_what_it_says(self, bundle):
        from monai.bundle import verify_net_in_out

        verify_net_in_out(
            net_id="network_def",
            meta_file=str(bundle / "configs" / "metadata.json"),
            config_file=config_file(bundle, "inference"),
            device="cpu",
        )


class TestSameFacts:
    def test_training_and_inference_say_the_same(self, source):
        train, inference = read_config(source, "train"), read_config(source, "inference")
        for name in ("image_size", "resize", "findings", "network_def"):
            assert train[name] == inference[name]
        assert train["train"]["preprocessing"] == inference["preprocessing"]
        assert train["validate"]["preprocessing"] == "%train::preprocessing"

    def test_metadata_say_the_same(self, source):
        config, metadata = read_config(source, "inference"), read_config(source, "metadata")
        image = metadata["network_data_format"]["inputs"]["image"]
        output = metadata["network_data_format"]["outputs"]["pred"]
        assert image["spatial_shape"] == [config["image_size"]] * 2
        assert image["resize"] == config["resize"]
        assert image["num_channels"] == config["network_def"]["in_channels"]
        assert config["network_def"]["out_channels"] == "$len(@findings)"
        assert output["num_channels"] == len(config["findings"])
        assert list(output["channel_def"].values()) == config["findings"]
        assert list(output["channel_def"]) == [str(i) for i in range(len(config["findings"]))]


class TestClasses:
    def test_are_all_allowed(self, source):
        for name in CONFIG_NAMES:
            check_targets(read_config(source, name), name)

    @pytest.mark.parametrize("target", ["DenseNet122", "subprocess.run"])
    def test_others_are_refused_by_name(self, source, target):
        config = read_config(source, "train")
        config["train"]["loss"]["_target_"] = target
        with pytest.raises(InvalidBundle, match=target):
            check_targets(config, "configs/train.json")


class TestProperties:
    """What MONAI's check_properties misses in each workflow: nothing."""

    def check(self, workflow) -> None:
        workflow.initialize()
        try:
            assert not workflow.check_properties()
        finally:
            workflow.finalize()

    def test_train(self, bundle, phantom_index):
        self.check(workflow(bundle, "train", kind="train", index=str(phantom_index.path), **SMALL))

    def test_train_and_evaluate(self, bundle, phantom_index):
        configs = ("train", "evaluate")
        options = {"kind": "train", "index": str(phantom_index.path), **SMALL}
        self.check(workflow(bundle, *configs, **options))

    def test_inference(self, bundle, phantom_index):
        self.check(
            workflow(bundle, "inference", kind="infer", dataset_dir=str(phantom_index.films))
        )

    def test_multi_gpu_train(self, bundle, phantom_index, monkeypatch):
        rank = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_PORT": free_port()}
        for name, value in {**rank, "MASTER_ADDR": "127.0.0.1"}.items():
            monkeypatch.setenv(name, str(value))
        configs = ("train", "multi_gpu_train")
        options = {"kind": "train", "index": str(phantom_index.path), **SMALL}
        try:
            self.check(workflow(bundle, *configs, **options))
        finally:  # ignite remembers the group that the config destroyed
            ignite_state._set_model(ignite_state._SerialModel())


class TestExport:
    def films(self, bundle, n: int) -> torch.Tensor:
        size = read_config(bundle, "inference")["image_size"]
        return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(n))

    @pytest.fixture
    def export(self, bundle):
        return {
            "net_id": "network_def",
            "ckpt_file": str(bundle / "models" / "model.pt"),
            "meta_file": str(bundle / "configs" / "metadata.json"),
            "config_file": config_file(bundle, "inference"),
        }

    def test_torchscript(self, bundle, network, export, tmp_path):
        from monai.bundle import ckpt_export

        ckpt_export(filepath=str(tmp_path / "model.ts"), **export)
        exported = torch.jit.load(tmp_path / "model.ts")
        films = self.films(bundle, 2)
        with torch.no_grad():
            torch.testing.assert_close(exported(films), network(films), atol=1e-4, rtol=1e-4)

    @pytest.mark.slow
    def test_onnx_with_any_number_of_films(self, source, bundle, network, export, tmp_path):
        if source != BUNDLES[0]:
            pytest.skip("Its network is the first bundle's with another scale of its input.")
        onnxruntime = pytest.importorskip("onnxruntime")
        from monai.bundle import onnx_export

        names = {"input_names": ["image"], "output_names": ["pred"]}
        axes = {"dynamic_axes": {"image": {0: "batch"}, "pred": {0: "batch"}}}
        path = tmp_path / "model.onnx"
        onnx_export(filepath=str(path), converter_kwargs=names | axes, **export)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for n in (1, 4):
            films = self.films(bundle, n)
            (pred,) = session.run(None, {"image": films.numpy()})
            with torch.no_grad():
                np.testing.assert_allclose(pred, network(films).numpy(), atol=1e-4, rtol=1e-4)
