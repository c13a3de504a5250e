"""Packaging: a run becomes a bundle that verifies; nothing else is overwritten."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from monai_cxr.bundle.config import copy_bundle, find_bundle, read_config, write_config
from monai_cxr.bundle.digests import write_digests
from monai_cxr.bundle.model import BundleModel, rules_of
from monai_cxr.bundle.packaging import describe, package
from monai_cxr.bundle.presets import expand_settings
from monai_cxr.bundle.verification import verify
from monai_cxr.errors import InvalidBundle, NotCalibrated, SettingsError
from monai_cxr.evaluation.calibration.calibrator import (
    read_calibrator,
    training_weights_calibrator,
    write_calibrator,
)
from monai_cxr.evaluation.decisions.decision_rules import choose_rules, write_rules
from monai_cxr.evaluation.performance import evaluate
from monai_cxr.evaluation.predictions.prediction_set import load_predictions
from monai_cxr.findings import FINDING_NAMES


@pytest.fixture
def bundle(packaged_bundle, tmp_path):
    return shutil.copytree(packaged_bundle, tmp_path / "bundle")


@pytest.fixture(scope="module")
def predictions(trained_run, phantom_index, tmp_path_factory):
    """The run's predictions of its val split, so that each package is quick."""
    from monai_cxr.bundle.inference import predict_table
    from monai_cxr.tables import write_table

    path = tmp_path_factory.mktemp("predictions") / "val.parquet"
    write_table(predict_table(BundleModel.load(trained_run), phantom_index.rows("val")), path)
    return path


def files(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class TestPackage:
    def test_verifies_and_says_what_it_is(self, packaged_bundle):
        verified = verify(packaged_bundle)
        assert verified.name == packaged_bundle.name
        assert verified.version == read_config(packaged_bundle, "metadata")["version"]
        assert verified.findings == FINDING_NAMES
        assert set(verified.methods) == set(FINDING_NAMES)
        assert verified.digest == BundleModel.load(packaged_bundle).identity.digest

    def test_holds_weights_calibration_points_and_papers(self, packaged_bundle, trained_run):
        present = files(packaged_bundle)
        for name in ("LICENSE", "configs/logging.conf", "models/training.json", "digests.json"):
            assert name in present
        assert present["models/model.pt"] == (trained_run / "models" / "model.pt").read_bytes()
        calibrator = read_calibrator(packaged_bundle / "models" / "calibration.json")
        assert calibrator.provenance.split == "val"
        points = rules_of(packaged_bundle).points
        assert {point.finding for point in points} <= set(FINDING_NAMES)
        assert points

    def test_metadata_name_the_facts(self, packaged_bundle):
        metadata = read_config(packaged_bundle, "metadata")
        assert metadata["preprocessing"] == {"image_size": 32, "resize": "stretch"}
        for name in ("calibration", "operating_points", "training"):
            assert (packaged_bundle / metadata[name]).is_file()

    def test_names_no_patient_and_no_place(self, packaged_bundle, phantom_index, trained_run):
        patients = set(phantom_index.table["patient_id"])
        for name, data in files(packaged_bundle).items():
            if not name.endswith(".pt"):
                text = data.decode()
                assert str(trained_run.parent) not in text
                assert not any(patient in text for patient in patients), name

    def test_again_gives_the_same_bytes(self, trained_run, bundle, predictions, tmp_path):
        package(trained_run, tmp_path / "one", predictions=predictions)
        package(trained_run, tmp_path / "two", predictions=predictions)
        assert files(tmp_path / "one") == files(tmp_path / "two") == files(bundle)

    def test_replaces_a_bundle_and_leaves_no_rests(self, trained_run, bundle, predictions):
        verified = package(trained_run, bundle, predictions=predictions, criterion="youden")
        assert verified.name == "bundle"
        points = rules_of(bundle).points
        assert {point.criterion for point in points} == {"youden"}
        assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]

    def test_with_a_given_calibration(self, trained_run, predictions, tmp_path):
        given = training_weights_calibrator(dict.fromkeys(FINDING_NAMES, 2.0))
        write_calibrator(given, tmp_path / "calibration.json")
        out = tmp_path / "deep" / "bundle"
        out.parent.mkdir()
        package(
            trained_run, out, calibration=tmp_path / "calibration.json", predictions=predictions
        )
        assert read_calibrator(out / "models" / "calibration.json").to_json() == given.to_json()

    def test_rules_carry_the_patients_that_chose_them(self, packaged_bundle, predictions):
        rules = rules_of(packaged_bundle)
        assert [rule.finding for rule in rules.conformal] == list(FINDING_NAMES)
        assert {rule.alpha for rule in rules.conformal} == {0.1}
        calibrator = read_calibrator(packaged_bundle / "models" / "calibration.json")
        data = calibrator.apply_to(load_predictions(predictions))
        again = evaluate(data, rules=rules, n_bootstrap=0, subgroups=False)
        assert any("also chose the operating points" in text for text in again.warnings)

    def test_carries_a_file_of_thresholds_whole(self, trained_run, predictions, tmp_path):
        given = choose_rules(load_predictions(predictions), "youden", alpha=0.3, n_bootstrap=0)
        write_rules(given, tmp_path / "rules.json")
        out = tmp_path / "bundle"
        package(trained_run, out, predictions=predictions, rules=tmp_path / "rules.json")
        assert rules_of(out).to_json() == given.to_json()

    def test_without_conformal_rules(self, trained_run, predictions, tmp_path):
        package(trained_run, tmp_path / "bundle", predictions=predictions, alpha=None)
        assert rules_of(tmp_path / "bundle").conformal == ()


