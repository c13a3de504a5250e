"""Presets: read by name, and settings that stand for several config ids."""

from __future__ import annotations

import json

import pytest

from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config
from monai_cxr.bundle.engines.torch_engine import build_network
from monai_cxr.bundle.presets import expand_settings, read_preset
from monai_cxr.errors import SettingsError

SOURCE = find_bundle("chest_xray_classification")
CONFIG = read_config(SOURCE, "train")
PRESETS = sorted(path.stem for path in (SOURCE / "presets").glob("*.json"))


def expand(**settings):
    return expand_settings(settings, CONFIG)


class TestPresets:
    @pytest.mark.parametrize("name", PRESETS)
    def test_every_preset_makes_a_network(self, name, tmp_path):
        settings = expand(**read_preset(SOURCE, name))
        copy_bundle(SOURCE, tmp_path / "copy", settings)
        config = read_config(tmp_path / "copy", "inference")
        assert config["network_def"] == read_config(tmp_path / "copy", "train")["network_def"]
        build_network(config)

    def test_there_are_the_named_ones(self):
        assert {"chexnet", "pneumonia", "pneumoniamnist", "release"} <= set(PRESETS)

    def test_a_file_will_do(self, tmp_path):
        (tmp_path / "mine.json").write_text(json.dumps({"_desc_": "x", "image_size": 64}))
        assert read_preset(SOURCE, str(tmp_path / "mine.json")) == {"image_size": 64}

    @pytest.mark.parametrize("text", ["[1]", "{", "3"])
    def test_a_file_of_something_else(self, tmp_path, text):
        (tmp_path / "mine.json").write_text(text)
        with pytest.raises(SettingsError, match="is not"):
            read_preset(SOURCE, str(tmp_path / "mine.json"))

    def test_an_unknown_name_tells_the_known(self):
        with pytest.raises(SettingsError, match=r"no preset 'relese'.*release"):
            read_preset(SOURCE, "relese")


class TestExpansion:
    def test_nothing_changes_nothing(self):
        assert expand(image_size=96) == {"image_size": 96}

    def test_findings_change_the_outputs(self):
        result = expand(findings=["Mass", "Hernia"])
        assert "network_def" not in result  # it refers to them
        config = {"findings": result["findings"], "network_def": CONFIG["network_def"]}
        assert build_network(config).class_layers.out.out_features == 2

    def test_findings_by_commas(self):
        assert expand(findings="Mass, Hernia")["findings"] == ["Mass", "Hernia"]

    def test_an_architecture_follows_the_size(self):
        definition = expand(architecture="vit_small", image_size=96)["network_def"]
        assert (definition["name"], definition["image_size"]) == ("vit_small", 96)

    def test_classes_are_trained_by_softmax(self):
        result = expand(task="multi_class", findings=["A", "B"])
        assert result["loss"] == "softmax"
        assert result["network_def"]["exclusive"] is True
        assert result["network_def"]["name"] == "densenet121"

    def test_metadata_follow(self, tmp_path):
        copy_bundle(SOURCE, tmp_path / "copy", expand(findings=["Mass"]))
        pred = read_config(tmp_path / "copy", "metadata")["network_data_format"]["outputs"]["pred"]
        assert (pred["num_channels"], pred["channel_def"]) == (1, {"0": "Mass"})

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"findings": []}, "distinct names"),
            ({"findings": ["A", "A"]}, "distinct names"),
            ({"findings": [3]}, "distinct names"),
            ({"task": "regression"}, "but got 'regression'"),
            ({"task": "multi_class", "loss": "bce"}, "loss=softmax"),
            ({"loss": "softmax"}, "task=multi_class"),
        ],
    )
    def test_what_does_not_fit(self, settings, message):
        with pytest.raises(SettingsError, match=message):
            expand(**settings)
