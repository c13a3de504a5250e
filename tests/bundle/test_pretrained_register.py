"""Pretrained weights in the register: the same outputs as at their origin, and what is refused."""

from __future__ import annotations

import argparse
import json
import os
import urllib.request

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import models, transforms
from typer.testing import CliRunner

from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.pretrained import package_pretrained
from monai_cxr.bundle.pretrained_register import register, weights_named
from monai_cxr.bundle.verification import verify
from monai_cxr.cli import app
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.evaluation.gaps import training_overlap
from monai_cxr.findings import FINDING_NAMES
from monai_cxr.preprocessing import prepare

timm = pytest.importorskip("timm", reason="pip install 'monai-cxr[timm]'")

MAE = ((0.5056,) * 3, (0.252,) * 3)
EVA = ((0.49185243,) * 3, (0.28509309,) * 3)


def origins_input(film, mean, std):
    """The evaluation transform of EVA-X and Medical MAE, by torchvision, on an 8-bit film."""
    transform = transforms.Compose(
        [
            transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    return transform(Image.fromarray(film).convert("RGB"))[None]


@pytest.fixture(scope="module")
def film():
    """256 x 256, so that the origin's resize changes nothing and only the rest is compared."""
    return np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)


def shaken(network):
    """Random weights and random statistics, so that a swapped tensor shows."""
    generator = torch.Generator().manual_seed(1)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator)
            variance = name.endswith("running_var")
            value.copy_(0.5 + noise if variance else value + 0.02 * (noise - 0.5))
    return network.eval()


def eva_x_tiny():
    """EVA-X-Ti as eva_x.py at its origin builds it of timm's parts."""
    from timm.models.eva import Eva

    return Eva(
        **{"img_size": 224, "patch_size": 16, "embed_dim": 192, "depth": 12, "num_heads": 3},
        **{"mlp_ratio": 4 * 2 / 3, "swiglu_mlp": True, "use_rot_pos_emb": True},
        **{"ref_feat_shape": (14, 14), "num_classes": 14},
    )


def as_eva_writes(state):
    """Names of EVA-02's own code, with the buffers that timm leaves out."""
    named = {
        key.replace("mlp.fc1.", "mlp.w12.").replace("mlp.fc2.", "mlp.w3."): value
        for key, value in state.items()
    }
    return {**named, "rope.freqs_cos": torch.zeros(196, 64), "rope.freqs_sin": torch.zeros(196, 64)}


def logits_of(bundle, film):
    model = BundleModel.load(bundle, device="cpu", runtime="torch")
    return model.logits(model.prepare(film.astype(np.float32) / 255)[None])


class TestOrigin:
    def test_a_pickle_of_torchvision_s_densenet_with_its_namespace(self, film, tmp_path):
        origin = shaken(models.densenet121(num_classes=14))
        content = {"model": origin.state_dict(), "args": argparse.Namespace(lr=0.1), "epoch": 74}
        torch.save(content, tmp_path / "ft.pth")
        entry = weights_named("densenet121-mocov2-cxr14")
        package_pretrained(entry, tmp_path / "bundle", tmp_path / "ft.pth")
        with torch.no_grad():
            expected = origin(origins_input(film, *MAE)).numpy()
        assert logits_of(tmp_path / "bundle", film) == pytest.approx(expected, abs=1e-5)
        assert verify(tmp_path / "bundle").findings == FINDING_NAMES

    def test_safetensors_of_timm_s_densenet(self, film, tmp_path):
        origin = shaken(timm.create_model("densenet121", num_classes=14))
        save_file(origin.state_dict(), tmp_path / "model.safetensors")
        entry = weights_named("densenet121-medmae-timm")
        package_pretrained(entry, tmp_path / "bundle", tmp_path / "model.safetensors")
        with torch.no_grad():
            expected = origin(origins_input(film, *MAE)).numpy()
        assert logits_of(tmp_path / "bundle", film) == pytest.approx(expected, abs=1e-5)

    def test_eva_x_tiny(self, film, tmp_path):
        origin = shaken(eva_x_tiny())
        torch.save({"model": as_eva_writes(origin.state_dict())}, tmp_path / "eva.pth")
        entry = weights_named("eva-x-tiny-cxr14")
        package_pretrained(entry, tmp_path / "bundle", tmp_path / "eva.pth")
        with torch.no_grad():
            expected = origin(origins_input(film, *EVA)).numpy()
        assert logits_of(tmp_path / "bundle", film) == pytest.approx(expected, abs=1e-5)
        model = BundleModel.load(tmp_path / "bundle", device="cpu", runtime="torch")
        assert model.run(np.zeros((1, 1, 224, 224), np.float32)).embeddings.shape == (1, 192)

    def test_torchxrayvision_s_resnet(self, tmp_path):
        origin = shaken(models.resnet50(num_classes=18))
        origin.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        torch.save({f"model.{k}": v for k, v in origin.state_dict().items()}, tmp_path / "r.pt")
        package_pretrained(
            weights_named("resnet50-res512-all"), tmp_path / "bundle", tmp_path / "r.pt"
        )
        pixels = np.random.default_rng(0).random((512, 512)).astype(np.float32)
        with torch.no_grad():
            given = origin(torch.from_numpy((2 * pixels - 1) * 1024)[None, None]).numpy()
        model = BundleModel.load(tmp_path / "bundle", device="cpu", runtime="torch")
        import torchxrayvision as xrv

        names = xrv.models.model_urls["resnet50-res512-all"]["labels"]
        expected = [given[0, names.index(name)] for name in model.findings]
        found = model.logits(model.prepare(pixels)[None])[0]
        assert found == pytest.approx(expected, rel=1e-4)


