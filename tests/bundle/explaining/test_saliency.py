"""Saliency: maps that add up to the logit, in the film's own pixels."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from PIL import Image

from monai_cxr.bundle.engines.torch_engine import TorchRuntime
from monai_cxr.bundle.explaining.explanation import explain, heat_overlay
from monai_cxr.bundle.explaining.saliency import METHODS, _cam, _grad_cam, _in_film, saliency
from monai_cxr.bundle.model import BundleModel
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.reading.files import read_radiograph


@pytest.fixture(scope="module")
def model(packaged_bundle):
    return BundleModel.load(packaged_bundle, device="cpu")


@pytest.fixture(scope="module")
def film(phantom_index):
    return read_radiograph(phantom_index.table["path"].iloc[0])


class TestMaps:
    def test_the_mean_of_a_cam_and_the_bias_are_the_logit(self, model, film):
        batch = model.prepare(film)[None]
        maps = _cam(model, batch)
        head = next(m for m in model.runtime.network.modules() if isinstance(m, torch.nn.Linear))
        logits = maps.mean(axis=(1, 2)) + head.bias.detach().numpy()
        np.testing.assert_allclose(logits, model.logits(batch)[0], atol=1e-4)

    def test_grad_cam_of_a_pooled_linear_head_is_the_cam(self, model, film):
        # Selvaraju et al. 2017, section 3.1: equal up to the number of pixels, where the ReLU
        # before the pooling passes.
        batch = model.prepare(film)[None]
        cam = _cam(model, batch)[2].ravel()
        grad = _grad_cam(model.runtime.network, torch.from_numpy(batch), [2])[0].ravel()
        if cam.size > 2:
            assert np.corrcoef(cam, grad)[0, 1] > 0.5

    @pytest.mark.parametrize("method", list(METHODS))
    def test_have_the_film_s_shape(self, model, film, method):
        maps = saliency(model, film, ["Mass", "Hernia"], method)
        assert maps.shape == (2, *film.shape)
        assert maps.dtype == np.float32
        assert np.isfinite(maps).all()

    def test_unknown_method_and_finding(self, model, film):
        with pytest.raises(SettingsError, match="cam, grad_cam, occlusion"):
            saliency(model, film, ["Mass"], "guess")
        with pytest.raises(SettingsError, match="'Gout'"):
            saliency(model, film, ["Gout"])

    def test_a_network_without_a_linear_head_is_refused(self, model, film):
        network = torch.nn.Sequential(torch.nn.Conv2d(1, 14, 3), torch.nn.AdaptiveAvgPool2d(1))
        flat = torch.nn.Sequential(network, torch.nn.Flatten())
        other = copy.copy(model)
        other.runtime = TorchRuntime(flat.eval(), torch.device("cpu"), size=model.image_size)
        with pytest.raises(InvalidBundle, match="no class activation map"):
            saliency(other, film, ["Mass"])


class TestGeometry:
    @pytest.mark.parametrize(
        ("resize", "shape", "peak"),
        [
            ("stretch", (40, 80), (20, 60)),
            ("pad", (40, 80), (20, 60)),
            ("pad", (80, 40), (40, 30)),
            ("center_crop", (40, 80), (20, 50)),
        ],
    )
    def test_undoes_the_resize_policy(self, resize, shape, peak):
        from monai_cxr.preprocessing import prepare

        film = np.zeros(shape, np.float32)
        film[peak[0] - 2 : peak[0] + 3, peak[1] - 2 : peak[1] + 3] = 1
        seen = prepare(film, 20, resize=resize)
        back = _in_film(seen, shape, resize)
        found = np.unravel_index(int(back.argmax()), back.shape)
        assert np.abs(np.subtract(found, peak)).max() <= 4


class TestExplanation:
    def test_names_no_patient(self, model, film, tmp_path):
        content = explain(model, film, tmp_path)
        assert len(content["maps"]) == 3
        text = (tmp_path / "explanation.json").read_text(encoding="utf-8")
        assert json.loads(text) == content
        assert film.key.patient_id not in text
        best = max(content["findings"].values(), key=lambda s: s["probability"])
        assert next(iter(content["findings"].values())) == best
        for entry in content["maps"].values():
            with Image.open(tmp_path / entry["picture"]) as picture:
                assert picture.width == 2 * film.shape[1]

    def test_a_map_without_contrast_leaves_the_film(self):
        film = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
        overlay = heat_overlay(film, np.zeros((3, 4), np.float32))
        np.testing.assert_allclose(overlay, film[:, :, None].repeat(3, axis=2) * 255, atol=1e-3)