class TestRefused:
    def test_a_folder_of_something_else(self, trained_run, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(SettingsError, match="not replaced"):
            package(trained_run, tmp_path)
        assert files(tmp_path) == {"thesis.txt": b"years of work"}

    def test_a_file(self, trained_run, tmp_path):
        (tmp_path / "out").write_text("x")
        with pytest.raises(SettingsError, match="'out' is not a bundle"):
            package(trained_run, tmp_path / "out")

    def test_what_is_no_run(self, packaged_bundle, tmp_path):
        with pytest.raises(InvalidBundle, match="is not a trained run"):
            package(packaged_bundle, tmp_path / "out")

    def test_a_calibration_that_lacks_a_finding(self, trained_run, bundle, predictions, tmp_path):
        before = files(bundle)
        short = training_weights_calibrator(dict.fromkeys(FINDING_NAMES[:13], 2.0))
        write_calibrator(short, tmp_path / "calibration.json")
        with pytest.raises(NotCalibrated, match="Hernia"):
            package(
                trained_run,
                bundle,
                calibration=tmp_path / "calibration.json",
                predictions=predictions,
            )
        assert files(bundle) == before  # the bundle that worked still does
        assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "calibration.json"]

    def test_weights_of_another_network(self, trained_run, bundle, predictions, tmp_path):
        run, before = shutil.copytree(trained_run, tmp_path / "run"), files(bundle)
        config = read_config(run, "inference")
        config["network_def"]["out_channels"] = 13
        write_config(run, "inference", config)
        with pytest.raises(InvalidBundle, match="another network"):
            package(run, bundle, predictions=predictions)
        assert files(bundle) == before


class TestVerify:
    def test_a_config_that_names_a_forbidden_class(self, bundle):
        config = read_config(bundle, "multi_gpu_train")
        config["network"]["_target_"] = "os.system"
        write_config(bundle, "multi_gpu_train", config)
        write_digests(bundle)
        with pytest.raises(InvalidBundle, match=r"multi_gpu_train\.json names .*'os\.system'"):
            verify(bundle)

    def test_no_calibration(self, bundle):
        (bundle / "models" / "calibration.json").unlink()
        write_digests(bundle)
        with pytest.raises(InvalidBundle, match=r"has no models/calibration\.json"):
            verify(bundle)

    @pytest.mark.parametrize("shape", [[224, 224], None])
    def test_metadata_of_another_size(self, bundle, shape):
        metadata = read_config(bundle, "metadata")
        metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] = shape
        write_config(bundle, "metadata", metadata)
        write_digests(bundle)
        with pytest.raises(InvalidBundle, match=r"inference\.json of 32 px"):
            verify(bundle)

    def test_metadata_without_a_format(self, bundle):
        write_config(bundle, "metadata", {"version": "1"})
        write_digests(bundle)
        with pytest.raises(InvalidBundle, match=r"inference\.json of 32 px"):
            verify(bundle)

    def test_a_network_that_gives_no_numbers(self, bundle):
        import torch

        state = torch.load(bundle / "models" / "model.pt", weights_only=True)
        state["class_layers.out.bias"].fill_(float("nan"))
        torch.save(state, bundle / "models" / "model.pt")
        write_digests(bundle)
        with pytest.raises(InvalidBundle, match="finite logit"):
            verify(bundle)

    def test_a_run_is_not_a_package(self, trained_run):
        with pytest.raises(InvalidBundle, match="not packaged"):
            verify(trained_run)

    def test_digests_are_json(self, packaged_bundle):
        content = json.loads((packaged_bundle / "digests.json").read_text())
        assert content["algorithm"] == "sha256"


