"""Converters: the same weights in three libraries give the same outputs."""

from __future__ import annotations

import pytest
import torch

from monai_cxr.networks.converters import LAYOUTS, adapt_channels, convert_densenet


def torchvision_net(n: int = 14):
    from torchvision.models import densenet121

    network = densenet121(weights=None, num_classes=n)
    network.features.conv0 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return network


def monai_net(n: int = 14):
    from monai.networks.nets import DenseNet121

    return DenseNet121(spatial_dims=2, in_channels=1, out_channels=n)


def xrv_net(n: int = 14):
    import torchxrayvision as xrv

    return xrv.models.DenseNet(num_classes=n)


NETS = dict(zip(LAYOUTS, (torchvision_net, monai_net, xrv_net), strict=True))


@pytest.fixture(scope="module")
def source() -> torch.nn.Module:
    """A network whose running statistics are not the initial ones."""
    torch.manual_seed(0)
    network = torchvision_net()
    network.train()
    with torch.no_grad():
        network(torch.randn(4, 1, 64, 64))
    return network.eval()


@pytest.mark.parametrize("middle", LAYOUTS)
@pytest.mark.parametrize("target", LAYOUTS)
def test_equal_outputs_on_every_way(source, middle, target):
    there = convert_densenet(source.state_dict(), middle)
    state = convert_densenet(there, target)
    network = NETS[target]()
    network.load_state_dict(state)
    films = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(films), source(films), atol=1e-5, rtol=1e-4)
    assert state.keys() == {k for k in network.state_dict() if k != "op_threshs"}


def test_old_checkpoints_of_torchvision(source):
    old = {
        key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value
        for key, value in source.state_dict().items()
    }
    assert old.keys() != source.state_dict().keys()
    assert convert_densenet(old, "torchvision").keys() == source.state_dict().keys()


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="but got 'keras'"):
        convert_densenet({}, "keras")


def test_a_gray_film_answers_as_its_three_equal_channels():
    colour = torch.nn.Conv2d(3, 4, 3, bias=False)
    film = torch.randn(1, 1, 8, 8)
    gray = torch.nn.functional.conv2d(film, adapt_channels(colour.weight, 1))
    torch.testing.assert_close(gray, colour(film.expand(-1, 3, -1, -1)))
    again = adapt_channels(adapt_channels(colour.weight, 1), 3)
    torch.testing.assert_close(
        torch.nn.functional.conv2d(film.expand(-1, 3, -1, -1), again), gray, atol=1e-6, rtol=1e-4
    )
