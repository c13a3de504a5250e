"""Config: bundles by name, the classes a config may name, settings written into copies."""

from __future__ import annotations

import json
import shutil

import pytest

from monai_cxr.bundle.config import (
    CONFIG_NAMES,
    check_targets,
    copy_bundle,
    find_bundle,
    parse_setting,
    read_config,
    targets,
    write_config,
)
from monai_cxr.errors import InvalidBundle, SettingsError

BUNDLE = "chest_xray_classification"


@pytest.fixture
def bundle(tmp_path):
    return shutil.copytree(find_bundle(BUNDLE), tmp_path / BUNDLE)


class TestFind:
    def test_by_name_and_by_path(self, bundle):
        assert find_bundle(BUNDLE).name == BUNDLE
        assert find_bundle(bundle) == find_bundle(str(bundle)) == bundle.resolve()

    def test_a_folder_here_goes_before_one_that_ships(self, bundle, monkeypatch):
        monkeypatch.chdir(bundle.parent)
        assert find_bundle(BUNDLE) == bundle.resolve()

    @pytest.mark.parametrize("name", ["no_such_bundle", "configs", "/"])
    def test_none(self, name):
        with pytest.raises(InvalidBundle, match="is not a bundle"):
            find_bundle(name)


class TestRead:
    def test_what_was_written(self, bundle):
        write_config(bundle, "train", {"a": "é", "b": [1, None]})
        assert read_config(bundle, "train") == {"a": "é", "b": [1, None]}

    def test_absent(self, bundle):
        with pytest.raises(InvalidBundle, match=r"lacks configs/calibrate\.json"):
            read_config(bundle, "calibrate")

    @pytest.mark.parametrize(("text", "says"), [("{", "not JSON"), ("[1]", "not a JSON object")])
    def test_damaged(self, bundle, text, says):
        (bundle / "configs" / "train.json").write_text(text)
        with pytest.raises(InvalidBundle, match=f"configs/train.json .*{says}"):
            read_config(bundle, "train")


class TestTargets:
    def test_are_found_at_every_depth(self):
        config = {"a": [{"_target_": "X", "b": {"_target_": "Y"}}], "_target_": 3}
        assert list(targets(config)) == ["X", "Y"]

    @pytest.mark.parametrize(
        "name",
        [
            "DenseNet121",
            "monai.networks.nets.DenseNet121",
            "monai.transforms.Compose",
            "torch.optim.AdamW",
            "torch.optim.lr_scheduler.OneCycleLR",
            "torch.nn.parallel.DistributedDataParallel",
            "torch.utils.data.DataLoader",
            "torchvision.models.densenet121",
            "ignite.metrics.EpochMetric",
            "monai_cxr.training.losses.FindingLoss",
        ],
    )
    def test_allowed(self, name):
        check_targets({"a": {"_target_": name}}, "train.json")

    @pytest.mark.parametrize(
        "name",
        [
            "os.system",
            "subprocess.run",
            "builtins.eval",
            "torch.load",
            "torch.hub.load",
            "$__import__('os').system",
            "monai_cxr_evil.bundle.Model",
            # What an allowed module imports is no part of it.
            "monai_cxr.bundle.config.shutil.rmtree",
            "monai_cxr.training.run.workflow.subprocess.run",
            "torch.utils.data.dataloader.os.system",
            "monai_cxr.bundle.engines.torch_engine.torch.load",
        ],
    )
    def test_forbidden(self, name):
        with pytest.raises(InvalidBundle, match=r"train\.json names .*outside the allowed modules"):
            check_targets({"a": {"_target_": name}}, "train.json")

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("DenseNet122", "which MONAI does not have"),
            ("$print", "which MONAI does not have"),
            ("", "which MONAI does not have"),
            ("monai.networks.nets.DenseNet122", "does not exist"),
            ("monai.no_such_module.Thing", "does not exist"),
            ("torch.nn.functional", "does not exist"),
            ("monai_cxr.bundle.config.ALLOWED_PREFIXES", "does not exist"),
        ],
    )
    def test_unknown(self, name, says):
        with pytest.raises(InvalidBundle, match=says):
            check_targets({"a": {"_target_": name}}, "train.json")