def test_the_middle_of_the_film_as_torchvision_cuts_it():
    film = np.random.default_rng(0).integers(0, 256, (256, 320), dtype=np.uint8)
    cut = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    expected = np.asarray(cut(Image.fromarray(film)), np.float32) / 255
    seen = prepare(film.astype(np.float32) / 255, 224, resize="center_crop_0.875")
    assert seen == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Made by the verb, of a file fetched by hand."""
    folder = tmp_path_factory.mktemp("pretrained")
    torch.save(models.densenet121(num_classes=14).state_dict(), folder / "ft.pth")
    arguments = ["fetch", "densenet121-medmae-cxr14", "--out", str(folder / "bundle")]
    arguments += ["--file", str(folder / "ft.pth"), "--accept-licence"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return folder / "bundle"


class TestMetadata:
    def test_says_whose_weights_these_are(self, bundle):
        metadata = read_config(bundle, "metadata")
        assert metadata["trained_on"][0]["data"] == "ChestX-ray14"
        assert metadata["weights_source"]["licence"] == "MIT"
        assert len(metadata["weights_source"]["sha256"]) == 64
        assert "not calibrated" in (bundle / "docs" / "README.md").read_text(encoding="utf-8")

    def test_evaluation_is_marked_by_its_split(self, bundle):
        trained_on = read_config(bundle, "metadata")["trained_on"]
        assert training_overlap(trained_on, "NIH ChestX-ray14", "official test") == []
        assert "may be films" in training_overlap(trained_on, "ChestX-ray14", "val")[0]
        assert "not named" in training_overlap(trained_on, "", "official test")[0]
        assert training_overlap(trained_on, "PadChest", "") == []
        xrv = weights_named("densenet121-res224-nih").trained_on
        assert "random split" in training_overlap(xrv, "nih", "official test")[0]
        assert training_overlap((), "", "") == []

    def test_the_report_says_it(self, bundle, tmp_path):
        rng = np.random.default_rng(0)
        table = pd.DataFrame(
            {
                "path": [f"{i:08d}_000.png" for i in range(40)],
                "sop_uid": [f"1.2.{i}" for i in range(40)],
                "patient_id": [str(i) for i in range(40)],
                "probability_Mass": rng.random(40),
                "label_Mass": np.arange(40) % 2,
            }
        )
        table.to_csv(tmp_path / "predictions.csv", index=False)
        arguments = ["evaluate", str(tmp_path / "predictions.csv"), "--out", str(tmp_path / "out")]
        arguments += ["--bundle", str(bundle), "--data", "ChestX-ray14", "--bootstrap", "200"]
        said = {}
        for split in ("val", "official test"):
            done = CliRunner().invoke(app, [*arguments, "--split", split, "--json"])
            assert done.exit_code == 0, done.output
            content = json.loads((tmp_path / "out" / "performance.json").read_text("utf-8"))
            said[split] = "may be films" in " ".join(content["warnings"])
        assert said == {"val": True, "official test": False}


class TestRefused:
    def test_another_architecture_is_named(self, tmp_path):
        torch.save(models.resnet18(num_classes=14).state_dict(), tmp_path / "r18.pth")
        entry = weights_named("densenet121-medmae-cxr14")
        with pytest.raises(InvalidBundle, match=r"'r18.pth' does not hold the DenseNet-121"):
            package_pretrained(entry, tmp_path / "bundle", tmp_path / "r18.pth")
        assert not (tmp_path / "bundle").exists()

    def test_a_pickle_that_would_run_code_runs_none(self, tmp_path):
        class Runs:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        torch.save({"model": {}, "args": Runs()}, tmp_path / "evil.pth")
        entry = weights_named("densenet121-medmae-cxr14")
        with pytest.raises(InvalidBundle, match=r"would use '\w+.mkdir'. Nothing of it was run"):
            package_pretrained(entry, tmp_path / "bundle", tmp_path / "evil.pth")
        with pytest.raises(SettingsError, match=r"There is no file 'nothing.pth'"):
            package_pretrained(entry, tmp_path / "bundle", tmp_path / "nothing.pth")
        assert not (tmp_path / "ran").exists()

    def test_damaged_safetensors(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
        entry = weights_named("densenet121-medmae-timm")
        with pytest.raises(InvalidBundle, match="damaged"):
            package_pretrained(entry, tmp_path / "bundle", tmp_path / "model.safetensors")

    def test_a_name_that_is_not_there_has_neighbours(self):
        with pytest.raises(SettingsError, match="Did you mean eva-x-tiny-cxr14"):
            weights_named("eva-x-tiny")

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_offline_it_says_what_to_fetch_and_where_to_put_it(self, tmp_path, monkeypatch):
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setattr(urllib.request, "_opener", None)  # remembers proxies
        entry = weights_named("eva-x-tiny-cxr14")
        with pytest.raises(SettingsError, match=r"Fetch https://huggingface.co.*--file"):
            package_pretrained(entry, tmp_path / "bundle")


class TestVerb:
    def run(self, *arguments):
        return CliRunner().invoke(app, ["fetch", *arguments])

    def test_lists_what_can_be_had(self):
        content = json.loads(self.run("--json").stdout)["weights"]
        assert {entry["name"] for entry in content} == set(register())
        assert all(entry["licence"] and entry["data_terms"] and entry["auroc"] for entry in content)

    def test_a_licence_must_be_accepted(self, tmp_path):
        done = self.run("eva-x-tiny-cxr14", "--out", str(tmp_path / "bundle"))
        assert isinstance(done.exception, SettingsError)
        assert "MIT" in str(done.exception)
        assert "--accept-licence" in str(done.exception)
