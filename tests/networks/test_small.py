"""Small networks: a pooling that exports must still be torch's pooling."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from monai_cxr.bundle.engines.observed import ObservedNetwork
from monai_cxr.bundle.exporting.formats import file_names, write_network
from monai_cxr.errors import SettingsError
from monai_cxr.networks import build
from monai_cxr.networks.small import MeanTo


@pytest.mark.parametrize("height", [3, 5, 10, 12, 54])
@pytest.mark.parametrize("width", [5, 14, 17])
def test_mean_is_adaptive_pooling(height, width):
    maps = torch.randn(2, 3, height, width)
    expected = functional.adaptive_avg_pool2d(maps, 5)
    torch.testing.assert_close(MeanTo(5)(maps), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("size", [28, 64, 100])
def test_a_lenet_of_any_size_exports_to_onnx(size, tmp_path):
    import onnxruntime

    network = build("lenet", out_channels=3, image_size=size).eval()
    observed = ObservedNetwork(network, size).eval()
    films = torch.randn(5, 1, size, size)
    write_network(observed, size, tmp_path, "onnx", "fp32", films[:2].numpy())
    path = tmp_path / file_names("onnx", "fp32")[0]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits = session.run(None, {"image": films.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(logits), network(films).detach())


OPTIONS = {"width": 4, "blocks": (0, 1, 1, 1), "joined": 2}


class TestJoinedStages:
    def test_the_map_has_the_finer_grid_and_its_mean_is_the_logit(self):
        network = build("small_resnet", out_channels=3, image_size=32, options=OPTIONS).eval()
        films = torch.rand(2, 1, 32, 32)
        features = network.features(films)
        assert features.shape == (2, 16 + 32, 8, 8)
        last = network.classifier
        maps = functional.conv2d(features, last.weight[:, :, None, None])
        torch.testing.assert_close(maps.mean(dim=(2, 3)) + last.bias, network(films))
        assert ObservedNetwork(network, 32).eval()(films)[2].shape == (2, 3, 8, 8)

    def test_each_stage_counts_as_if_it_stood_alone(self):
        network = build("small_resnet", out_channels=3, image_size=32, options=OPTIONS).eval()
        films = torch.rand(2, 1, 32, 32)
        fine = network.features.fine(films)
        coarse = network.features.coarser[0](fine)
        assert coarse.shape[2:] == (4, 4)
        means = torch.cat([fine.mean(dim=(2, 3)), coarse.mean(dim=(2, 3))], dim=1)
        torch.testing.assert_close(network.classifier(means), network(films))

    def test_one_stage_keeps_the_names_of_older_weights(self):
        names = set(build("small_resnet", out_channels=3, image_size=32).state_dict())
        assert {"features.0.weight", "features.3.body.0.weight", "classifier.weight"} <= names

    @pytest.mark.parametrize(("blocks", "joined"), [([1, 1], 3), ([1, 1], 0), ([1, 0, 1], 2)])
    def test_stages_that_are_not_there(self, blocks, joined):
        options = {"blocks": blocks, "joined": joined}
        with pytest.raises(SettingsError, match=r"Expected joined.*but got"):
            build("small_resnet", out_channels=3, image_size=32, options=options)

    def test_exports_to_onnx(self, tmp_path):
        import onnxruntime

        network = build("small_resnet", out_channels=3, image_size=32, options=OPTIONS).eval()
        films = torch.randn(5, 1, 32, 32)
        observed = ObservedNetwork(network, 32).eval()
        write_network(observed, 32, tmp_path, "onnx", "fp32", films[:2].numpy())
        path = tmp_path / file_names("onnx", "fp32")[0]
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for given, expected in zip(
            session.run(None, {"image": films.numpy()}), observed(films), strict=True
        ):
            torch.testing.assert_close(
                torch.from_numpy(given), expected.detach(), atol=1e-5, rtol=1e-4
            )