class TestCopy:
    def test_without_settings_says_the_same(self, bundle, tmp_path):
        copy_bundle(bundle, tmp_path / "copy", {})
        for name in CONFIG_NAMES:
            assert read_config(tmp_path / "copy", name) == read_config(bundle, name)
        assert (tmp_path / "copy" / "LICENSE").read_bytes() == (bundle / "LICENSE").read_bytes()

    def copied(self, bundle, tmp_path, **settings):
        copy_bundle(bundle, tmp_path / "copy", settings)
        return {name: read_config(tmp_path / "copy", name) for name in CONFIG_NAMES}

    def test_a_setting_changes_every_config_that_has_it(self, bundle, tmp_path):
        configs = self.copied(bundle, tmp_path, resize="pad", image_size=64)
        for name in ("train", "inference"):
            assert configs[name]["resize"] == "pad"
            assert configs[name]["image_size"] == 64
        image = configs["metadata"]["network_data_format"]["inputs"]["image"]
        assert (image["spatial_shape"], image["resize"]) == ([64, 64], "pad")

    @pytest.mark.parametrize("separator", ["::", "#"])
    def test_inside(self, bundle, tmp_path, separator):
        key = separator.join(("train", "preprocessing", "transforms", "1", "size"))
        train = self.copied(bundle, tmp_path, **{key: 7})["train"]
        assert train["train"]["preprocessing"]["transforms"][1]["size"] == 7

    def test_a_further_argument_of_a_class(self, bundle, tmp_path):
        key = "train::loss::label_smoothness"
        assert self.copied(bundle, tmp_path, **{key: 1})["train"]["train"]["loss"][
            "label_smoothness"
        ]
        key = "optimizer::eps"
        assert self.copied(bundle, tmp_path, **{key: 1e-7})["train"]["optimizer"]["eps"] == 1e-7

    def test_a_whole_part(self, bundle, tmp_path):
        loss = {"_target_": "FocalLoss"}
        assert self.copied(bundle, tmp_path, **{"train::loss": loss})["train"]["train"]["loss"] == (
            loss
        )

    @pytest.mark.parametrize(
        "key",
        [
            "image_sise",
            "train::no_such_part::size",
            "train::no_such_part",
            "train::preprocessing::transforms::9::size",
            "train::preprocessing::transforms::²",
            "image_size::more",
            "version",
            "_target_::x",
        ],
    )
    def test_unknown_settings(self, bundle, tmp_path, key):
        with pytest.raises(SettingsError, match="No config of this bundle"):
            self.copied(bundle, tmp_path, **{key: 1})
        assert not (tmp_path / "copy").exists()

    def test_an_unknown_setting_names_its_neighbour(self, bundle, tmp_path):
        with pytest.raises(SettingsError, match="Did you mean image_size"):
            copy_bundle(bundle, tmp_path / "copy", {"image_sise": 64})

    def test_a_forbidden_class_leaves_nothing(self, bundle, tmp_path):
        with pytest.raises(InvalidBundle, match=r"train\.json names the class 'os\.system'"):
            copy_bundle(bundle, tmp_path / "copy", {"network_def::_target_": "os.system"})
        assert not (tmp_path / "copy").exists()

    def test_not_onto_itself(self, bundle):
        with pytest.raises(SettingsError, match="is the bundle itself"):
            copy_bundle(bundle, bundle, {})


class TestParseSetting:
    @pytest.mark.parametrize(
        ("text", "parsed"),
        [
            ("image_size=96", ("image_size", 96)),
            ("weighting=chexnet", ("weighting", "chexnet")),
            ("amp=false", ("amp", False)),
            ("initial_weights=a=b.pt", ("initial_weights", "a=b.pt")),
            ("initial_weights=", ("initial_weights", "")),
            ('train::loss={"_target_": "FocalLoss"}', ("train::loss", {"_target_": "FocalLoss"})),
        ],
    )
    def test_values(self, text, parsed):
        assert parse_setting(text) == parsed

    @pytest.mark.parametrize("text", ["image_size", "=3", ""])
    def test_no_setting(self, text):
        with pytest.raises(SettingsError, match="Expected key=value"):
            parse_setting(text)

    def test_is_json(self):
        assert parse_setting("a=" + json.dumps([1, "x"])) == ("a", [1, "x"])
