"""Weights: those of another library, other channels or other findings, into one of our networks."""

from __future__ import annotations

import pytest
import torch

from monai_cxr.errors import InvalidBundle
from monai_cxr.networks import build
from monai_cxr.networks.weights import fit_state

SIZE = {"image_size": 28}


def small(n: int, **options) -> torch.nn.Module:
    return build("small_resnet", 1, n, **SIZE, **options).eval()


def test_findings_that_both_have_keep_their_outputs():
    torch.manual_seed(0)
    old, new = small(3), small(2)
    fresh = new.classifier.weight[1].clone()
    kept = fit_state(
        new, old.state_dict(), names=("Mass", "Edema", "Effusion"), findings=("Effusion", "Hernia")
    )
    assert kept == ("Effusion",)
    film = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(new(film)[:, 0], old(film)[:, 2])
    assert torch.equal(new.classifier.weight[1], fresh)


def test_names_are_compared_by_their_aliases():
    old, new = small(1), small(1)
    kept = fit_state(new, old.state_dict(), names=("Pleural Effusion",), findings=("Effusion",))
    assert kept == ("Effusion",)


def test_another_number_of_outputs_without_names_leaves_the_head():
    old, new = small(5), small(2)
    head = new.classifier.weight.clone()
    assert fit_state(new, old.state_dict(), findings=("Mass", "Hernia")) == ()
    assert torch.equal(new.classifier.weight, head)
    assert torch.equal(new.features[0].weight, old.features[0].weight)


@pytest.mark.parametrize("wrap", [{"input_range": "per_image"}, {"exclusive": True}])
def test_wrappers_are_looked_through(wrap):
    old, new = small(2), small(2, **wrap)
    names = ("Mass", "Hernia")
    assert fit_state(new, old.state_dict(), names=names, findings=names) == names
    back = small(2)
    assert fit_state(back, new.state_dict(), names=names, findings=names) == names
    assert all(
        torch.equal(a, b)
        for a, b in zip(back.state_dict().values(), old.state_dict().values(), strict=True)
    )


def test_a_training_checkpoint_will_do():
    old, new = small(1), small(1)
    state = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in old.state_dict().items()}}
    fit_state(new, state, names=("Mass",), findings=("Mass",))
    assert torch.equal(new.classifier.weight, old.classifier.weight)


def test_colour_weights_are_summed_for_gray_films():
    old = build("small_resnet", 3, 1, **SIZE).eval()
    new = small(1)
    fit_state(new, old.state_dict(), names=("Mass",), findings=("Mass",))
    film = torch.randn(1, 1, 28, 28)
    torch.testing.assert_close(new(film), old(film.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-4)


def test_weights_of_torchxrayvision_fit_its_bundle():
    import torchxrayvision as xrv

    from monai_cxr.bundle.config import find_bundle, read_config
    from monai_cxr.bundle.engines.torch_engine import build_network
    from monai_cxr.bundle.pretrained import OUTPUTS

    config = read_config(find_bundle("chest_xray_xrv"), "inference")
    theirs, ours = xrv.models.DenseNet().eval(), build_network(config).eval()
    assert tuple(theirs.targets) == OUTPUTS
    kept = fit_state(ours, theirs.state_dict(), names=OUTPUTS, findings=config["findings"])
    assert list(kept) == config["findings"]
    film = torch.rand(1, 1, 224, 224)
    with torch.no_grad():
        expected = theirs(film * 2048 - 1024)[0]
        logits = ours((film - 0.5) / 0.25)[0]
    order = [OUTPUTS.index(name) for name in config["findings"]]
    torch.testing.assert_close(logits, expected[order], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("state", [{}, {"a": torch.zeros(1)}, torch.nn.Linear(3, 1).state_dict()])
def test_other_networks_are_refused(state):
    with pytest.raises(InvalidBundle, match="to another network"):
        fit_state(small(1), state)


def test_other_shapes_are_refused():
    wide = build("small_resnet", 1, 1, **SIZE, options={"width": 24})
    with pytest.raises(InvalidBundle, match="has the shape"):
        fit_state(small(1), wide.state_dict())