class TestDescription:
    @pytest.mark.parametrize(
        ("settings", "task", "pred"),
        [
            (
                {"findings": ["Effusion", "COVID", "Fracture"], "architecture": "small_resnet"},
                "Classification of 3 findings on frontal chest radiographs",
                "3 calibrated probabilities, not exclusive",
            ),
            (
                {"findings": ["A", "B"], "task": "multi_class"},
                "Classification of 2 classes on frontal chest radiographs",
                "2 calibrated probabilities, exclusive",
            ),
            (
                {"findings": ["Hernia"]},
                "Classification of 1 finding on frontal chest radiographs",
                "1 calibrated probability, not exclusive",
            ),
        ],
    )
    def test_metadata_says_fourteen(self, tmp_path, settings, task, pred):
        """What is said of findings and network follows from the settings, in both papers."""
        source = find_bundle("chest_xray_classification")
        expanded = expand_settings(settings, read_config(source, "train"))
        copy_bundle(source, tmp_path / "bundle", expanded)
        describe(tmp_path / "bundle")
        metadata = read_config(tmp_path / "bundle", "metadata")
        assert metadata["task"] == task
        assert metadata["pred_classes"] == pred
        assert all(name in metadata["description"] for name in settings["findings"])
        readme = (tmp_path / "bundle" / "docs" / "README.md").read_text(encoding="utf-8")
        said = f"{metadata | {'changelog': {}}} {readme}"
        assert not re.search(r"14 (findings|logits|calibrated|probabilities)", said)
        assert ("DenseNet" in metadata["description"]) == ("architecture" not in settings)
        assert f"`pred`: {pred}, float32" in readme

    def test_versions_are_those_installed(self, packaged_bundle):
        metadata = read_config(packaged_bundle, "metadata")
        assert metadata["pytorch_version"] == torch.__version__.partition("+")[0]
        assert metadata["monai_version"] == importlib.metadata.version("monai")
        assert "14 findings of NIH" in metadata["task"]


@pytest.mark.filterwarnings("ignore")
def test_plain_export_closes_bundle(packaged_bundle, tmp_path, monkeypatch, phantom_index):
    """MONAI's own export into models/ is told, and the bundle is served as before."""
    from monai.bundle import ckpt_export

    bundle = Path(shutil.copytree(packaged_bundle, tmp_path / "my bundle"))
    monkeypatch.chdir(bundle)
    digest = verify(Path()).digest
    ckpt_export(
        "network_def",
        filepath="models/model.ts",
        ckpt_file="models/model.pt",
        meta_file="configs/metadata.json",
        config_file="configs/inference.json",
    )
    (bundle / "models" / "verify_model.ts").write_bytes(b"of the model zoo's own check")
    verified = verify(Path())
    assert (verified.name, verified.digest) == ("my bundle", digest)
    assert verified.not_packaged == ("models/model.ts", "models/verify_model.ts")
    assert BundleModel.load(bundle, device="cpu").identity.digest == digest
    (bundle / "models" / "handler.py").write_text("", encoding="utf-8")
    with pytest.raises(InvalidBundle, match=r"'my bundle' has files .*handler\.py"):
        verify(Path())


def test_transfer_cannot_be_packaged(trained_run, tmp_path):
    """A run of a version that trained outputs without labels: packaging names the way out."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    index = pd.read_parquet(run / "index.parquet")
    index[[name for name in FINDING_NAMES if name not in ("Effusion", "Mass")]] = np.nan
    index.to_parquet(run / "index.parquet", index=False)
    with pytest.raises(NotCalibrated, match="--set findings=Effusion,Mass"):
        package(run, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
